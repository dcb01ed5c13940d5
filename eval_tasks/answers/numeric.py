"""Numeric comparison of two expressions: first in floats, which can only tell a clear difference, then with 60 digits.

The 60 digits are of a second evaluation with 130 digits; how far that differs from one with 70 tells its own error.

Variables take fixed values. A point counts as real when nothing on the way was complex; only real points decide where
there are enough of them, so that branch cuts of roots and logarithms do not. mpmath is imported when first needed.
"""

from __future__ import annotations

import cmath
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from eval_tasks.answers import limits, names
from eval_tasks.answers.limits import Budget, TooLargeError, UndefinedError, UnsupportedError
from eval_tasks.answers.values import (
    NUMBERS,
    Bound,
    Call,
    Constant,
    Node,
    Power,
    Product,
    Quotient,
    Root,
    Sum,
    Symbol,
    children,
    contains,
    contains_imaginary_unit,
    symbols,
)

DIGITS = 60
_WORKING_DIGITS = {"coarse": 70, "fine": 130}
_SCALES = (
    Fraction(71, 100),
    Fraction(27, 10),
    Fraction(-43, 100),
    Fraction(113, 10),
    Fraction(-31, 10),
    Fraction(37, 100),
)
_INTEGERS = (3, 4, 7, 10)
_INTEGER_NAMES = frozenset("nkmjlNKMpq")
_FLOAT_TOLERANCE = 1e-9  # of the largest intermediate value
_local = threading.local()


_MPMATH_FUNCTIONS = frozenset(
    names.words(
        "sin cos tan cot sec csc sinh cosh tanh asin acos atan asinh acosh atanh ln exp erf gamma fabs floor ceil sqrt"
    )
)


class Arithmetic:
    """The functions of one kind of numbers: 'float', or mpmath's numbers, 'coarse' or 'fine'."""

    def __init__(self, kind: str) -> None:
        self.exact = kind != "float"
        if self.exact:
            from mpmath.ctx_mp import MPContext

            context: Any = MPContext()
            context.dps = _WORKING_DIGITS[kind]
            self.pi, self.e, self.i = +context.pi, +context.e, context.mpc(0, 1)
            self.functions: dict[str, Callable[..., Any]] = {name: getattr(context, name) for name in _MPMATH_FUNCTIONS}
            self.convert: Callable[[Any], Any] = lambda value: context.mpf(value.numerator) / value.denominator
            self.power = context.power
        else:
            self.pi, self.e, self.i = math.pi, math.e, 1j
            self.functions = dict(_FLOAT_FUNCTIONS)
            self.convert = float
            self.power = _float_power
        self.functions["acot"] = lambda x: self.pi / 2 - self.functions["atan"](x)
        self.functions["asec"] = lambda x: self.functions["acos"](1 / x)
        self.functions["acsc"] = lambda x: self.functions["asin"](1 / x)
        self.functions["coth"] = lambda x: 1 / self.functions["tanh"](x)


def _float_power(base: Any, exponent: Any) -> Any:
    if type(base) is float and base < 0 and type(exponent) is float and exponent != int(exponent):
        base = complex(base)
    return base**exponent


def _guarded(name: str) -> Callable[[Any], Any]:
    real, both = getattr(math, name, None), getattr(cmath, name, None)

    def call(value: Any) -> Any:
        if type(value) is float and real is not None:
            try:
                return real(value)
            except ValueError:
                pass
        if both is None:
            raise UnsupportedError(f"{name} of a complex number")
        return both(value)

    return call


_FLOAT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: _guarded(name)
    for name in names.words("sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh exp sqrt erf gamma floor ceil")
}
_FLOAT_FUNCTIONS.update(
    ln=_guarded("log"),
    cot=lambda x: 1 / _FLOAT_FUNCTIONS["tan"](x),
    sec=lambda x: 1 / _FLOAT_FUNCTIONS["cos"](x),
    csc=lambda x: 1 / _FLOAT_FUNCTIONS["sin"](x),
    fabs=abs,
)


def arithmetic(kind: str) -> Arithmetic:
    """This thread's arithmetic of the kind."""
    found = getattr(_local, kind, None)
    if found is None:
        found = Arithmetic(kind)
        setattr(_local, kind, found)
    return found


