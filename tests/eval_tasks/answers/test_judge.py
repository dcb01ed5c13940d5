"""The door of the grader: outcomes, policies and options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eval_tasks.answers import POLICIES, Judgement, Outcome, judge, judge_many
from eval_tasks.answers.policies import OPTIONS, Policy, policy_named


@pytest.mark.parametrize("prediction", ["", "   ", None, "?", "$$", "nan", "[invalidanswer]", "}"])
def test_judge_without_a_prediction_says_no_answer(prediction: str | None) -> None:
    assert judge("5", prediction).outcome is Outcome.NO_ANSWER


@pytest.mark.parametrize(
    "prediction",
    [
        r"\frac{1}",
        "2+",
        "(1,2",
        r"\begin{pmatrix}1",
        r"\unknown{3}",
        "1 2 3 4",
        "((5)",
        r"\frac{0}{0}",
        "3 @ 4",
    ],
)
def test_judge_of_a_broken_formula_says_unparsed_and_why(prediction: str) -> None:
    judgement = judge("5", prediction)
    assert judgement.outcome is Outcome.UNPARSED
    assert judgement.reason.startswith("the prediction: ")
    assert len(judgement.reason) > len("the prediction: ")


def test_judge_of_a_broken_gold_answer_says_so() -> None:
    judgement = judge(r"\frac{1}", "5")
    assert judgement.outcome is Outcome.UNPARSED
    assert judgement.reason.startswith("the gold answer: ")


def test_judge_of_two_unreadable_but_identical_texts_says_equal() -> None:
    assert judge(r"\weird{3}+1", r"\weird{3} + 1").outcome is Outcome.EQUAL


def test_judge_of_values_beyond_the_bounds_says_unparsed() -> None:
    assert judge("9^{9^{9^{9}}}", "9^{9^{9^{9}}}+1").outcome is Outcome.UNPARSED


def test_judge_of_a_value_with_one_beyond_the_float_range_still_compares() -> None:
    assert judge("(x+1)^{300}", "x^2+1").outcome is Outcome.DIFFERENT
    assert judge("2^{2000}", "4^{1000}").outcome is Outcome.EQUAL


def test_judge_many_keeps_the_order_of_the_pairs() -> None:
    outcomes = [judgement.outcome for judgement in judge_many([("1", "1"), ("1", "2"), ("1", None)])]
    assert outcomes == [Outcome.EQUAL, Outcome.DIFFERENT, Outcome.NO_ANSWER]


def test_outcome_reads_as_its_name() -> None:
    assert str(Outcome.EQUAL) == "EQUAL"
    assert f"{Judgement(Outcome.TIMED_OUT, 'x').outcome}" == "TIMED_OUT"


# option, gold, prediction: EQUAL by default, not with the option off (or on, for the last ones)
OPTION_CASES = [
    ("unit_dropped", False, "5\\text{ cm}", "5"),
    ("units_converted", False, "1\\text{ m}", "100\\text{ cm}"),
    ("percent_dropped", False, "50\\%", "50"),
    ("percent_as_decimal", False, "50\\%", "0.5"),
    ("degrees_as_radians", False, "180^\\circ", "\\pi"),
    ("name_dropped", False, "5", "x = 5"),
    ("name_changed", False, "x = 5", "z = 5"),
    ("list_ordered", True, "1, 2", "2, 1"),
    ("list_as_set", False, "1, 2", "\\{1, 2\\}"),
    ("list_as_tuple", False, "(1, 2)", "1, 2"),
    ("tuple_as_vector", False, "(1, 2)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ("interval_as_inequality", False, "[1, 2)", "1 \\le x < 2"),
    ("base_dropped", False, "52_8", "52"),
    ("case_folded", False, "A", "a"),
    ("decimal_comma", False, "5.25", "5,25"),
    ("ratio_as_quotient", False, "3:2", "\\frac{3}{2}"),
    ("unreduced", False, "\\frac{2}{3}", "\\frac{4}{6}"),
    ("rounded_digits", 0, "\\frac{1}{3}", "0.333333333333"),
]


@pytest.mark.parametrize(("option", "value", "gold", "prediction"), OPTION_CASES)
def test_option_changed_from_its_default_changes_its_verdict(
    option: str, value: object, gold: str, prediction: str
) -> None:
    assert judge(gold, prediction).outcome is Outcome.EQUAL
    assert judge(gold, prediction, **{option: value}).outcome is Outcome.DIFFERENT  # type: ignore[arg-type]


def test_option_cases_cover_every_option() -> None:
    assert {case[0] for case in OPTION_CASES} | {"tolerance"} == set(OPTIONS)


def test_tolerance_accepts_what_lies_within_it() -> None:
    assert judge("100", "100.9", tolerance=0.01).outcome is Outcome.EQUAL
    assert judge("100", "101.1", tolerance=0.01).outcome is Outcome.DIFFERENT
    assert judge("\\pi", "3.14", tolerance=0.01).outcome is Outcome.EQUAL


@pytest.mark.parametrize(
    ("gold", "prediction"),
    [
        ("5", "5 cm"),
        ("\\frac{2}{3}", "\\frac{4}{6}"),
        ("(1,2)", "1,2"),
        ("50\\%", "50"),
        ("1,2", "2,1"),
        ("x=5", "z=5"),
    ],
)
def test_strict_policy_refuses_what_standard_accepts_by_convention(gold: str, prediction: str) -> None:
    assert judge(gold, prediction).outcome is Outcome.EQUAL
    assert judge(gold, prediction, policy="strict").outcome is Outcome.DIFFERENT


def test_strict_policy_still_accepts_every_spelling_of_a_value() -> None:
    assert judge("0.5", "\\dfrac{1}{2}", policy="strict").is_equal
    assert judge("x^2-1", "(x-1)(x+1)", policy="strict").is_equal


def test_lenient_policy_accepts_a_decimal_rounded_to_three_digits() -> None:
    assert judge("\\frac{1}{3}", "0.333", policy="lenient").is_equal
    assert not judge("\\frac{1}{3}", "0.33", policy="lenient").is_equal
    assert not judge("\\frac{1}{3}", "0.334", policy="lenient").is_equal


def test_policy_of_an_unknown_name_or_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known are standard, strict"):
        policy_named("sloppy")
    with pytest.raises(ValueError, match="unknown option 'units'"):
        judge("1", "1", units=True)


def test_policy_object_may_be_given_in_place_of_a_name() -> None:
    assert judge("1,2", "2,1", Policy(name="mine", list_ordered=True)).outcome is Outcome.DIFFERENT
    assert set(POLICIES) == {"standard", "strict", "lenient", "minerva", "hendrycks"}


def test_judge_of_plain_answers_loads_neither_sympy_nor_mpmath() -> None:
    code = (
        "import sys; from eval_tasks.answers import judge; "
        "assert judge('1/2', '0.5').is_equal and judge('(x+1)^2', 'x^2+2x+1').is_equal; "
        "print([name for name in ('sympy', 'mpmath', 'numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
