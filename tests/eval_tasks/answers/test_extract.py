"""Finding the answer in a completion."""

from __future__ import annotations

import time

import pytest

from eval_tasks.answers import STYLES, extract


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"So $x=2$, hence \boxed{4}.", "4"),
        (r"First \boxed{1}. No: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"The roots are \boxed{3} and \boxed{5}.", "3, 5"),
        (r"$\boxed{3}$, $\boxed{5}$", "3, 5"),
        (r"\boxed{\boxed{7}}", r"\boxed{7}"),
        (r"\fbox{9}", "9"),
        (r"\boxed 5 is it", "5"),
        (r"\boxed{1} and then a broken \boxed{2", "1"),
        ("no box", None),
    ],
)
def test_extract_boxed_takes_the_last_box_with_those_directly_before_it(completion: str, answer: str | None) -> None:
    assert extract(completion, "boxed") == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("Hence.\nFinal Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.", r"$\frac{1}{2}$"),
        (
            "Final Answer: The final answer is 3.5. I hope it is correct.\n\nProblem:\nNext.\nThe final answer is 9.",
            "3.5",
        ),
        ("Final answer: The final answer is $x = 2$.", "$x = 2$"),
        ("the final answer is 12\nand more", "12"),
        ("Nothing of the kind", None),
    ],
)
def test_extract_minerva_takes_what_the_sentence_says(completion: str, answer: str | None) -> None:
    assert extract(completion, "minerva") == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("3 + 4 = 7\n#### 7", "7"),
        ("So it costs $1,234.\n#### $1,234\n", "$1,234"),
        ("The answer is -3.", "-3"),
        ("The answer is 2.5.\n\nQ: Another?\nA: The answer is 8.", "2.5"),
        ("The answer is 12 dollars. Good.", "12 dollars"),
        ("no idea", None),
    ],
)
def test_extract_gsm8k_takes_the_mark_or_the_sentence(completion: str, answer: str | None) -> None:
    assert extract(completion, "gsm8k") == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("The answer is (C).", "C"),
        ("Final Answer: The final answer is (B). I hope it is correct.", "B"),
        ("(A) is wrong, so I take (D)", "D"),
        ("The answer is D", "D"),
        ("Nothing", None),
    ],
)
def test_extract_choice_takes_the_letter(completion: str, answer: str | None) -> None:
    assert extract(completion, "choice") == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("We get $x=1$ and so $y=2$.", "y=2"),
        ("Thus \\[ z = 3 \\] as wanted", "z = 3"),
        ("It is 5, or rather 7", "7"),
        ("nothing", None),
    ],
)
def test_extract_last_takes_the_last_formula_or_number(completion: str, answer: str | None) -> None:
    assert extract(completion, "last") == answer


def test_extract_auto_prefers_a_stated_final_answer_to_a_box_and_a_box_to_a_formula() -> None:
    assert extract(r"$1$ \boxed{2}. Final Answer: The final answer is 3. I hope it is correct.") == "3"
    assert extract(r"$1$ then \boxed{2} then $5$") == "2"
    assert extract("The answer is 4. Since $5$") == "4"
    assert extract("only $6$") == "6"
    assert extract("only words") is None


def test_extract_of_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown style 'last box'"):
        extract("1", "last box")


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize(
    "piece",
    [
        "\\boxed{",
        "\\boxed{1}",
        "{",
        "$",
        "$ ",
        "\\[",
        "the answer is ",
        "#### ",
        "(A) ",
        "\n\nQ: ",
        "1,",
        "\\",
        "é",
    ],
)
def test_extract_of_a_long_repetition_takes_little_time(style: str, piece: str) -> None:
    started = time.process_time()
    extract(piece * (400_000 // len(piece)), style)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}", "(2, 2), (6, 2)"),
        (r"$y_1 = \boxed{2x}$ and $y_2 = \boxed{3x}$", "2x, 3x"),
        (r"We need \boxed{1} papers and \boxed{2} bins", "1, 2"),
        (r"\boxed{\frac12} = \boxed{0.5}", "0.5"),
        (r"First \boxed{1}. Then we add two and get \boxed{3}", "3"),
        (r"\frac{1}{12}", r"\frac{1}{12}"),
        ("10, 4, -2", "10, 4, -2"),
        ("$1$ and $2$ and $3$", "$1$ and $2$ and $3$"),
        ("1 000", "1 000"),
        (".4", ".4"),
        ("not 10 but 15", "15"),
        ("The probability that Alice wins is 2/3.", "2/3"),
        ("The largest $n$ is 34.", "34"),
    ],
)
def test_extract_takes_an_answer_whole_and_all_boxes_of_one_sentence(completion: str, answer: str) -> None:
    assert extract(completion) == answer
