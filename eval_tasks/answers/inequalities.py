"""Where a quotient of two polynomials in one variable is positive, negative or zero: exactly, or not at all."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import gcd, isqrt, lcm
from typing import Any

from eval_tasks.answers.exact import ONE, Form, canonical
from eval_tasks.answers.limits import Budget, UnsupportedError
from eval_tasks.answers.values import Node, Quotient, Root, Sum

_MAX_DEGREE = 12
_MAX_COEFFICIENT = 10**6
_MAX_CANDIDATES = 1_000
Coefficients = list[int]  # of x^0, x^1, ...


def sign_regions(node: Node, name: str, budget: Budget) -> tuple[list[Node], list[int | None], list[int]]:
    """Places where the sign of an expression may change, in order; its sign there (None where it has no value); and
    its signs between them, one more than there are places.

    Raises UnsupportedError where the expression is no such quotient, or a root is neither rational nor quadratic.
    """
    form = canonical(node, budget)
    above, below = _coefficients(form, name)
    found: list[tuple[float, Node, bool]] = [(*root, True) for root in _roots(above, budget)]
    poles = _roots(below, budget)
    found = [root for root in found if all(abs(root[0] - pole[0]) > 1e-9 for pole in poles)]
    found += [(*pole, False) for pole in poles]
    found.sort(key=lambda root: root[0])
    if any(second[0] - first[0] < 1e-6 * max(1.0, abs(first[0])) for first, second in pairwise(found)):
        raise UnsupportedError("roots that lie very near to each other")
    probes = [Fraction(0)]
    if found:
        middles = [Fraction((first[0] + second[0]) / 2) for first, second in pairwise(found)]
        probes = [Fraction(found[0][0]) - 1, *middles, Fraction(found[-1][0]) + 1]
    signs = [_sign(_value(above, probe)) * _sign(_value(below, probe)) for probe in probes]
    return [root[1] for root in found], [0 if root[2] else None for root in found], signs


def _coefficients(form: Form, name: str) -> tuple[Coefficients, Coefficients]:
    """Whole coefficients of numerator and denominator; the sign of their quotient is the expression's."""
    if not form.plain:
        raise UnsupportedError("no quotient of polynomials")
    polys: list[dict[int, Fraction]] = []
    for poly in (form.numerator, form.denominator):
        powers: dict[int, Fraction] = {}
        for monomial, coefficient in poly.items():
            power = monomial[0][1] if monomial else 0
            if len(monomial) > 1 or (monomial and monomial[0][0] != name) or type(power) is not int:
                raise UnsupportedError("no quotient of polynomials in one variable")
            powers[power] = Fraction(coefficient)
        polys.append(powers)
    above, below = polys
    lowest = min(above, default=0)
    if lowest < 0:  # x^-1 + 2 is (1 + 2x) / x
        above = {power - lowest: value for power, value in above.items()}
        below = {power - lowest: value for power, value in below.items()}
    if form.denominator is ONE and lowest >= 0:
        below = {0: Fraction(1)}
    return _whole(above), _whole(below)


def _whole(powers: dict[int, Fraction]) -> Coefficients:
    if not powers or min(powers) < 0 or max(powers) > _MAX_DEGREE:
        raise UnsupportedError("no polynomial of low degree")
    common = lcm(*(value.denominator for value in powers.values()))
    found = [int(powers.get(power, Fraction(0)) * common) for power in range(max(powers) + 1)]
    shared = gcd(*found)
    found = [value // shared for value in found]
    if max(map(abs, found)) > _MAX_COEFFICIENT:
        raise UnsupportedError("a polynomial with large coefficients")
    return found


def _roots(poly: Coefficients, budget: Budget) -> list[tuple[float, Node]]:
    """The distinct real roots: rational ones by trial, the two of a quadratic rest by its formula."""
    roots: list[tuple[float, Node]] = []
    rest: list[Any] = list(poly)
    if rest[0] == 0 and len(rest) > 1:
        roots.append((0.0, 0))
        while rest[0] == 0:
            rest = rest[1:]
    if len(rest) > 3 or len(rest) == 2:
        tops, bottoms = _divisors(abs(rest[0])), _divisors(abs(rest[-1]))
        if len(tops) * len(bottoms) > _MAX_CANDIDATES:
            raise UnsupportedError("too many fractions may be roots")
        candidates = {Fraction(sign * top, bottom) for top in tops for bottom in bottoms for sign in (1, -1)}
        for candidate in sorted(candidates):
            budget.spend(len(rest))
            while len(rest) > 1 and _value(rest, candidate) == 0:
                if not roots or roots[-1][1] != candidate:
                    roots.append((float(candidate), candidate))
                rest = _divided(rest, candidate)
    if len(rest) > 3:
        raise UnsupportedError("a polynomial whose roots are not at hand")
    if len(rest) == 3:
        roots += _quadratic(*(Fraction(value) for value in rest))
    return roots


def _quadratic(c: Fraction, b: Fraction, a: Fraction) -> list[tuple[float, Node]]:
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return []
    if discriminant == 0:
        return [(float(-b / (2 * a)), -b / (2 * a))]
    size = float(discriminant) ** 0.5
    top, bottom = isqrt(discriminant.numerator), isqrt(discriminant.denominator)
    exact: Node = Root(discriminant, 2)
    if Fraction(top * top, bottom * bottom) == discriminant:
        rational = Fraction(top, bottom)
        return [(float((-b + s * rational) / (2 * a)), (-b + s * rational) / (2 * a)) for s in (-1, 1)]
    minus: Node = Quotient(exact, -2 * a)
    plus: Node = Quotient(exact, 2 * a)
    middle = -b / (2 * a)
    return [
        (float(middle) - size / float(2 * a), Sum((middle, minus))),
        (float(middle) + size / float(2 * a), Sum((middle, plus))),
    ]


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0] + [
        number // divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0
    ]


def _value(poly: list[Any], at: Fraction) -> Fraction:
    total = Fraction(0)
    for coefficient in reversed(poly):
        total = total * at + coefficient
    return total


def _divided(poly: list[Any], root: Fraction) -> list[Any]:
    """poly / (x - root)."""
    found: list[Any] = []
    carry: Any = 0
    for coefficient in reversed(poly):
        carry = carry * root + coefficient
        found.append(carry)
    return found[:-1][::-1]


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)
