"""Makes expression nodes from read parts: folds plain numbers, carries units, and spreads over matrices."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.limits import UndefinedError, UnreadableError
from eval_tasks.answers.values import (
    EXPRESSIONS,
    NUMBERS,
    Constant,
    Decimal,
    Matrix,
    Node,
    Power,
    Product,
    Quantity,
    Quotient,
    Sum,
    Value,
)

_EXPRESSIONS = (*EXPRESSIONS, Quantity)


def expression(value: Value) -> Node:
    """The value, if it is an expression or a quantity; else raises UnreadableError."""
    if isinstance(value, _EXPRESSIONS):
        return value
    raise UnreadableError(f"{type(value).__name__.strip('_').lower()} within an expression")


def scalar(value: Value) -> Node:
    """The value as a pure number: a percentage divided by 100, degrees in radians, other units left out."""
    if type(value) is not Quantity:
        return expression(value)
    if value.unit == "%":
        return make_quotient(value.amount, 100)
    if value.unit == "deg":
        return make_product([value.amount, Constant("pi"), Fraction(1, 180)])
    return value.amount


def checked(value: int | Fraction) -> int | Fraction:
    """The number, as an int where it is whole. Raises TooLargeError beyond the bound on bits."""
    if type(value) is int:
        if value.bit_length() > limits.MAX_BITS:
            raise limits.TooLargeError("a number is too large")
        return value
    if value.denominator == 1:
        return checked(value.numerator)  # a Fraction, or a Decimal that arithmetic made whole
    if value.numerator.bit_length() + value.denominator.bit_length() > limits.MAX_BITS:
        raise limits.TooLargeError("a number is too large")
    return value


def digits_of(value: int | Fraction) -> str:
    """The number as text. Raises TooLargeError where Python would refuse (its limit is 4,300 digits)."""
    if value.numerator.bit_length() + value.denominator.bit_length() > limits.MAX_BITS_WRITTEN:
        raise limits.TooLargeError("a number is too large to write out")
    return str(value)


def make_sum(terms: list[Value]) -> Value:
    """The sum; numbers are added at once. Quantities of one unit keep it; matrices are added entry by entry."""
    if any(type(term) is Matrix for term in terms):
        return _matrix_sum(terms)
    found = {term.unit for term in terms if type(term) is Quantity}
    if len(found) == 1 and (all(type(term) is Quantity for term in terms) or found == {"$"}):
        unit = found.pop()
        return Quantity(make_sum([term.amount if type(term) is Quantity else term for term in terms]), unit)
    if found:
        terms = [scalar(term) for term in terms]
    if all(isinstance(term, NUMBERS) for term in terms):
        return checked(sum(terms))
    return Sum(tuple(expression(term) for term in terms))


def make_product(factors: list[Value]) -> Value:
    """The product; numbers are multiplied at once. A unit on the last factor belongs to the whole."""
    if len(factors) == 1:
        return factors[0]
    if any(type(factor) is Matrix for factor in factors):
        return _matrix_product(factors)
    last = factors[-1]
    if type(last) is Quantity:
        return Quantity(make_product([*(scalar(factor) for factor in factors[:-1]), last.amount]), last.unit)
    if any(type(factor) is Quantity for factor in factors):
        first = factors[0]
        if type(first) is Quantity and first.unit not in ("%", "deg"):
            return Quantity(make_product([first.amount, *(scalar(factor) for factor in factors[1:])]), first.unit)
        factors = [scalar(factor) for factor in factors]
    if all(isinstance(factor, NUMBERS) for factor in factors):
        total: int | Fraction = 1
        for factor in factors:
            total = checked(total * factor)
        return _still_decimal(total, factors)
    return Product(tuple(expression(factor) for factor in factors))


def _still_decimal(total: int | Fraction, factors: list[Value]) -> int | Fraction:
    """2.5 * 10^-3 is a decimal with as many significant digits as 2.5."""
    decimals = [factor for factor in factors if type(factor) is Decimal]
    if len(decimals) != 1 or not decimals[0]:
        return total
    power = Fraction(total) / decimals[0]
    if max(power.numerator, power.denominator).bit_length() > limits.MAX_BITS_WRITTEN:
        return total
    size = str(max(power.numerator, power.denominator))
    if min(power.numerator, power.denominator) != 1 or size.strip("0") != "1":
        return total
    shift = len(size) - 1
    places = decimals[0].places - (shift if power.denominator == 1 else -shift)
    return Decimal.of(Fraction(total), places, decimals[0].digits)


def make_quotient(numerator: Value, denominator: Value) -> Node:
    """The quotient; of two numbers at once. Raises UndefinedError for a division by the number 0."""
    if type(numerator) is Matrix:
        return _matrix_product([make_quotient(1, denominator), numerator])
    if type(numerator) is Quantity and numerator.unit not in ("%", "deg") and type(denominator) is not Quantity:
        return Quantity(make_quotient(numerator.amount, denominator), numerator.unit)
    above, below = scalar(numerator), scalar(denominator)
    if isinstance(below, NUMBERS):
        if below == 0:
            raise UndefinedError("division by zero")
        if isinstance(above, NUMBERS):
            return checked(Fraction(above) / below)
    return Quotient(above, below)


def make_power(base: Node, exponent: Node) -> Node:
    """The power; a number to a small whole exponent at once."""
    if type(exponent) is int and isinstance(base, NUMBERS):
        if base == 0 and exponent < 0:
            raise UndefinedError("division by zero")
        size = Fraction(base)
        bits = max(size.numerator.bit_length(), size.denominator.bit_length())
        if bits * abs(exponent) <= limits.MAX_BITS:
            return checked(size**exponent)
    return Power(base, exponent)


def make_double_factorial(value: Value) -> int:
    """n * (n - 2) * (n - 4) * ... down to 2 or 1."""
    if type(value) is not int or not -1 <= value <= 1_000:
        raise UnreadableError("a double factorial of such a thing")
    return prod(range(value, 0, -2))


def _matrix_sum(terms: list[Value]) -> Matrix:
    shapes = {(len(term.rows), len(term.rows[0])) if type(term) is Matrix else None for term in terms}
    if len(shapes) != 1 or None in shapes:
        raise UnreadableError("matrices of different shapes added")
    return Matrix(
        tuple(
            tuple(make_sum([term.rows[i][j] for term in terms]) for j in range(len(row)))
            for i, row in enumerate(terms[0].rows)
        )
    )


def _matrix_product(factors: list[Value]) -> Matrix:
    matrices = [factor for factor in factors if type(factor) is Matrix]
    if len(matrices) > 2:
        raise UnreadableError("a product of many matrices")
    if len(matrices) == 2:
        matrices = [_matrix_times(*matrices)]
    others = [factor for factor in factors if type(factor) is not Matrix]
    return Matrix(tuple(tuple(make_product([*others, entry]) for entry in row) for row in matrices[0].rows))


def _matrix_times(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right.rows, strict=True))
    if len(left.rows[0]) != len(right.rows) or len(left.rows) * len(columns) * len(right.rows) > limits.MAX_ITEMS:
        raise UnreadableError("a product of matrices of such shapes")
    return Matrix(
        tuple(
            tuple(make_sum([make_product([a, b]) for a, b in zip(row, column, strict=True)]) for column in columns)
            for row in left.rows
        )
    )


def determinant(matrix: Matrix) -> Node:
    """The determinant by expansion along the first row, up to 4 x 4."""
    rows: Any = matrix.rows
    if any(len(row) != len(rows) for row in rows) or len(rows) > 4:
        raise UnreadableError("a determinant that is not square or too large")
    if len(rows) == 1:
        return expression(rows[0][0])
    terms = []
    for j, entry in enumerate(rows[0]):
        minor = Matrix(tuple(row[:j] + row[j + 1 :] for row in rows[1:]))
        terms.append(make_product([-1 if j % 2 else 1, scalar(entry), determinant(minor)]))
    return make_sum(terms)