class Evaluation:
    """One evaluation: `largest` is the largest intermediate magnitude, `real` whether none was complex."""

    def __init__(self, arithmetic: Arithmetic, values: dict[str, Any], budget: Budget, log_base: str) -> None:
        self.arithmetic = arithmetic
        self.values = values
        self.budget = budget
        self.largest = 1.0
        self.real = True
        self.slack: Any = 0  # absolute error of the integrals on the way
        self.log_base = log_base

    def of(self, node: Node) -> Any:
        """The value; UndefinedError, TooLargeError or UnsupportedError where there is none."""
        self.budget.spend(8 if self.arithmetic.exact else 2)
        try:
            value = self._of(node)
            size = float(abs(value))
        except (ZeroDivisionError, ValueError) as error:
            raise UndefinedError("no value at this point") from error
        except OverflowError as error:
            raise TooLargeError("a value is too large") from error
        if size > self.largest:
            if size == math.inf:
                raise TooLargeError("a value is too large")
            self.largest = size
        if size != size:
            raise UndefinedError("no value at this point")
        if self.real and hasattr(value, "imag") and not isinstance(value, NUMBERS) and value.imag:
            self.real = False
        return value

    def _of(self, node: Node) -> Any:
        if isinstance(node, NUMBERS):
            return self.arithmetic.convert(node)
        kind = type(node)
        if kind is Symbol:
            if node.name not in self.values:
                raise UnsupportedError(f"no value for {node.name}")
            return self.values[node.name]
        if kind is Sum:
            total = self.of(node.terms[0])
            for term in node.terms[1:]:
                total = total + self.of(term)
            return total
        if kind is Product:
            total = self.of(node.factors[0])
            for factor in node.factors[1:]:
                total = total * self.of(factor)
            return total
        if kind is Quotient:
            return self.of(node.numerator) / self.of(node.denominator)
        if kind is Power:
            return self._power(self.of(node.base), self.of(node.exponent))
        if kind is Root:
            return self._root(self.of(node.radicand), self.of(node.index))
        if kind is Constant:
            if node.name == "inf":
                raise UnsupportedError("infinity within an expression")
            return {"pi": self.arithmetic.pi, "e": self.arithmetic.e, "i": self.arithmetic.i}[node.name]
        if kind is Call:
            return self._call(node)
        if kind is Bound:
            return self._bound(node)
        raise UnsupportedError(f"no number for {kind.__name__}")

    def _power(self, base: Any, exponent: Any) -> Any:
        if not base:
            if not exponent or exponent.real < 0:
                raise UndefinedError("0 to such a power")
            return base * 0
        if abs(exponent) * (abs(math.log(abs(base))) + 4) > (1e6 if self.arithmetic.exact else 700):
            raise TooLargeError("a power is too large")
        return self.arithmetic.power(base, exponent)

    def _root(self, radicand: Any, index: Any) -> Any:
        if index == 2:
            return self.arithmetic.functions["sqrt"](radicand)
        odd = not _imaginary(index) and index == int(index.real) and int(index.real) % 2 == 1
        negative = not _imaginary(radicand) and radicand.real < 0
        if odd and negative:
            return -self._power(-radicand, 1 / index)
        return self._power(radicand, 1 / index) if radicand else radicand

    def _call(self, node: Call) -> Any:
        name = node.name
        functions = self.arithmetic.functions
        arguments = [self.of(argument) for argument in node.arguments]
        first = arguments[0]
        if name == "logb":
            return self._logarithm(arguments[1]) / self._logarithm(first)
        if name == "log":
            value = self._logarithm(first)
            return value / functions["ln"](self.arithmetic.convert(10)) if self.log_base == "10" else value
        if name == "ln":
            return self._logarithm(first)
        if name == "abs":
            return abs(first)
        if name in ("re", "im", "conj"):
            return first.conjugate() if name == "conj" else first.real if name == "re" else first.imag
        if name in ("min", "max"):
            if any(_imaginary(argument) for argument in arguments):
                raise UndefinedError("no order among complex numbers")
            return min(arguments) if name == "min" else max(arguments)
        if name == "sgn":
            return first / abs(first) if first else first
        if name in ("factorial", "gamma"):
            return self._gamma(first + 1 if name == "factorial" else first)
        if name == "binom":
            top, bottom = arguments
            return self._gamma(top + 1) / (self._gamma(bottom + 1) * self._gamma(top - bottom + 1))
        if name in ("floor", "ceil"):
            if _imaginary(first):
                raise UndefinedError(f"{name} of a complex number")
            nearest = functions["floor"](first.real + self.arithmetic.convert(Fraction(1, 2)))
            if abs(first - nearest) <= (1e-50 if self.arithmetic.exact else 1e-12) * self.largest:
                return nearest  # tan 45 degrees is 1, not a little less
        if abs(first) > 1e6 and name not in ("floor", "ceil", "atan", "acot"):
            raise TooLargeError(f"the argument of {name} is too large")
        function = functions.get(name)
        if function is None:
            raise UnsupportedError(f"no number for {name}")
        return function(first)

    def _logarithm(self, value: Any) -> Any:
        if not value:
            raise UndefinedError("the logarithm of 0")
        return self.arithmetic.functions["ln"](value)

    def _gamma(self, value: Any) -> Any:
        if abs(value) > (2_000 if self.arithmetic.exact else 160) or _imaginary(value):
            raise TooLargeError("a factorial is too large")
        return self.arithmetic.functions["gamma"](value)

    def _bound(self, node: Bound) -> Any:
        if node.lower is None or node.kind == "limit" or (contains(node.upper, Constant) and _is_infinite(node)):
            raise UnsupportedError(f"a {node.kind}")
        lower, upper = self.of(node.lower), self.of(node.upper)
        if node.kind == "integral":
            return self._integral(node, lower, upper)
        first, last = int(lower.real), int(upper.real)
        if first != lower or last != upper:
            raise UnsupportedError(f"a {node.kind} with such bounds")
        if last - first > limits.MAX_UNROLLED:
            raise TooLargeError(f"a {node.kind} of too many terms")
        outer = self.values
        total = self.arithmetic.convert(0 if node.kind == "sum" else 1)
        for value in range(first, last + 1):
            self.values = {**outer, node.variable: self.arithmetic.convert(value)}
            term = self.of(node.body)
            total = total + term if node.kind == "sum" else total * term
        self.values = outer
        return total

    def _integral(self, node: Bound, lower: Any, upper: Any) -> Any:
        """Tanh-sinh quadrature (Takahasi and Mori 1974), believed only when two step sizes agree."""
        if _imaginary(lower) or _imaginary(upper):
            raise UnsupportedError("an integral between complex bounds")
        exp = self.arithmetic.functions["exp"]
        half, middle = (upper - lower) / 2, (upper + lower) / 2
        steps, reach = (24, 5) if self.arithmetic.exact else (8, 3)
        outer = self.values
        totals = [half * 0, half * 0]  # all points; every second point
        for place in range(-steps * reach, steps * reach + 1):
            t = self.arithmetic.convert(Fraction(place, steps))
            sinh = (exp(t) - exp(-t)) * self.arithmetic.pi / 4
            cosh = (exp(t) + exp(-t)) * self.arithmetic.pi / 4
            denominator = exp(sinh) + exp(-sinh)
            offset = 2 * exp(-abs(sinh)) / denominator  # distance to the nearer end, as a share of half
            x = upper - half * offset if place > 0 else lower + half * offset
            if x in (lower, upper):
                continue
            if not place:
                x = middle
            self.values = {**outer, node.variable: x}
            term = self.of(node.body) * cosh * 4 / (denominator * denominator)
            totals[0] = totals[0] + term
            if place % 2 == 0:
                totals[1] = totals[1] + term
        self.values = outer
        fine, coarse = totals[0] * half / steps, totals[1] * half * 2 / steps
        if abs(fine - coarse) > (1e-30 if self.arithmetic.exact else 1e-4) * (1 + abs(fine)):
            raise UnsupportedError("an integral that does not converge quickly")
        self.slack = self.slack + abs(fine - coarse)
        self.largest = max(self.largest, 1e4 * (1 + float(abs(fine))))
        return fine


