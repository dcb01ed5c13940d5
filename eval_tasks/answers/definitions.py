"""What an answer such as 'x = 5', 'Area: 12' or '9 m/s' means behind its name or its letters."""

from __future__ import annotations

from eval_tasks.answers import units
from eval_tasks.answers.build import make_product, make_quotient
from eval_tasks.answers.values import (
    EXPRESSIONS,
    Call,
    Power,
    Product,
    Quantity,
    Quotient,
    Ratio,
    Relation,
    Symbol,
    Value,
    symbols,
)

_EQUALITIES = frozenset(("=", "~"))


def defined_value(relation: Relation) -> Value | None:
    """The value that 'name = ... = value', 'name in set' or 'name : value' gives to the name; None for others."""
    operators, sides = relation.operators, relation.sides
    if operators == ("in",) and type(sides[0]) is Symbol:
        return sides[1]
    if not set(operators) <= _EQUALITIES:
        return None
    if relation.name is None and not _names_something(sides[0]):
        return sides[0] if operators == ("~",) and isinstance(sides[0], EXPRESSIONS) else None
    if "~" in operators[1:]:  # x = 1/3 ~ 0.33: what is exact
        return sides[operators.index("~", 1)]
    return sides[-1]


def _names_something(side: Value) -> bool:
    """AB, |AB|, P(A), f'(2): a measure or a function, not an expression in unknowns."""
    if type(side) is Call and (side.name in ("abs", "gcd", "lcm", "det") or len(side.name.rstrip("'")) == 1):
        return side.name != "abs" or _names_something(side.arguments[0])
    if type(side) is Symbol:
        return bool(side.name[0].isupper())
    if type(side) is Product:
        return all(_names_something(part) for part in side.factors)
    if type(side) is Quotient:
        return _names_something(side.numerator) and _names_something(side.denominator)
    return type(side) is Ratio and all(type(part) is Symbol or _names_something(part) for part in side.items)


def letters_as_unit(plain: Value) -> Quantity | None:
    """7 m^2 or 9 m/s, which read as products of variables, as a quantity; None where it cannot be one."""
    amounts: list[Value] = []
    above: list[Value] = []
    below: list[Value] = []
    stack = [(plain, above)]
    while stack:
        part, side = stack.pop()
        base, exponent = (part.base, part.exponent) if type(part) is Power else (part, 1)
        if type(part) is Quotient:
            stack += [(part.denominator, below if side is above else above), (part.numerator, side)]
        elif type(part) is Product:
            stack += [(factor, side) for factor in reversed(part.factors)]
        elif type(base) is Symbol and base.name in units.LETTER_UNITS and type(exponent) is int:
            side.append(base.name if exponent == 1 else f"{base.name}^{exponent}")
        elif symbols(part):
            return None
        else:
            amounts.append(part if side is above else make_quotient(1, part))
    if not above or not amounts:
        return None
    unit = " ".join(above) + ("/" + " ".join(below) if below else "")
    return Quantity(make_product(amounts), unit)
