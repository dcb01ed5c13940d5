"""Whatever stands in brackets: groups, tuples, intervals, sets, absolute values, environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval_tasks.answers import limits
from eval_tasks.answers.build import determinant, make_quotient, scalar
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import (
    Call,
    ListOf,
    Matrix,
    Quantity,
    SetOf,
    Symbol,
    TupleOf,
    Value,
)

if TYPE_CHECKING:
    from eval_tasks.answers.parse import Reader

_MATCHING = {"(": (")", "]"), "[": ("]", ")"), "<<": (">>",)}


def read_bracket(reader: Reader, opening: str) -> Value:
    """What begins with the operator at the reader's place."""
    if opening in _MATCHING:
        return _round_or_square(reader, opening)
    if opening == "{":
        if _has_infix(reader):
            return _infix(reader)
        if reader.tokens[reader.at + 1][0] == "w" and reader.tokens[reader.at + 2][1] in ("|", ":"):
            return _set(reader, "}")  # {x | x > 1}
        return reader.group()
    if opening == "lb":
        return _set(reader)
    if opening in ("|", "||"):
        return _absolute(reader, opening)
    if opening in ("lfloor", "lceil"):
        reader.enter()
        reader.at += 1
        inside = scalar(reader.sum())
        reader.expect("r" + opening[1:])
        reader.depth -= 1
        return Call("floor" if opening == "lfloor" else "ceil", (inside,))
    if opening == "begin":
        return _environment(reader)
    if opening == "$":
        reader.at += 1
        return Quantity(scalar(reader.signed_power()), "$")
    if opening == "...":
        reader.at += 1
        return Symbol("...")
    raise UnreadableError(f"cannot read {opening!r} here")


def _round_or_square(reader: Reader, opening: str) -> Value:
    reader.enter()
    reader.at += 1
    bars, builders, reader.bars, reader.builders = reader.bars, reader.builders, 0, 0
    items, _, separated = reader.items()
    closing = reader.tokens[reader.at][1]
    if closing not in _MATCHING[opening] or reader.tokens[reader.at][0] != "o" or not items:
        raise UnreadableError(f"no bracket closes {opening!r}")
    reader.at += 1
    reader.bars, reader.builders = bars, builders
    reader.depth -= 1
    if len(items) == 1 and not separated:
        if (opening == "(") != (closing == ")"):
            raise UnreadableError("brackets that do not match")
        return items[0]
    return TupleOf(tuple(items), opening[0], closing[0])


def _set(reader: Reader, closing: str = "rb") -> Value:
    reader.enter()
    reader.at += 1
    bars, builders, reader.bars, reader.builders = reader.bars, reader.builders, 0, 1
    items, _, _ = reader.items()
    if reader.is_operator("|", ":") and len(items) == 1:
        reader.builders = 0
        value = reader.builder(items[0], closing)
    else:
        reader.expect(closing)
        value = SetOf(tuple(items))
    reader.bars, reader.builders = bars, builders
    reader.depth -= 1
    return value


def _absolute(reader: Reader, bar: str) -> Value:
    reader.enter()
    reader.at += 1
    builders, reader.builders = reader.builders, 0
    reader.bars += 1
    inside = reader.sum()
    reader.bars -= 1
    reader.expect(bar)
    reader.builders = builders
    reader.depth -= 1
    return determinant(inside) if type(inside) is Matrix else Call("abs", (scalar(inside),))


_INFIX = ("over", "choose")


def _has_infix(reader: Reader) -> bool:
    depth = 0
    for kind, value, _ in reader.tokens[reader.at : reader.at + 40]:
        if kind != "o":
            continue
        if value == "{":
            depth += 1
        elif value == "}":
            depth -= 1
            if not depth:
                return False
        elif value in _INFIX and depth == 1:
            return True
    return False


def _infix(reader: Reader) -> Value:
    """{a \\over b} and {n \\choose k}, plain TeX's fraction and binomial coefficient."""
    reader.enter()
    reader.expect("{")
    tokens = reader.tokens
    depth, place = 0, reader.at
    while not (tokens[place][1] in _INFIX and not depth):
        depth += (tokens[place][1] == "{") - (tokens[place][1] == "}")
        place += 1
    operator = tokens[place][1]
    tokens[place] = ("o", "}", False)
    above = reader.sum()
    reader.expect("}")
    below = reader.sum()
    reader.expect("}")
    reader.depth -= 1
    return make_quotient(above, below) if operator == "over" else Call("binom", (scalar(above), scalar(below)))


def _environment(reader: Reader) -> Value:
    reader.enter()
    reader.at += 1
    name = reader.tokens[reader.at][1]
    reader.at += 1
    if name in ("array", "alignedat") and reader.is_operator("{"):
        reader.subscript_text()
    rows: list[tuple[Value, ...]] = []
    row: list[Value] = []
    count = 0
    bars, builders, reader.bars, reader.builders = reader.bars, reader.builders, 0, 0
    while True:
        kind, value, _ = reader.tokens[reader.at]
        if kind == "o" and value in ("nl", "end"):
            if row:
                rows.append(tuple(row))
                row = []
            reader.at += 1
            if value == "end":
                break
            if reader.is_operator("["):  # \\[2pt]
                while not reader.is_operator("]") and reader.tokens[reader.at][0] != "end":
                    reader.at += 1
                reader.expect("]")
            continue
        if kind == "o" and value == "&":
            reader.at += 1
            continue
        if kind == "end":
            raise UnreadableError("an open environment")
        row.append(_cell(reader))
        count += 1
        if count > limits.MAX_ITEMS:
            raise UnreadableError("a matrix with too many entries")
    if reader.tokens[reader.at][1] != name:
        raise UnreadableError("environments that do not match")
    reader.at += 1
    reader.bars, reader.builders = bars, builders
    reader.depth -= 1
    return _finished(name, rows)


def _cell(reader: Reader) -> Value:
    """One entry; what a comma ends within it is a second value of the row (cases)."""
    value = reader.item()
    if reader.is_operator(","):
        reader.at += 1
    return value


def _finished(name: str, rows: list[tuple[Value, ...]]) -> Value:
    if not rows:
        raise UnreadableError("an empty environment")
    if name in ("cases", "aligned", "align", "gathered", "split", "alignedat"):
        parts: list[Any] = [row[0] if len(row) == 1 else TupleOf(row, "(", ")") for row in rows]
        return parts[0] if len(parts) == 1 else ListOf(tuple(parts), "and")
    if len({len(row) for row in rows}) != 1:
        raise UnreadableError("rows of different lengths")
    matrix = Matrix(tuple(rows))
    return determinant(matrix) if name in ("vmatrix", "Vmatrix") else matrix
