"""Sets of real numbers as unions of disjoint intervals in order, made from intervals, unions and inequalities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from eval_tasks.answers.build import make_product, make_quotient
from eval_tasks.answers.exact import canonical, same_form
from eval_tasks.answers.expressions import difference, infinity_sign, linear
from eval_tasks.answers.inequalities import sign_regions
from eval_tasks.answers.limits import Budget, TooLargeError, UndefinedError, UnsupportedError
from eval_tasks.answers.numeric import approximate, same_value
from eval_tasks.answers.values import (
    EXPRESSIONS,
    NUMBERS,
    Call,
    ListOf,
    Node,
    Relation,
    SetBuilder,
    SetOf,
    SetOperation,
    Symbol,
    TupleOf,
    Value,
    negated,
    symbols,
)

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


@dataclass(slots=True)
class End:
    """An end of an interval: an exact value with its float for sorting; the infinities have no exact value."""

    at: float
    exact: Node


@dataclass(slots=True)
class Piece:
    """An interval, or a point where both ends are one and closed."""

    low: End
    low_closed: bool
    high: End
    high_closed: bool


@dataclass(slots=True)
class RealSet:
    """Disjoint pieces in order; `name` is the variable that an inequality speaks of, '' where none is."""

    pieces: list[Piece]
    name: str = ""


MINUS, PLUS = End(-math.inf, None), End(math.inf, None)
ALL = RealSet([Piece(MINUS, False, PLUS, False)])


class NotRealError(Exception):
    """The value is not a set of real numbers that we can build."""


def real_set(value: Value, budget: Budget) -> RealSet:
    """The set of reals that a value stands for. Raises NotRealError."""
    kind = type(value)
    try:
        if kind is TupleOf:
            return _interval(value, budget)
        if kind is SetOf:
            return union([RealSet([_point(item, budget)]) for item in value.items], budget)
        if kind is SetOperation:
            return _operation(value, budget)
        if kind is Relation:
            return _relation(value, budget)
        if kind is SetBuilder:
            return _builder(value, budget)
        if kind is Symbol and value.name == "mathbbR":
            return ALL
        if kind is ListOf and all(type(item) is Relation for item in value.items):
            return _conditions(value, budget)
    except (UnsupportedError, UndefinedError, TooLargeError) as error:
        raise NotRealError(str(error)) from None
    raise NotRealError("no set of real numbers")


def _end(value: Value, budget: Budget) -> End:
    if isinstance(value, NUMBERS):
        try:
            return End(float(value), value)
        except OverflowError:
            raise NotRealError("an end that is too large") from None
    if not isinstance(value, EXPRESSIONS):
        raise NotRealError("an end that is no number")
    sign = infinity_sign(value)
    if sign:
        return PLUS if sign > 0 else MINUS
    if symbols(value):
        raise NotRealError("an end with a variable")
    return End(approximate(value, budget), value)


def _point(value: Value, budget: Budget) -> Piece:
    end = _end(value, budget)
    if math.isinf(end.at):
        raise NotRealError("infinity in a set")
    return Piece(end, True, end, True)


def _interval(value: TupleOf, budget: Budget) -> RealSet:
    if len(value.items) != 2 or value.opening == "<":
        raise NotRealError("no interval")
    low, high = _end(value.items[0], budget), _end(value.items[1], budget)
    low_closed = value.opening == "[" and not math.isinf(low.at)
    high_closed = value.closing == "]" and not math.isinf(high.at)
    return _from_ends(low, low_closed, high, high_closed, budget)


def _from_ends(low: End, low_closed: bool, high: End, high_closed: bool, budget: Budget) -> RealSet:
    order = _compare(low, high, budget)
    if order > 0 or (order == 0 and not (low_closed and high_closed)):
        return RealSet([])
    return RealSet([Piece(low, low_closed, high, high_closed)])


def _compare(one: End, other: End, budget: Budget) -> int:
    """-1, 0 or 1 as the first end is left of, at or right of the second."""
    if math.isinf(one.at) or math.isinf(other.at):
        return (one.at > other.at) - (one.at < other.at)
    if isinstance(one.exact, NUMBERS) and isinstance(other.exact, NUMBERS):
        return (one.exact > other.exact) - (one.exact < other.exact)
    if abs(one.at - other.at) <= 1e-9 * max(1.0, abs(one.at), abs(other.at)):
        verdict = same_form(canonical(one.exact, budget), canonical(other.exact, budget), budget)
        if verdict or (verdict is None and same_value(one.exact, other.exact, budget)):
            return 0
    return -1 if one.at < other.at else 1


def union(sets: list[RealSet], budget: Budget) -> RealSet:
    """The union of sets; touching pieces become one."""
    pieces = sorted(
        (piece for part in sets for piece in part.pieces),
        key=lambda piece: (piece.low.at, not piece.low_closed),
    )
    merged: list[Piece] = []
    for piece in pieces:
        if merged:
            last = merged[-1]
            order = _compare(piece.low, last.high, budget)
            if order < 0 or (order == 0 and (piece.low_closed or last.high_closed)):
                ends = _compare(piece.high, last.high, budget)
                high, closed = (piece.high, piece.high_closed) if ends > 0 else (last.high, last.high_closed)
                if ends == 0:
                    closed = piece.high_closed or last.high_closed
                low_closed = last.low_closed or (piece.low_closed and _compare(piece.low, last.low, budget) == 0)
                merged[-1] = Piece(last.low, low_closed, high, closed)
                continue
        merged.append(piece)
    return RealSet(merged, _name(sets))


def complement(part: RealSet) -> RealSet:
    """The reals outside a set."""
    pieces: list[Piece] = []
    low, closed = MINUS, False
    for piece in part.pieces:
        if piece.low.at != -math.inf:
            pieces.append(Piece(low, closed, piece.low, not piece.low_closed))
        low, closed = piece.high, not piece.high_closed
    if low.at != math.inf:
        pieces.append(Piece(low, closed, PLUS, False))
    return RealSet(pieces, part.name)


def intersection(sets: list[RealSet], budget: Budget) -> RealSet:
    """The intersection of sets."""
    result = complement(union([complement(part) for part in sets], budget))
    kept = [
        piece
        for piece in result.pieces
        if _compare(piece.low, piece.high, budget) < 0 or (piece.low_closed and piece.high_closed)
    ]
    return RealSet(kept, _name(sets))


def _name(sets: list[RealSet]) -> str:
    found = {part.name for part in sets if part.name}
    if len(found) > 1:
        raise NotRealError("conditions on several variables")
    return found.pop() if found else ""


def _operation(value: SetOperation, budget: Budget) -> RealSet:
    left, right = real_set(value.left, budget), real_set(value.right, budget)
    if value.operator == "cup":
        return union([left, right], budget)
    if value.operator == "cap":
        return intersection([left, right], budget)
    return intersection([left, complement(right)], budget)


def _builder(value: SetBuilder, budget: Budget) -> RealSet:
    element = value.element
    if type(element) is Relation and element.operators == ("in",) and type(element.sides[0]) is Symbol:
        if element.sides[1] != Symbol("mathbbR"):
            raise NotRealError("not over the reals")
        element = element.sides[0]
    if type(element) is not Symbol:
        raise NotRealError("elements that are no plain variable")
    found = real_set(value.condition, budget)
    if found.name not in ("", element.name):
        raise NotRealError("a condition on another variable")
    return RealSet(found.pieces)


def _conditions(value: ListOf, budget: Budget) -> RealSet:
    """Several conditions: 'or' unites; 'and' intersects; a comma intersects unless nothing is left then."""
    sets = [real_set(item, budget) for item in value.items]
    if value.joiner == "or":
        return union(sets, budget)
    common = intersection(sets, budget)
    return common if common.pieces or (value.joiner == "and" and not _disjoint_rays(sets)) else union(sets, budget)


def _disjoint_rays(sets: list[RealSet]) -> bool:
    return all(len(part.pieces) == 1 and math.isinf(part.pieces[0].high.at - part.pieces[0].low.at) for part in sets)


def _relation(value: Relation, budget: Budget) -> RealSet:
    if value.operators == ("in",) or value.operators == ("notin",):
        if type(value.sides[0]) is not Symbol:
            raise NotRealError("membership of no plain variable")
        found = real_set(value.sides[1], budget)
        found = found if value.operators == ("in",) else complement(found)
        return RealSet(found.pieces, value.sides[0].name)
    calls = {side for side in value.sides if type(side) is Call and side.name.rstrip("'") in ("f", "g")}
    if len(calls) == 1:  # 0 < f(x) < 1 tells of the values of f
        sides = tuple(Symbol("f") if side in calls else side for side in value.sides)
        return _relation(Relation(sides, value.operators, None), budget)
    names = {name for side in value.sides for name in _free(side)}
    if len(names) != 1:
        raise NotRealError("not a condition on one variable")
    name = names.pop()
    sets = []
    for left, operator, right in zip(value.sides, value.operators, value.sides[1:], strict=False):
        if operator not in _FLIPPED:
            raise NotRealError("no inequality")
        sets.append(_inequality(left, operator, right, name, budget))
    found = sets[0] if len(sets) == 1 else intersection(sets, budget)
    return RealSet(found.pieces, name)


def _free(side: Value) -> set[str]:
    if not isinstance(side, EXPRESSIONS):
        raise NotRealError("no inequality between numbers")
    return symbols(side)


def _inequality(left: Node, operator: str, right: Node, name: str, budget: Budget) -> RealSet:
    for one, other, sign in ((left, right, operator), (right, left, _FLIPPED[operator])):
        if type(one) is Call and one.name == "abs" and not _free(other):
            return _absolute(one.arguments[0], sign, other, name, budget)
        infinite = infinity_sign(one)
        if infinite and type(other) is Symbol:  # -oo < x
            return ALL
    gap = difference(left, right)
    found = linear(gap, name, budget)
    if found is None:
        return _by_signs(gap, operator, name, budget)
    slope, rest = found
    end = _end(make_quotient(make_product([-1, rest]), slope), budget)
    if slope < 0:
        operator = _FLIPPED[operator]
    if operator == "=":
        return RealSet([Piece(end, True, end, True)])
    if operator == "!=":
        return complement(RealSet([Piece(end, True, end, True)]))
    if operator in ("<", "<="):
        return RealSet([Piece(MINUS, False, end, operator == "<=")])
    return RealSet([Piece(end, operator == ">=", PLUS, False)])


def _by_signs(gap: Node, operator: str, name: str, budget: Budget) -> RealSet:
    """Where gap < 0, gap >= 0 and so on, for a quotient of polynomials."""
    places, at_places, between = sign_regions(gap, name, budget)
    wanted = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1), "=": (0,), "!=": (-1, 1)}[operator]
    ends = [MINUS, *(_end(place, budget) for place in places), PLUS]
    parts = [Piece(low, False, high, False) for low, high in pairwise(ends)]
    kept = [part for part, sign in zip(parts, between, strict=True) if sign in wanted]
    kept += [Piece(end, True, end, True) for end, sign in zip(ends[1:-1], at_places, strict=True) if sign in wanted]
    return union([RealSet([piece]) for piece in kept], budget)


def _absolute(inner: Node, operator: str, bound: Node, name: str, budget: Budget) -> RealSet:
    """|inner| < bound is -bound < inner < bound, and so on."""
    if approximate(bound, budget) < 0 or operator in ("=", "!="):
        raise NotRealError("an absolute value compared with a negative number")
    upper = _inequality(inner, operator, bound, name, budget)
    lower = _inequality(inner, _FLIPPED[operator], negated(bound), name, budget)
    both = [lower, upper]
    return intersection(both, budget) if operator in ("<", "<=") else union(both, budget)


def same_real_set(one: RealSet, other: RealSet, budget: Budget) -> bool:
    """True if the two sets have the same elements, and speak of the same variable where both name one."""
    if one.name and other.name and one.name != other.name and "?" not in (one.name, other.name):
        return False
    if len(one.pieces) != len(other.pieces):
        return False
    return all(
        a.low_closed == b.low_closed
        and a.high_closed == b.high_closed
        and _compare(a.low, b.low, budget) == 0
        and _compare(a.high, b.high, budget) == 0
        for a, b in zip(one.pieces, other.pieces, strict=True)
    )
