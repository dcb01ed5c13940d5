"""Exact canonical forms: a quotient of two polynomials over the rationals in variables, i, pi, e, radicals of primes
and opaque sub-expressions.

A polynomial is a dict from monomial to coefficient; a monomial is a sorted tuple of (atom, exponent). Atoms are
strings: a variable's name; '#i', '#pi', '#e'; '#7' for the prime 7 with an exponent between 0 and 1; '@...' for
anything opaque, named by its own canonical form. Two forms whose cross products agree are equal for certain. Two
that differ are different for certain only if both are `plain` (no opaque atoms, and not both pi and e): radicals of
primes are linearly independent over the rationals (A. Besicovitch, J. London Math. Soc. 1940), also with i and with
one transcendental.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial, gcd, isqrt, lcm
from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.build import checked, digits_of
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
    symbols,
)

Coefficient = Any  # int | Fraction
Monomial = tuple[tuple[str, Any], ...]
Poly = dict[Monomial, Coefficient]
ONE: Poly = {(): 1}


class Form:
    """numerator / denominator; `plain` as in the module's docstring."""

    __slots__ = ("denominator", "numerator", "plain")

    def __init__(self, numerator: Poly, denominator: Poly = ONE, plain: bool = True) -> None:
        self.numerator = numerator
        self.denominator = denominator
        self.plain = plain

    def key(self) -> str:
        """A name for the value: the same for forms written alike after expansion."""
        above, below = _poly_key(self.numerator), _poly_key(self.denominator)
        return above if below == "1" else f"({above})/({below})"

    def number(self) -> Coefficient | None:
        """The rational number that this is, or None."""
        if self.denominator is not ONE or len(self.numerator) > 1:
            return None
        if not self.numerator:
            return 0
        return self.numerator.get(())


def _poly_key(poly: Poly) -> str:
    parts = []
    for monomial in sorted(poly, key=repr):
        atoms = "*".join(f"{atom}^{exponent}" if exponent != 1 else atom for atom, exponent in monomial)
        coefficient = poly[monomial]
        if coefficient != 1 or not atoms:
            atoms = digits_of(coefficient) + ("*" if atoms else "") + atoms
        parts.append(atoms)
    return "+".join(parts) or "0"


# --- polynomials ---
def add(left: Poly, right: Poly, sign: int = 1) -> Poly:
    """left + sign * right."""
    total = dict(left)
    for monomial, coefficient in right.items():
        value = total.get(monomial, 0) + sign * coefficient
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def multiply(left: Poly, right: Poly, budget: Budget) -> Poly:
    """left * right."""
    if right is ONE:
        return left
    if left is ONE:
        return right
    budget.spend(len(left) * len(right))
    total: Poly = {}
    for one, first in left.items():
        for other, second in right.items():
            coefficient = first * second
            if not one:
                monomial = other
            elif not other:
                monomial = one
            else:
                monomial, factor = _times(one, other)
                coefficient = coefficient * factor
            value = total.get(monomial, 0) + coefficient
            if value:
                total[monomial] = value
            else:
                total.pop(monomial, None)
    if len(total) > limits.MAX_TERMS:
        raise TooLargeError("a polynomial has too many terms")
    for coefficient in total.values():
        checked(coefficient)
    return total


def _times(one: Monomial, other: Monomial) -> tuple[Monomial, Coefficient]:
    powers = dict(one)
    for atom, exponent in other:
        powers[atom] = powers.get(atom, 0) + exponent
    return _settled(powers)


def _settled(powers: dict[str, Any]) -> tuple[Monomial, Coefficient]:
    """The monomial with i and the radicals reduced, and the rational factor that this brings out."""
    factor: Coefficient = 1
    kept: list[tuple[str, Any]] = []
    for atom in sorted(powers):
        exponent = powers[atom]
        if not exponent:
            continue
        if atom[0] == "#" and atom not in ("#pi", "#e"):
            if atom == "#i":
                exponent %= 4
                if exponent >= 2:
                    factor, exponent = -factor, exponent - 2
            else:
                whole = exponent.__floor__()
                if whole:
                    factor = checked(factor * Fraction(int(atom[1:])) ** whole)
                    exponent -= whole
            if not exponent:
                continue
        if type(exponent) is Fraction and exponent.denominator == 1:
            exponent = exponent.numerator
        kept.append((atom, exponent))
    return tuple(kept), factor


def _monomial_power(monomial: Monomial, exponent: Any) -> tuple[Monomial, Coefficient]:
    if monomial and max(abs(power) for _, power in monomial) * abs(exponent) > 10**6:
        raise TooLargeError("an exponent is too large")
    return _settled({atom: power * exponent for atom, power in monomial})