def _imaginary(value: Any) -> bool:
    return bool(getattr(value, "imag", 0))


def _is_infinite(node: Bound) -> bool:
    stack = [node.lower, node.upper]
    while stack:
        part = stack.pop()
        if type(part) is Constant and part.name == "inf":
            return True
        stack.extend(children(part))
    return False


def points(names: list[str], integers: bool = False) -> list[dict[str, Fraction | int]]:
    """The fixed points: for each variable its own value, of both signs and several sizes."""
    if integers:
        return [{name: value + 2 * j for j, name in enumerate(names)} for value in _INTEGERS]
    if not names:
        return [{}]
    return [
        {name: scale * (1 + Fraction(137 * (j + 1) + 31 * k, 1000)) for j, name in enumerate(names)}
        for k, scale in enumerate(_SCALES)
    ]


def precise(node: Node, point: dict[str, Any], budget: Budget, log_base: str = "e") -> tuple[Any, Any]:
    """The value at a point to 60 digits or better, and a bound on its error judged from a coarser evaluation."""
    coarse, _ = evaluate(node, point, "coarse", budget, log_base)
    fine, evaluation = evaluate(node, point, "fine", budget, log_base)
    if abs(fine - coarse) > 1e-10 * (1 + abs(fine)):  # a pole, as of tan at pi/2: what is there is rounding
        raise UndefinedError("no value at this point")
    tiny = arithmetic("fine").convert(Fraction(1, 10**DIGITS))
    return fine, (abs(fine - coarse) + abs(fine)) * tiny + evaluation.slack


