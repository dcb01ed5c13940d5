"""What an answer can be: expression nodes, and the typed values made of them.

A rational number is a plain `int` or `Fraction`; `Decimal` is a Fraction that remembers how it was written.
Every other node and value is one of the classes below. They are compared by `compare`, never by `==`,
but `==` and `repr` mean "written the same way", which is how repeated sub-expressions are found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


class Decimal(Fraction):
    """A rational number written with a decimal point: `places` digits behind it, `digits` significant ones."""

    __slots__ = ("digits", "places")
    places: int
    digits: int

    @classmethod
    def of(cls, value: Fraction, places: int, digits: int) -> Decimal:
        self = cls(value)
        self.places = places
        self.digits = digits
        return self


@dataclass(slots=True, unsafe_hash=True)
class Symbol:
    """A variable, with its subscript and primes in the name."""

    name: str


@dataclass(slots=True, unsafe_hash=True)
class Constant:
    """pi, e, i or infinity."""

    name: str


@dataclass(slots=True, unsafe_hash=True)
class Sum:
    """The sum of its terms."""

    terms: tuple[Node, ...]


@dataclass(slots=True, unsafe_hash=True)
class Product:
    """The product of its factors."""

    factors: tuple[Node, ...]


@dataclass(slots=True, unsafe_hash=True)
class Quotient:
    """numerator / denominator."""

    numerator: Node
    denominator: Node


@dataclass(slots=True, unsafe_hash=True)
class Power:
    """base to the exponent, principal value."""

    base: Node
    exponent: Node


@dataclass(slots=True, unsafe_hash=True)
class Root:
    """The real root where there is one, else the principal root."""

    radicand: Node
    index: Node


@dataclass(slots=True, unsafe_hash=True)
class Call:
    """A function of `names.FUNCTIONS`, or an unknown one such as f."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(slots=True, unsafe_hash=True)
class PlusMinus:
    """+operand or -operand; `sign` is 1 for \\pm and -1 for \\mp."""

    operand: Node
    sign: int


@dataclass(slots=True, unsafe_hash=True)
class Bound:
    """sum, product, integral or limit over a bound variable. An indefinite integral has lower = upper = None."""

    kind: str
    variable: str
    lower: Node | None
    upper: Node | None
    body: Node


@dataclass(slots=True, unsafe_hash=True)
class Quantity:
    """A value with a unit: '%', 'deg', '$', a known unit (see units.py), or another word as a label."""

    amount: Node
    unit: str


@dataclass(slots=True, unsafe_hash=True)
class BaseNumeral:
    """Digits with a base written as a subscript."""

    digits: str
    base: int
    value: int | Fraction


@dataclass(slots=True, unsafe_hash=True)
class TupleOf:
    """Items in brackets: a point, an interval, a vector. `opening` is one of ( [ <, `closing` of ) ] >."""

    items: tuple[Value, ...]
    opening: str
    closing: str


@dataclass(slots=True, unsafe_hash=True)
class ListOf:
    """Items without brackets; `joiner` is ',', 'or' or 'and'."""

    items: tuple[Value, ...]
    joiner: str


@dataclass(slots=True, unsafe_hash=True)
class SetOf:
    """A set given by its members. `plain` braces, as in {1, 2}, do not show in LaTeX: it may be a list as well."""

    items: tuple[Value, ...]
    plain: bool = field(default=False, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class SetBuilder:
    """The elements that fulfil a condition."""

    element: Value
    condition: Value


@dataclass(slots=True, unsafe_hash=True)
class SetOperation:
    """'cup', 'cap' or 'setminus'."""

    operator: str
    left: Value
    right: Value


@dataclass(slots=True, unsafe_hash=True)
class Matrix:
    """Rows of one length."""

    rows: tuple[tuple[Value, ...], ...]


@dataclass(slots=True, unsafe_hash=True)
class Relation:
    """sides[0] operators[0] sides[1] ...; `name` is what the first side defines (x, f(x), (x,y)), if it does."""

    sides: tuple[Value, ...]
    operators: tuple[str, ...]
    name: str | None


@dataclass(slots=True, unsafe_hash=True)
class Ratio:
    """a : b, or a time of day."""

    items: tuple[Value, ...]
    clock: bool


@dataclass(slots=True, unsafe_hash=True)
class Residue:
    """value modulo modulus."""

    amount: Node
    modulus: Node


@dataclass(slots=True, unsafe_hash=True)
class Text:
    """Words, folded to lower case with single spaces."""

    words: str


Node = Any  # int | Fraction | Decimal | Symbol | Constant | Sum | Product | ... (an expression)
Value = Any  # a Node, or one of the values above
NUMBERS = (int, Fraction)
EXPRESSIONS = (int, Fraction, Symbol, Constant, Sum, Product, Quotient, Power, Root, Call, PlusMinus, Bound)


def children(node: Node) -> tuple[Node, ...]:
    """The direct sub-expressions of an expression."""
    kind = type(node)
    if kind is Sum:
        return node.terms  # type: ignore[no-any-return]
    if kind is Product:
        return node.factors  # type: ignore[no-any-return]
    if kind is Quotient:
        return (node.numerator, node.denominator)
    if kind is Power:
        return (node.base, node.exponent)
    if kind is Root:
        return (node.radicand, node.index)
    if kind is Call:
        return node.arguments  # type: ignore[no-any-return]
    if kind is PlusMinus:
        return (node.operand,)
    if kind is Bound:
        return tuple(part for part in (node.lower, node.upper, node.body) if part is not None)
    if kind is Quantity:
        return (node.amount,)
    return ()


def symbols(node: Node) -> set[str]:
    """Names of the free variables of an expression."""
    found: set[str] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if type(part) is Symbol:
            found.add(part.name)
        elif type(part) is Bound and part.lower is not None:
            inner = symbols(part.body)
            inner.discard(part.variable)
            found |= inner
            stack += [side for side in (part.lower, part.upper) if side is not None]
        else:
            stack.extend(children(part))
    return found


def contains(node: Node, kinds: type | tuple[type, ...]) -> bool:
    """True if the expression or a part of it is of one of the kinds."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, kinds):
            return True
        stack.extend(children(part))
    return False


def contains_imaginary_unit(node: Node) -> bool:
    """True if i stands in the expression."""
    if type(node) is Constant:
        return bool(node.name == "i")
    return any(contains_imaginary_unit(child) for child in children(node))


def negated(node: Node) -> Node:
    """-node, keeping decimals and units as they were written."""
    kind = type(node)
    if kind is int:
        return -node
    if kind is Decimal:
        return Decimal.of(-Fraction(node), node.places, node.digits)
    if kind is Fraction:
        return -node
    if kind is Quantity:
        return Quantity(negated(node.amount), node.unit)
    return Product((-1, node))