# --- forms ---
def form_add(left: Form, right: Form, budget: Budget) -> Form:
    """left + right."""
    plain = left.plain and right.plain
    if left.denominator is right.denominator or left.denominator == right.denominator:
        return Form(add(left.numerator, right.numerator), left.denominator, plain)
    above = add(
        multiply(left.numerator, right.denominator, budget),
        multiply(right.numerator, left.denominator, budget),
    )
    return Form(above, multiply(left.denominator, right.denominator, budget), plain)


def form_multiply(left: Form, right: Form, budget: Budget) -> Form:
    """left * right."""
    return Form(
        multiply(left.numerator, right.numerator, budget),
        multiply(left.denominator, right.denominator, budget),
        left.plain and right.plain,
    )


def form_inverse(form: Form) -> Form:
    """1 / form. Raises UndefinedError for 0."""
    if not form.numerator:
        raise UndefinedError("division by zero")
    if len(form.numerator) == 1:
        ((monomial, coefficient),) = form.numerator.items()
        powers, factor = _monomial_power(monomial, -1)
        inverse = checked(Fraction(factor) / coefficient)
        if form.denominator is ONE:
            return Form({powers: inverse}, ONE, form.plain)
    return Form(form.denominator, form.numerator, form.plain)


def same_form(left: Form, right: Form, budget: Budget) -> bool | None:
    """True or False where that is certain, None where only numbers can tell."""
    if left.denominator is right.denominator:
        difference = add(left.numerator, right.numerator, -1)
    else:
        difference = add(
            multiply(left.numerator, right.denominator, budget),
            multiply(right.numerator, left.denominator, budget),
            -1,
        )
    if not difference:
        return True
    return False if left.plain and right.plain and not _mixes_transcendentals(difference) else None


def _mixes_transcendentals(poly: Poly) -> bool:
    found = {atom for monomial in poly for atom, _ in monomial if atom in ("#pi", "#e")}
    return len(found) > 1


# --- canonical form of a node ---
def canonical(node: Node, budget: Budget) -> Form:
    """The canonical form. Raises TooLargeError, UndefinedError or UnsupportedError."""
    budget.spend()
    if isinstance(node, NUMBERS):
        return Form({(): node} if node else {})
    kind = type(node)
    if kind is Symbol:
        return Form({((node.name, 1),): 1})
    if kind is Sum:
        total = canonical(node.terms[0], budget)
        for term in node.terms[1:]:
            total = form_add(total, canonical(term, budget), budget)
        return total
    if kind is Product:
        total = canonical(node.factors[0], budget)
        for factor in node.factors[1:]:
            total = form_multiply(total, canonical(factor, budget), budget)
        return total
    if kind is Quotient:
        below = canonical(node.denominator, budget)
        return form_multiply(canonical(node.numerator, budget), form_inverse(below), budget)
    if kind is Power:
        return _power(canonical(node.base, budget), canonical(node.exponent, budget), budget)
    if kind is Root:
        return _root(node, budget)
    if kind is Constant:
        if node.name == "inf":
            raise UnsupportedError("infinity within an expression")
        return Form({(("#" + node.name, 1),): 1})
    if kind is Call:
        return _call(node, budget)
    if kind is Bound:
        return _bound(node, budget)
    raise UnsupportedError(f"no exact form of {kind.__name__}")


def _opaque(name: str) -> Form:
    if len(name) > 4_000:
        raise TooLargeError("an expression is too long")
    return Form({(("@" + name, 1),): 1}, ONE, False)


def _power(base: Form, exponent: Form, budget: Budget) -> Form:
    value = exponent.number()
    if value is not None:
        return whole_power(base, value, budget) if type(value) is int else _fractional(base, value, budget)
    number = base.number()
    if (number is not None and number <= 0) or exponent.denominator is not ONE:
        return _opaque(f"pow({base.key()},{exponent.key()})")
    # b^(2x + 3) = (b^x)^2 * b^3
    result = Form(ONE)
    name = base.key()
    for monomial, coefficient in exponent.numerator.items():
        if not monomial:
            part = _power(base, Form({(): coefficient}), budget)
        else:
            part = Form({((f"@pow({name},{_poly_key({monomial: 1})})", coefficient),): 1}, ONE, False)
        result = form_multiply(result, part, budget)
    return result