def evaluate(
    node: Node, point: dict[str, Any], kind: str, budget: Budget, log_base: str = "e"
) -> tuple[Any, Evaluation]:
    """The value at a point, with the evaluation that tells its largest intermediate value."""
    numbers = arithmetic(kind)
    evaluation = Evaluation(numbers, {name: numbers.convert(value) for name, value in point.items()}, budget, log_base)
    return evaluation.of(node), evaluation


def same_value(left: Node, right: Node, budget: Budget) -> bool:
    """True if the two agree to 60 digits at the fixed points.

    Raises UnsupportedError, TooLargeError or UndefinedError.
    """
    result = _same_with_base(left, right, budget, "e")
    if not result and (_has_bare_log(left) or _has_bare_log(right)):
        return _same_with_base(left, right, budget, "10")
    return result


def _has_bare_log(node: Node) -> bool:
    if type(node) is Call and node.name == "log":
        return True
    return any(_has_bare_log(child) for child in children(node))


def _same_with_base(left: Node, right: Node, budget: Budget, log_base: str) -> bool:
    names = sorted(symbols(left) | symbols(right))
    complex_wanted = contains_imaginary_unit(left) or contains_imaginary_unit(right) or not names
    tries = [points(names)]
    if names and all(name[0] in _INTEGER_NAMES for name in names):
        tries.append(points(names, integers=True))
    verdict: bool | None = None
    for candidates in tries:
        verdict = _agree_at(left, right, candidates, complex_wanted, budget, log_base, bool(names))
        if verdict is not None:
            return verdict
    verdict = _agree_at(left, right, tries[0], True, budget, log_base, bool(names))
    if verdict is None:
        raise UndefinedError("no point where both have a value")
    return verdict


def _agree_at(
    left: Node,
    right: Node,
    candidates: list[Any],
    complex_too: bool,
    budget: Budget,
    log_base: str,
    varied: bool,
) -> bool | None:
    usable = []
    overflow = False
    for point in candidates:
        try:
            first, one = evaluate(left, point, "float", budget, log_base)
            second, other = evaluate(right, point, "float", budget, log_base)
        except UndefinedError:
            if not varied:
                raise
            continue
        except TooLargeError:
            if budget.steps < 0:
                raise
            overflow = True
            usable.append(point)
            continue
        if not complex_too and not (one.real and other.real):
            continue
        if abs(first - second) > _FLOAT_TOLERANCE * max(one.largest, other.largest):
            return False
        usable.append(point)
    wanted = 3 if varied else 1
    if len(usable) < min(2, wanted) and not overflow:
        return None
    agreed = 0
    for point in usable[:wanted]:
        try:
            value, error = precise(left, point, budget, log_base)
            value_too, error_too = precise(right, point, budget, log_base)
        except UndefinedError:
            if not varied:
                raise
            continue
        if abs(value - value_too) > error + error_too:
            return False
        agreed += 1
    return True if agreed else None


def proportional(left: Node, right: Node, budget: Budget) -> int | None:
    """1 or -1, the sign of the constant c with left = c * right, or None where there is none."""
    names = sorted(symbols(left) | symbols(right))
    ratio: Any = None
    agreed = 0
    for point in points(names):
        try:
            first, error = precise(left, point, budget)
            second, error_too = precise(right, point, budget)
        except UndefinedError:
            continue
        is_zero, is_zero_too = abs(first) <= 2 * error, abs(second) <= 2 * error_too
        if is_zero or is_zero_too:
            if is_zero and is_zero_too:
                continue
            return None
        value = first / second
        if ratio is None:
            ratio = value
        elif abs(value - ratio) > 4 * abs(ratio) * (error / abs(first) + error_too / abs(second)):
            return None
        agreed += 1
    if agreed < 3 or _imaginary(ratio):
        return None
    return 1 if ratio.real > 0 else -1


def approximate(node: Node, budget: Budget) -> float:
    """The real value of a constant expression as a float. Raises UnsupportedError where it is not real."""
    value, _ = evaluate(node, {}, "float", budget)
    if _imaginary(value):
        raise UnsupportedError("a complex number has no order")
    return float(value.real)
