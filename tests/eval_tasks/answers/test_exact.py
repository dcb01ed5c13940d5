"""Exact arithmetic against SymPy, the slow and independent reference."""

from __future__ import annotations

import random

import pytest

from eval_tasks.answers.exact import canonical, same_form
from eval_tasks.answers.limits import Budget, TooLargeError
from eval_tasks.answers.reading import read
from eval_tasks.answers.symbolic import encoded
from eval_tasks.answers.worker import _built

sympy = pytest.importorskip("sympy")

ATOMS = ["x", "y", "2", "3", "5", r"\sqrt{2}", r"\sqrt{6}", "i", r"\pi", r"\frac{1}{2}", r"\sqrt[3]{4}"]


def _expression(choose: random.Random, depth: int) -> str:
    if depth == 0:
        return choose.choice(ATOMS)
    one, other = _expression(choose, depth - 1), _expression(choose, depth - 1)
    return choose.choice(
        [
            f"({one}) + ({other})",
            f"({one}) - ({other})",
            f"({one})({other})",
            f"({one})^2",
            rf"\frac{{{one}}}{{{other}+7}}",
        ]
    )


def test_canonical_forms_of_random_expressions_agree_with_sympy() -> None:
    choose = random.Random(20240607)
    num_equal = 0
    for _ in range(60):
        one, other = _expression(choose, 2), _expression(choose, 2)
        if choose.random() < 0.5:
            other = f"({one}) + ({other}) - ({other})"
        left, right = read(one).value, read(other).value
        verdict = same_form(canonical(left, Budget()), canonical(right, Budget()), Budget())
        difference = sympy.simplify(sympy.expand(_built(encoded(left)) - _built(encoded(right))))
        assert verdict == (difference == 0), (one, other)
        num_equal += bool(verdict)
    assert 10 < num_equal < 50


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("(x+1)^2", "2*x+x^2+1"),
        (r"\sqrt{12}", "2*#3^1/2"),
        (r"\frac{1}{\sqrt{2}}", "1/2*#2^1/2"),
        ("i^{7}", "-1*#i"),
        (r"2^{x+1}", "2*@pow(2,x)"),
        (r"\sqrt{-9}", "3*#i"),
    ],
)
def test_canonical_form_is_named_by_its_terms(text: str, key: str) -> None:
    assert canonical(read(text).value, Budget()).key() == key


@pytest.mark.parametrize("text", ["(x+y+z+1)^{60}", "2^{10^7}", r"5000!", "(a+b+c+d)^{30}(a-b-c-d)^{30}"])
def test_canonical_form_that_would_be_too_large_is_refused(text: str) -> None:
    with pytest.raises(TooLargeError):
        canonical(read(text).value, Budget())