def whole_power(base: Form, exponent: int, budget: Budget) -> Form:
    """base ** exponent by repeated multiplication; raises TooLargeError before it would grow beyond the bounds."""
    if exponent < 0:
        base, exponent = form_inverse(base), -exponent
    if len(base.numerator) == 1 and base.denominator is ONE:
        ((monomial, coefficient),) = base.numerator.items()
        size = Fraction(coefficient)
        if (
            max(size.numerator.bit_length(), size.denominator.bit_length(), 1) * exponent > limits.MAX_BITS
            and abs(size) != 1
        ):
            raise TooLargeError("a power is too large")
        powers, factor = _monomial_power(monomial, exponent)
        return Form({powers: checked(coefficient**exponent * factor)}, ONE, base.plain)
    if exponent > 64:
        raise TooLargeError("a power is too large to expand")
    result = Form(ONE, ONE, base.plain)
    for _ in range(exponent):
        result = form_multiply(result, base, budget)
    return result


def _fractional(base: Form, exponent: Fraction, budget: Budget) -> Form:
    """base ** (p/q), principal value. Monomials of variables are taken for positive where their powers are odd."""
    if base.denominator is not ONE and len(base.denominator) == 1:
        base = form_multiply(Form(base.numerator, ONE, base.plain), form_inverse(Form(base.denominator)), budget)
    if base.denominator is ONE and len(base.numerator) == 1:
        ((monomial, coefficient),) = base.numerator.items()
        if coefficient > 0 and all(
            atom in ("#pi", "#e") or (atom[0] not in "#@" and (type(power) is int and power % 2))
            for atom, power in monomial
        ):
            result = Form({_monomial_power(monomial, exponent)[0]: 1}, ONE, base.plain)
            return form_multiply(result, _radical(coefficient, exponent), budget)
        if not monomial and exponent.denominator == 2:
            turn: Poly = {(("#i", exponent.numerator % 4),): 1}
            return form_multiply(_reduced(turn), _radical(-coefficient, exponent), budget)
    if not base.numerator:
        if exponent < 0:
            raise UndefinedError("division by zero")
        return Form({})
    return Form({((f"@({base.key()})", exponent),): 1}, ONE, False)


def _reduced(poly: Poly) -> Form:
    ((monomial, coefficient),) = poly.items()
    powers, factor = _settled(dict(monomial))
    return Form({powers: coefficient * factor})


def _radical(value: Coefficient, exponent: Fraction) -> Form:
    """value ** exponent for a positive rational, as a rational times radicals of primes."""
    powers: dict[str, Any] = {}
    plain = True
    number = Fraction(value)
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        factors, settled = _factor(part)
        plain = plain and settled
        for prime, count in factors.items():
            atom = f"#{prime}"
            powers[atom] = powers.get(atom, 0) + sign * count * exponent
    monomial, factor = _settled(powers)
    return Form({monomial: factor}, ONE, plain)


_TRIAL_BOUND = 2_000


def _factor(number: int) -> tuple[dict[int, int], bool]:
    """Factors by trial division; a large rest stands as if prime, and the flag says whether it must be."""
    factors: dict[int, int] = {}
    divisor = 2
    while divisor < _TRIAL_BOUND and divisor * divisor <= number:
        while number % divisor == 0:
            number //= divisor
            factors[divisor] = factors.get(divisor, 0) + 1
        divisor += 1 if divisor == 2 else 2
    if number == 1:
        return factors, True
    root = isqrt(number)
    if root * root == number:
        inner, settled = _factor(root) if number.bit_length() < 4_000 else ({root: 1}, False)
        for prime, count in inner.items():
            factors[prime] = factors.get(prime, 0) + 2 * count
        return factors, settled
    factors[number] = factors.get(number, 0) + 1
    return factors, number < _TRIAL_BOUND**2


def _root(node: Root, budget: Budget) -> Form:
    index = canonical(node.index, budget).number()
    radicand = canonical(node.radicand, budget)
    if type(index) is not int:
        if index is None:
            return _power(radicand, form_inverse(canonical(node.index, budget)), budget)
        return _fractional(radicand, 1 / index, budget)
    if index == 1:
        return radicand
    value = radicand.number()
    if value is not None and value < 0 and index % 2:
        root = _fractional(Form({(): -value}), Fraction(1, index), budget)
        return form_multiply(Form({(): -1}), root, budget)
    if index == 0:
        raise UndefinedError("a root of degree 0")
    return _fractional(radicand, Fraction(1, index), budget)


def _call(node: Call, budget: Budget) -> Form:
    arguments = [canonical(argument, budget) for argument in node.arguments]
    numbers = [argument.number() for argument in arguments]
    if all(number is not None for number in numbers):
        value = exact_call(node.name, numbers)
        if value is not None:
            return Form({(): value} if value else {})
    return _opaque(f"{node.name}({','.join(argument.key() for argument in arguments)})")


