"""Plus-minus signs: what a value with such signs stands for, written out as a list."""

from __future__ import annotations

from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.build import make_product, make_sum
from eval_tasks.answers.limits import TooLargeError
from eval_tasks.answers.values import (
    EXPRESSIONS,
    NUMBERS,
    ListOf,
    Node,
    PlusMinus,
    Power,
    Product,
    Quantity,
    Quotient,
    Relation,
    Root,
    SetOf,
    Sum,
    TupleOf,
    Value,
    children,
    contains,
    negated,
)


def has_signs(value: Value) -> bool:
    """True if a plus-minus sign stands somewhere in the value."""
    kind = type(value)
    if kind in (TupleOf, ListOf, SetOf):
        return any(has_signs(item) for item in value.items)
    if kind is Relation:
        return any(has_signs(side) for side in value.sides)
    return isinstance(value, (*EXPRESSIONS, Quantity)) and not isinstance(value, NUMBERS) and contains(value, PlusMinus)


def signs_written_out(value: Value) -> Value:
    """The value with every plus-minus sign written out as a list."""
    kind = type(value)
    if kind in (ListOf, SetOf):
        items: list[Value] = []
        for item in value.items:
            written = signs_written_out(item)
            items.extend(written.items if type(written) is ListOf and written is not item else [written])
        return ListOf(tuple(items), value.joiner) if kind is ListOf else SetOf(tuple(items))
    if not has_signs(value):
        return value
    if kind is Quantity:
        return ListOf(tuple(Quantity(amount, value.unit) for amount in signs_settled(value.amount)), ",")
    if kind is Relation and not any(has_signs(side) for side in value.sides[:-1]):
        last = signs_written_out(value.sides[-1])
        return ListOf(
            tuple(Relation((*value.sides[:-1], item), value.operators, value.name) for item in last.items),
            "or",
        )
    if kind is TupleOf:
        choices: list[tuple[Value, ...]] = [()]
        for item in value.items:
            written = signs_written_out(item)
            options = written.items if type(written) is ListOf and written is not item else (written,)
            choices = [(*choice, option) for choice in choices for option in options]
            if len(choices) > 16:
                raise TooLargeError("too many plus-minus signs")
        return ListOf(tuple(TupleOf(choice, value.opening, value.closing) for choice in choices), ",")
    if kind is Relation:
        raise TooLargeError("a plus-minus sign in an unusual place")
    return ListOf(tuple(signs_settled(value)), ",")


def num_values(value: Value) -> int:
    """Members of a list or set; 1 for anything else."""
    return len(value.items) if type(value) in (ListOf, SetOf) else 1


def _num_signs(node: Node) -> int:
    """Plus-minus signs of an expression."""
    count, stack = 0, [node]
    while stack:
        part = stack.pop()
        count += type(part) is PlusMinus
        stack.extend(children(part))
    return count


def signs_settled(node: Node) -> list[Node]:
    """Every value of an expression with plus-minus signs: tied where \\mp is used, else each sign for itself."""
    count = _num_signs(node)
    if not count:
        return [node]
    if count > limits.MAX_PLUS_MINUS:
        raise TooLargeError("too many plus-minus signs")
    if _has_minus_plus(node):
        return [_settle(node, iter([sign] * count)) for sign in (1, -1)]
    return [
        _settle(node, iter([1 if choice >> place & 1 == 0 else -1 for place in range(count)]))
        for choice in range(2**count)
    ]


def _has_minus_plus(node: Node) -> bool:
    if type(node) is PlusMinus and node.sign < 0:
        return True
    return any(_has_minus_plus(child) for child in children(node))


def _settle(node: Node, signs: Any) -> Node:
    kind = type(node)
    if kind is PlusMinus:
        sign = next(signs) * node.sign
        inner = _settle(node.operand, signs)
        return inner if sign > 0 else negated(inner)
    if kind is Sum:
        return make_sum([_settle(term, signs) for term in node.terms])
    if kind is Product:
        return make_product([_settle(factor, signs) for factor in node.factors])
    if kind is Quotient:
        return Quotient(_settle(node.numerator, signs), _settle(node.denominator, signs))
    if kind is Power:
        return Power(_settle(node.base, signs), _settle(node.exponent, signs))
    if kind is Root:
        return Root(_settle(node.radicand, signs), _settle(node.index, signs))
    if _num_signs(node):
        raise TooLargeError("a plus-minus sign in an unusual place")
    return node
