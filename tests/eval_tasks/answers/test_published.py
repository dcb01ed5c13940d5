"""The published metrics, faults included: old figures must compare."""

from __future__ import annotations

import pytest

from eval_tasks.answers import judge
from eval_tasks.answers.published import minerva_normalized


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("$x = 5$", "5"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"\sqrt3", r"\sqrt{3}"),
        ("3,5,7", "357"),
        ("1,234", "1234"),
        (r"5\text{ cm}", "5"),
        (r"12 \text{ degrees}", "12"),
        ("the answer is $7$ units", "7"),
        (r"\boxed{8}", "8"),
        (r"\text{east}", "east"),
    ],
)
def test_minerva_normalization_spells_as_its_appendix_says(text: str, normalized: str) -> None:
    assert minerva_normalized(text) == normalized


@pytest.mark.parametrize(
    ("gold", "prediction", "published", "ours"),
    [
        (r"\frac{1}{2}", "0.5", True, True),
        ("5", r"5 \text{ cm}", True, True),
        ("3,5,7", "35,7", True, False),  # commas go before the comparison
        ("1,-2", "1,-3", True, False),  # parse_latex reads up to the comma
        ("0", "x-x", False, True),  # a gold answer that reads as 0 is taken for unreadable
        (r"2\frac{1}{2}", "1", True, False),  # a mixed number is read as a product
        ("(1,2)", "(1.0,2)", False, True),  # tuples cannot be read
    ],
)
def test_minerva_policy_reproduces_the_published_metric_with_its_faults(
    gold: str, prediction: str, published: bool, ours: bool
) -> None:
    pytest.importorskip("sympy")
    pytest.importorskip("antlr4", reason="the published metric needs SymPy's LaTeX reader")
    assert judge(gold, prediction, "minerva").is_equal == published
    assert judge(gold, prediction).is_equal == ours


@pytest.mark.parametrize(
    ("gold", "prediction", "equal"),
    [
        (r"\frac{1}{2}", "1/2", True),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{3}{4}", "0.75", False),
        (r"10\%", "10", True),
        ("x=3", "3", True),
        (r"5\text{ cm}", "5", True),
        ("x+1", "1+x", False),
    ],
)
def test_hendrycks_policy_compares_strings(gold: str, prediction: str, equal: bool) -> None:
    assert judge(gold, prediction, "hendrycks").is_equal == equal