def exact_call(name: str, numbers: list[Any]) -> Coefficient | None:
    """The rational value of a function of rational numbers, or None where there is none or it is not known here."""
    first = numbers[0]
    if name == "abs":
        return abs(first)
    if name in ("floor", "ceil"):
        return first.__floor__() if name == "floor" else first.__ceil__()
    if name in ("min", "max"):
        return min(numbers) if name == "min" else max(numbers)
    if name == "sgn":
        return (first > 0) - (first < 0)
    if name in ("re", "conj"):
        return first
    if name == "im":
        return 0
    if all(type(number) is int for number in numbers):
        if name == "factorial" and first >= 0:
            if first > 4_000:
                raise TooLargeError("a factorial is too large")
            return factorial(first)
        if name == "binom" and numbers[0] >= 0:
            if numbers[0] > 5_000:
                raise TooLargeError("a binomial coefficient is too large")
            return comb(numbers[0], numbers[1]) if numbers[1] >= 0 else 0
        if name == "gcd":
            return gcd(*numbers)
        if name == "lcm":
            return checked(lcm(*numbers))
    if name in ("ln", "log") and first == 1:
        return 0
    if name in ("sin", "tan", "asin", "atan", "sinh", "tanh") and first == 0:
        return 0
    if name in ("cos", "cosh", "sec") and first == 0:
        return 1
    return None


def _bound(node: Bound, budget: Budget) -> Form:
    """A finite sum or product written out, or a definite integral of a polynomial."""
    if node.kind == "limit" and node.variable not in symbols(node.body):
        return canonical(node.body, budget)
    if node.lower is None or node.kind == "limit":
        raise UnsupportedError(f"a {node.kind}")
    lower, upper = canonical(node.lower, budget).number(), canonical(node.upper, budget).number()
    if node.kind == "integral":
        if lower is None or upper is None:
            raise UnsupportedError("an integral with such bounds")
        return _integrated(node, lower, upper, budget)
    if type(lower) is not int or type(upper) is not int:
        raise UnsupportedError(f"a {node.kind} with such bounds")
    if upper - lower > limits.MAX_UNROLLED:
        raise TooLargeError(f"a {node.kind} of too many terms")
    total = Form({}) if node.kind == "sum" else Form(ONE)
    combine = form_add if node.kind == "sum" else form_multiply
    for value in range(lower, upper + 1):
        total = combine(total, canonical(substituted(node.body, node.variable, value), budget), budget)
        number = total.number()
        if type(number) is Fraction:  # fractions grow, and with them what a step costs
            budget.spend(number.denominator.bit_length() // 200)
    return total


def _integrated(node: Bound, lower: Coefficient, upper: Coefficient, budget: Budget) -> Form:
    body = canonical(node.body, budget)
    if body.denominator is not ONE:
        raise UnsupportedError("an integral of a quotient")
    total: Poly = {}
    for monomial, coefficient in body.numerator.items():
        powers = dict(monomial)
        power = powers.pop(node.variable, 0)
        if type(power) is not int or power < 0 or power > 200 or any(atom[0] == "@" for atom in powers):
            raise UnsupportedError("an integral of what is no polynomial")
        value = Fraction(coefficient) * (Fraction(upper) ** (power + 1) - Fraction(lower) ** (power + 1)) / (power + 1)
        total = add(total, {tuple(sorted(powers.items())): checked(value)} if value else {})
    return Form(total, ONE, body.plain)


def substituted(node: Node, name: str, value: Node) -> Node:
    """The expression with a value in place of a free variable."""
    kind = type(node)
    if kind is Symbol:
        return value if node.name == name else node
    if kind is Sum:
        return Sum(tuple(substituted(term, name, value) for term in node.terms))
    if kind is Product:
        return Product(tuple(substituted(factor, name, value) for factor in node.factors))
    if kind is Quotient:
        return Quotient(substituted(node.numerator, name, value), substituted(node.denominator, name, value))
    if kind is Power:
        return Power(substituted(node.base, name, value), substituted(node.exponent, name, value))
    if kind is Root:
        return Root(substituted(node.radicand, name, value), substituted(node.index, name, value))
    if kind is Call:
        return Call(node.name, tuple(substituted(argument, name, value) for argument in node.arguments))
    if kind is Bound and node.variable != name and node.lower is not None:
        return Bound(
            node.kind,
            node.variable,
            substituted(node.lower, name, value),
            None if node.upper is None else substituted(node.upper, name, value),
            substituted(node.body, name, value),
        )
    return node
