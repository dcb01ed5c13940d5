"""From text to typed value."""

from __future__ import annotations

from fractions import Fraction

import pytest

from eval_tasks.answers.normalize import RULES, clean
from eval_tasks.answers.reading import read
from eval_tasks.answers.units import unit_of
from eval_tasks.answers.values import (
    BaseNumeral,
    ListOf,
    Matrix,
    Product,
    Quantity,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Sum,
    Symbol,
    Text,
    TupleOf,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("1,234", 1234),
        (r"\frac12", Fraction(1, 2)),
        ("2 1/2", Fraction(5, 2)),
        (r"2\frac{1}{2}", Fraction(5, 2)),
        (r"2\frac{3}{2}", 3),
        ("3x", Product((3, Symbol("x")))),
        ("x+1", Sum((Symbol("x"), 1))),
        (r"50\%", Quantity(50, "%")),
        (r"3^\circ", Quantity(3, "deg")),
        (r"\$4", Quantity(4, "$")),
        (r"4\text{ cm}^2", Quantity(4, "cm^2")),
        ("(1,2)", TupleOf((1, 2), "(", ")")),
        ("[1,2)", TupleOf((1, 2), "[", ")")),
        ("1, 2", ListOf((1, 2), ",")),
        ("1 or 2", ListOf((1, 2), "or")),
        (r"\{1,2\}", SetOf((1, 2))),
        ("101_2", BaseNumeral("101", 2, 5)),
        ("x=5", Relation((Symbol("x"), 5), ("=",), "x")),
        ("3:4", Ratio((3, 4), True)),
        (r"\text{Yes}", Text("yes")),
        (r"\begin{pmatrix}1&2\end{pmatrix}", Matrix(((1, 2),))),
        (r"A \cup B", SetOperation("cup", Symbol("A"), Symbol("B"))),
        (r"\theta_{1}", Symbol("theta_1")),
        ("seven", 7),
    ],
)
def test_read_gives_the_typed_value(text: str, value: object) -> None:
    found = read(text).value
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    "text",
    [
        "1+",
        "(1",
        "1)",
        r"\frac{1}{2",
        "x^",
        "_",
        r"\sqrt",
        "1..2",
        "a+",
        r"\begin{pmatrix}1&2\\3\end{pmatrix}",
        "|x",
        "1 2",
    ],
)
def test_read_of_what_is_not_consumed_whole_gives_no_value_but_a_reason(text: str) -> None:
    found = read(text)
    assert found.value is None
    assert found.problem


def test_read_of_a_text_beyond_the_bound_gives_no_value() -> None:
    found = read("1+" * 10_000 + "1")
    assert found.value is None
    assert "longer than" in found.problem


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("$5$", "5"),
        ("\\(5\\)", "5"),
        ("5.", "5"),
        ("x²", "x^{2}"),
        ("**5**", "5"),
        ("√10", r"\sqrt{10}"),
        ("$5", "$5"),
        ("−5", "-5"),
    ],
)
def test_clean_makes_the_spelling_uniform(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_rules_of_the_table_have_a_name_and_an_origin() -> None:
    assert all(rule.name and rule.origin for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("words", "dimensions", "factor"),
    [
        ("cm", (("length", 1),), Fraction(1, 100)),
        ("square feet", (("length", 2),), Fraction(9290304, 10**8)),
        ("km/h", (("length", 1), ("time", -1)), Fraction(1000, 3600)),
        ("miles per hour", (("length", 1), ("time", -1)), Fraction(1609344, 3600000)),
        ("L", (("length", 3),), Fraction(1, 1000)),
        ("cm^3", (("length", 3),), Fraction(1, 10**6)),
    ],
)
def test_unit_of_known_words_gives_dimension_and_exact_factor(words: str, dimensions: object, factor: Fraction) -> None:
    assert unit_of(words) == (dimensions, factor)


def test_unit_of_other_words_is_none() -> None:
    assert unit_of("apples") is None
    assert unit_of("cm^x") is None
