"""What the topics share: the exercise itself, and numbers and polynomials as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

Number = int | Fraction


@dataclass(frozen=True, slots=True)
class Exercise:
    """A problem, the steps of its solution and its answer, all LaTeX text with formulas between dollar signs."""

    statement: str
    steps: tuple[str, ...]
    answer: str


Topic = Callable[[Random], Exercise]


class WrongAnswerError(AssertionError):
    """Raised when a generated answer fails its check: a fault of the generator, never of its input."""


def check(holds: bool, what: str) -> None:
    """Raises WrongAnswerError unless the answer of a generated exercise holds."""
    if not holds:
        raise WrongAnswerError(what)


def tex(value: Number) -> str:
    r"""A rational number: 3, -\frac{2}{5}."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def braced(value: Number) -> str:
    """A number as a factor: negative ones in parentheses."""
    return f"({tex(value)})" if value < 0 else tex(value)


def signed(value: Number) -> str:
    """A number as a further term: '+ 3' or '- 3'."""
    return f"{'-' if value < 0 else '+'} {tex(abs(Fraction(value)))}"


def polynomial(coefficients: Sequence[Number], variable: str = "x") -> str:
    """A polynomial from its coefficients, constant term first."""
    terms: list[str] = []
    for power in range(len(coefficients) - 1, -1, -1):
        value = Fraction(coefficients[power])
        if value == 0:
            continue
        size = abs(value)
        symbol = (
            ""
            if power == 0
            else variable
            if power == 1
            else f"{variable}^{{{power}}}"
            if power > 9
            else f"{variable}^{power}"
        )
        body = tex(size) + (" " + symbol if size.denominator != 1 and symbol else symbol)
        body = symbol if size == 1 and symbol else body
        sign = "-" if value < 0 else "+"
        terms.append(f"{sign} {body}" if terms else f"{'-' if value < 0 else ''}{body}")
    return " ".join(terms) or "0"


def evaluate(coefficients: Sequence[Number], x: Number) -> Fraction:
    """The polynomial's value at x."""
    total = Fraction(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def multiply(left: Sequence[Number], right: Sequence[Number]) -> list[Fraction]:
    """The product of two polynomials."""
    out = [Fraction(0)] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            out[i + j] += Fraction(a) * b
    return out


def derivative(coefficients: Sequence[Number]) -> list[Fraction]:
    """The derivative of a polynomial."""
    return [power * Fraction(value) for power, value in enumerate(coefficients)][1:] or [Fraction(0)]


def nonzero(rng: Random, low: int, high: int) -> int:
    """A number between the bounds that is not 0."""
    value = 0
    while value == 0:
        value = rng.randint(low, high)
    return value


def split_square(value: int) -> tuple[int, int]:
    """(a, b) with value = a*a*b and b free of squares."""
    root, rest, factor = 1, value, 2
    while factor * factor <= rest:
        while rest % (factor * factor) == 0:
            rest //= factor * factor
            root *= factor
        factor += 1
    return root, rest


def surd(value: int) -> str:
    """The square root of a positive integer in lowest form."""
    root, rest = split_square(value)
    if rest == 1:
        return str(root)
    return (str(root) if root > 1 else "") + f"\\sqrt{{{rest}}}"
