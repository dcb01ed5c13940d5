"""Functions with their arguments, and sums, products, integrals and limits with their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_tasks.answers import limits, names
from eval_tasks.answers.build import determinant, make_power, make_product, make_sum, scalar
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import (
    Bound,
    Call,
    Constant,
    Matrix,
    Node,
    Root,
    Value,
    negated,
)

if TYPE_CHECKING:
    from eval_tasks.answers.parse import Reader

BIG = {"sum": "sum", "prod": "product", "int": "integral", "lim": "limit"}


def make_root(radicand: Node, index: Node) -> Node:
    """The root. Raises UndefinedError for degree 0."""
    if index == 0:
        raise limits.UndefinedError("a root of degree 0")
    return Root(radicand, index)


def read_arguments(reader: Reader) -> list[Value]:
    """The items in the brackets at the reader's place; at least one."""
    reader.enter()
    opening = reader.tokens[reader.at][1]
    reader.at += 1
    bars, builders, reader.bars, reader.builders = reader.bars, reader.builders, 0, 0
    items, _, _ = reader.items()
    reader.expect({"(": ")", "[": "]", "{": "}"}[opening])
    reader.bars, reader.builders = bars, builders
    reader.depth -= 1
    if not items:
        raise UnreadableError("a function without its argument")
    return items


def read_call(reader: Reader, name: str) -> Value:
    """The function at the reader's place with power, base and argument: \\sin^2 x, \\log_2 8, sqrt(2), \\ln|x|."""
    exponent: Node = None
    base: Node = None
    kind, value, spaced = reader.tokens[reader.at]
    if name == "log" and kind == "n" and not spaced and reader.tokens[reader.at + 1][1] == "(":
        base = value  # log2(8), log10(1000)
        reader.at += 1
    for _ in range(2):
        if reader.is_operator("^"):
            reader.at += 1
            if reader.is_operator("{"):
                exponent = scalar(reader.argument())
            else:
                sign = -1 if reader.is_operator("-") else 1
                reader.at += sign < 0
                exponent = scalar(reader.power(mixed=False))
                exponent = negated(exponent) if sign < 0 else exponent
        elif reader.is_operator("_"):
            reader.at += 1
            base = scalar(reader.argument())
    if reader.is_operator("(", "{") or (reader.is_operator("[") and name not in ("sin", "cos")):
        arguments = [_operand(item, name) for item in read_arguments(reader)]
    else:
        arguments = [scalar(_bare_argument(reader))]
    if exponent == -1 and name in names.INVERSES:
        name, exponent = names.INVERSES[name], None
    result = _applied(name, arguments, base)
    return result if exponent is None else make_power(result, exponent)


def _operand(value: Value, name: str) -> Node:
    if type(value) is Matrix and name == "det":
        return determinant(value)
    return scalar(value)


def _applied(name: str, arguments: list[Node], base: Node) -> Node:
    if name == "det" and len(arguments) == 1:
        return arguments[0]
    if name == "sqrt" and len(arguments) == 1:
        return make_root(arguments[0], 2)
    if name == "cbrt" and len(arguments) == 1:
        return make_root(arguments[0], 3)
    if name == "exp" and len(arguments) == 1:
        return make_power(Constant("e"), arguments[0])
    if name == "cis" and len(arguments) == 1:
        angle = arguments[0]
        return make_sum([Call("cos", (angle,)), make_product([Constant("i"), Call("sin", (angle,))])])
    if name == "log10" and len(arguments) == 1:
        return Call("logb", (10, arguments[0]))
    if name == "log" and base is not None and len(arguments) == 1:
        return Call("logb", (base, arguments[0]))
    if name == "log" and len(arguments) == 2:
        return Call("logb", (arguments[1], arguments[0]))
    if base is not None:
        raise UnreadableError(f"a subscript on {name}")
    if name in ("gcd", "lcm", "min", "max"):
        if not 1 <= len(arguments) <= 50:
            raise UnreadableError(f"{name} of too many things")
    elif name == "binom":
        if len(arguments) != 2:
            raise UnreadableError("binomial takes two numbers")
    elif len(arguments) != 1:
        raise UnreadableError(f"{name} takes one argument")
    return Call(name, tuple(arguments))


def _bare_argument(reader: Reader) -> Value:
    """The argument of a function written without brackets: the factors up to the next sign, function or bracket."""
    reader.enter()
    sign = 1
    while reader.is_operator("-", "+"):
        sign = -sign if reader.tokens[reader.at][1] == "-" else sign
        reader.at += 1
    factors: list[Value] = [reader.power()]
    while True:
        kind, value, _ = reader.tokens[reader.at]
        if kind == "w":
            if value in names.FUNCTIONS or reader.stops_product(value, factors[-1]) or _begins_function(value):
                break
        elif kind == "c":
            if value in names.FUNCTIONS or value in BIG or value in ("pmod", "bmod", "mod"):
                break
        else:
            break
        factors.append(reader.power())
    reader.depth -= 1
    value = make_product(factors) if len(factors) > 1 else factors[0]
    return value if sign == 1 else negated(scalar(value))


def _begins_function(word: str) -> bool:
    return len(word) > 3 and word[:3] in ("sin", "cos", "tan", "log")


def read_big(reader: Reader, kind: str) -> Value:
    """A sum, product, integral or limit with its bounds and body."""
    reader.enter()
    lower: Node = None
    upper: Node = None
    variable = ""
    for _ in range(2):
        if reader.is_operator("_"):
            reader.at += 1
            if kind == "integral":
                lower = scalar(reader.argument())
                continue
            reader.expect("{")
            token = reader.tokens[reader.at]
            if token[0] != "w" or len(token[1]) != 1:
                raise UnreadableError("a bound variable is missing")
            variable = token[1]
            reader.at += 1
            reader.expect("->" if kind == "limit" else "=")
            lower = scalar(reader.sum())
            reader.expect("}")
        elif reader.is_operator("^"):
            reader.at += 1
            upper = scalar(reader.argument())
    if kind == "integral":
        return _integral(reader, lower, upper)
    if not variable or lower is None or (upper is None) != (kind == "limit"):
        raise UnreadableError(f"a {kind} without its bounds")
    reader.bound.append(variable)
    body = scalar(reader.product())
    reader.bound.pop()
    reader.depth -= 1
    return Bound(kind, variable, lower, upper, body)


def _integral(reader: Reader, lower: Node, upper: Node) -> Value:
    if (lower is None) != (upper is None):
        raise UnreadableError("an integral with one bound")
    reader.integrals += 1
    body = scalar(reader.sum()) if not _is_differential(reader) else 1
    reader.integrals -= 1
    word = reader.tokens[reader.at][1]
    if not _is_differential(reader):
        raise UnreadableError("an integral without its variable")
    reader.at += 1
    if word == "d":
        word += reader.tokens[reader.at][1]
        reader.at += 1
    reader.depth -= 1
    return Bound("integral", word[1:], lower, upper, body)


def _is_differential(reader: Reader) -> bool:
    kind, value, _ = reader.tokens[reader.at]
    following = reader.tokens[reader.at + 1] if value == "d" else None
    return kind == "w" and value[0] == "d" and (len(value) == 2 or (following is not None and following[0] == "w"))
