"""Whether two expressions are equal: exactly where canonical forms decide, then by 60 digits, then by SymPy."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.build import make_product, make_sum
from eval_tasks.answers.exact import ONE, Form, add, canonical, multiply, same_form
from eval_tasks.answers.limits import Budget, TooLargeError, UndefinedError, UnsupportedError
from eval_tasks.answers.policies import Policy
from eval_tasks.answers.values import (
    NUMBERS,
    Bound,
    Constant,
    Decimal,
    Node,
    Power,
    Product,
    Symbol,
    contains,
    symbols,
)


def same_expression(left: Node, right: Node, policy: Policy, budget: Budget) -> tuple[bool, str]:
    """Whether the two are equal, and how that was found. Raises TooLargeError, UndefinedError or OutOfTimeError."""
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        if left == right:
            return True, "the same rational number"
        return _rounded(left, right, policy, budget), "different rational numbers"
    infinite = infinity_sign(left), infinity_sign(right)
    if infinite != (0, 0):
        return infinite[0] == infinite[1], "infinity"
    if type(left) is Symbol and type(right) is Symbol:
        return _same_letter(left.name, right.name, policy), "names"
    if left == right:
        return True, "the same expression"
    try:
        verdict = same_form(canonical(left, budget), canonical(right, budget), budget)
        if verdict is not None:
            return verdict or _rounded(left, right, policy, budget), "exact canonical forms"
    except TooLargeError:
        budget.steps = max(budget.steps, limits.MAX_STEPS // 2)
    except UnsupportedError:
        pass
    from eval_tasks.answers.numeric import same_value

    try:
        verdict = same_value(left, right, budget)
        return verdict or _rounded(left, right, policy, budget), "60 digits at fixed points"
    except UnsupportedError as reason:
        return _by_sympy(left, right, str(reason))


def infinity_sign(node: Node) -> int:
    """1 or -1 for infinity with that sign, else 0."""
    if type(node) is Constant:
        return 1 if node.name == "inf" else 0
    if type(node) is Product and len(node.factors) == 2 and node.factors[0] == -1:
        return -infinity_sign(node.factors[1])
    return 0


def _same_letter(left: str, right: str, policy: Policy) -> bool:
    if left == right:
        return True
    return policy.case_folded and len(left) == 1 and left.upper() == right.upper() and left.upper() in "ABCDE"


def _rounded(left: Node, right: Node, policy: Policy, budget: Budget) -> bool:
    """Whether one is a decimal that is the other, rounded or cut off at its last place, with enough digits."""
    if policy.tolerance and _is_near(left, right, policy.tolerance, budget):
        return True
    if not policy.rounded_digits:
        return False
    return _rounds(left, right, policy, budget) or _rounds(right, left, policy, budget)


def _rounds(decimal: Node, exact: Node, policy: Policy, budget: Budget) -> bool:
    if type(decimal) is not Decimal or decimal.digits < policy.rounded_digits or type(exact) is Decimal:
        return False
    if not 0 < decimal.places <= 40:
        return False
    if isinstance(exact, NUMBERS):
        shifted = Fraction(exact) * 10**decimal.places
    elif symbols(exact):
        return False
    else:
        from eval_tasks.answers.numeric import evaluate

        try:
            value, _ = evaluate(exact, {}, "fine", budget)
        except (UnsupportedError, UndefinedError):
            return False
        if getattr(value, "imag", 0) or abs(value) > 10**30:
            return False
        shifted = Fraction(int(value.real * 10 ** (decimal.places + 20)), 10**20)
    wanted = Fraction(decimal) * 10**decimal.places
    return wanted in (floor(shifted + Fraction(1, 2)), int(shifted))


def _is_near(left: Node, right: Node, tolerance: float, budget: Budget) -> bool:
    from eval_tasks.answers.numeric import approximate

    if symbols(left) or symbols(right):
        return False
    try:
        one, other = approximate(left, budget), approximate(right, budget)
    except (UnsupportedError, UndefinedError, TooLargeError):
        return False
    return abs(one - other) <= tolerance * abs(one)


def _by_sympy(left: Node, right: Node, reason: str) -> tuple[bool, str]:
    if not (contains(left, Bound) or contains(right, Bound)):
        return False, reason
    for one, other in ((left, right), (right, left)):
        if _is_indefinite(one) and not symbols(other):
            return False, "an indefinite integral and a constant"
    from eval_tasks.answers.symbolic import is_zero

    verdict = is_zero(left, right)
    return bool(verdict), "SymPy" if verdict is not None else "SymPy could not show it"


def _is_indefinite(node: Node) -> bool:
    return type(node) is Bound and node.kind == "integral" and node.lower is None


def difference(left: Node, right: Node) -> Node:
    """left - right."""
    return make_sum([left, make_product([-1, right])]) if right != 0 else left


def same_up_to_factor(left: Node, right: Node, budget: Budget, is_equation: bool) -> int | None:
    """The sign of a constant c other than 0 with left = c * right, else None.

    Of equations left = 0 and right = 0 it is enough that the numerators are proportional.
    """
    try:
        one, other = canonical(left, budget), canonical(right, budget)
        if is_equation and not (_has_radicals(one) or _has_radicals(other)):
            verdict = _ratio(_cleared(one.numerator, budget), _cleared(other.numerator, budget))
            if verdict:
                return verdict
        sign = _proportional_forms(one, other, budget)
        if sign != 0:
            return sign
    except (TooLargeError, UnsupportedError):
        pass
    from eval_tasks.answers.numeric import proportional

    try:
        return proportional(left, right, budget)
    except (TooLargeError, UnsupportedError, UndefinedError):
        return None


def _proportional_forms(left: Form, right: Form, budget: Budget) -> int | None:
    """The sign, None where there is certainly no factor, 0 where the forms cannot tell."""
    above, below = left.numerator, right.numerator
    if left.denominator is not ONE or right.denominator is not ONE:
        if _has_symbols(left.denominator) or _has_symbols(right.denominator):
            cross = _ratio(multiply(above, right.denominator, budget), multiply(below, left.denominator, budget))
            return cross if cross or not (left.plain and right.plain) else None
        return 0
    found = _ratio(above, below)
    if found:
        return found
    return _constant_ratio(above, below, budget) if left.plain and right.plain else 0


def _has_radicals(form: Form) -> bool:
    return not form.plain or any(atom[0] == "#" for monomial in form.numerator for atom, _ in monomial)


def _cleared(poly: Any, budget: Budget) -> Any:
    """The polynomial times what takes away its negative exponents: y - x^-1 becomes xy - 1."""
    lowest: dict[str, Any] = {}
    for monomial in poly:
        for atom, exponent in monomial:
            if exponent < lowest.get(atom, 0):
                lowest[atom] = exponent
    factor = tuple(sorted((atom, -exponent) for atom, exponent in lowest.items()))
    return multiply(poly, {factor: 1}, budget) if factor else poly


def _constant_ratio(above: Any, below: Any, budget: Budget) -> int | None:
    """The sign of a constant ratio that may hold radicals, None where there is none, 0 where it is not certain."""
    one, other = _by_symbols(above), _by_symbols(below)
    if one.keys() != other.keys() or not one:
        return None
    if any(atom == "#i" for poly in (above, below) for monomial in poly for atom, _ in monomial):
        return 0
    names = list(one)
    first = names[0]
    for name in names[1:]:
        if add(multiply(one[name], other[first], budget), multiply(other[name], one[first], budget), -1):
            return None
    from eval_tasks.answers.numeric import approximate

    product = approximate(from_poly(one[first]), budget) * approximate(from_poly(other[first]), budget)
    return 1 if product > 0 else -1


def _by_symbols(poly: Any) -> dict[Any, Any]:
    """The coefficients, as polynomials in constants, of the monomials in variables."""
    found: dict[Any, Any] = {}
    for monomial, coefficient in poly.items():
        variables = tuple(part for part in monomial if part[0][0] != "#")
        constants = tuple(part for part in monomial if part[0][0] == "#")
        found.setdefault(variables, {})[constants] = coefficient
    return found


def _has_symbols(poly: Any) -> bool:
    return any(atom[0] != "#" for monomial in poly for atom, _ in monomial)


def _ratio(above: Any, below: Any) -> int:
    """Sign of the rational c with above = c * below, or 0."""
    if len(above) != len(below) or not above or above.keys() != below.keys():
        return 0
    first = next(iter(above))
    factor = Fraction(above[first]) / below[first]
    if any(above[monomial] != factor * below[monomial] for monomial in above):
        return 0
    return 1 if factor > 0 else -1


def linear(node: Node, name: str, budget: Budget) -> tuple[Fraction, Node] | None:
    """(slope, rest) with node = slope * name + rest, the slope rational and the rest free of the name; else None."""
    if type(node) is Symbol:
        return (Fraction(1), 0) if node.name == name else None
    try:
        form = canonical(node, budget)
    except (TooLargeError, UnsupportedError, UndefinedError):
        return None
    if form.denominator is not ONE or not form.plain:
        return None
    slope = form.numerator.get(((name, 1),))
    rest = add(form.numerator, {((name, 1),): slope}, -1) if slope else form.numerator
    if not slope or any(atom[0] != "#" for monomial in rest for atom, _ in monomial):
        return None
    return Fraction(slope), from_poly(rest)


def from_poly(poly: Any) -> Node:
    """An expression with the value of a polynomial of `exact`."""
    terms: list[Node] = []
    for monomial, coefficient in poly.items():
        factors: list[Node] = [coefficient] if coefficient != 1 or not monomial else []
        for atom, exponent in monomial:
            if atom[0] != "#":
                base: Node = Symbol(atom)
            else:
                base = Constant(atom[1:]) if atom[1:] in ("i", "pi", "e") else int(atom[1:])
            factors.append(base if exponent == 1 else Power(base, exponent))
        terms.append(make_product(factors) if len(factors) > 1 else factors[0])
    if not terms:
        return 0
    return make_sum(terms) if len(terms) > 1 else terms[0]
