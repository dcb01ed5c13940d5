"""From a completion to a verdict: answers found in text, programs run shut in, options of a benchmark."""

from __future__ import annotations

import pytest

from eval_tasks.sandbox import Sandbox
from eval_tasks.scoring import answer_of_program, judge_completion, judge_found, program_in


def _said(answer: str) -> str:
    return f"Thus.\nFinal answer: The final answer is {answer}. I hope it is correct."


@pytest.mark.parametrize(
    ("gold", "answer", "outcome"),
    [
        ("-2.5", "$-2.5$", "EQUAL"),  # upstream: |a - b| < 0.01 * (a + b) / 2 fails for every negative answer
        ("0", "0", "EQUAL"),  # and for 0
        ("1e-27", "1.005e-27", "DIFFERENT"),  # upstream allows 1 % where numbers are tiny
        ("4.5e33", "$4.50001 \\times 10^{33}$", "EQUAL"),
        ("100", "100.5", "DIFFERENT"),
        ("5", "5 \\mathrm{~kg}", "EQUAL"),
        ("\\sqrt{2} a", "$a \\sqrt{2}$", "EQUAL"),
        ("y = 2 x", "$y = x + x$", "EQUAL"),  # upstream: every equation is wrong, for `sympy` is not imported there
        ("y = 2 x", "$y = 3 x$", "DIFFERENT"),
        ("3", "__import__('os').getpid()", "UNPARSED"),  # upstream evaluates it
    ],
)
def test_answers_of_ocw_courses_are_judged_without_upstreams_faults(gold: str, answer: str, outcome: str) -> None:
    verdict = judge_completion("ocw", gold, _said(answer))
    assert verdict.outcome == outcome or (outcome == "UNPARSED" and verdict.outcome == "DIFFERENT"), verdict


@pytest.mark.parametrize(
    ("benchmark", "gold", "completion", "outcome"),
    [
        ("mmlu_stem", "B", " It is so. The answer is (B).", "EQUAL"),
        ("mmlu_stem", "B", " It is so. The answer is (C).", "DIFFERENT"),
        ("mmlu_stem", "B", " I cannot say.", "NO_ANSWER"),
        ("sat", "D", "So.\nFinal Answer: The final answer is (D). I hope it is correct.", "EQUAL"),
        ("ceval", "A", "A", "EQUAL"),
        ("math23k", "25%", "答案是 $\\boxed{0.25}$。", "EQUAL"),
        ("math23k", "2\\frac{1}{3}", "答案是 $\\boxed{7/3}$。", "EQUAL"),
        ("gsm8k", "1003", "So it is 1,003. The answer is 1,003.", "EQUAL"),
        ("aime", "25", _said("$025$"), "EQUAL"),
    ],
)
def test_answers_of_each_kind_are_found_and_judged(benchmark: str, gold: str, completion: str, outcome: str) -> None:
    assert judge_completion(benchmark, gold, completion).outcome == outcome


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        (" ```python\nanswer = 1", "answer = 1"),
        ("Well.\n```\nanswer = 1\n```\nmore\n```python\nanswer = 2\n```", "answer = 1"),
        ("```Python\n\n```", None),
        ("answer = 1", None),
        ("", None),
    ],
)
def test_program_is_the_first_fenced_block_whether_or_not_it_is_closed(completion: str, program: str | None) -> None:
    assert program_in(completion) == program


@pytest.fixture(scope="module")
def sandbox() -> object:
    with Sandbox(workers=1) as opened:
        yield opened


@pytest.mark.parametrize(
    ("gold", "program", "outcome"),
    [
        ("\\frac{1}{2}", "answer = 0.9", "DIFFERENT"),  # published: int() of both sides is 0
        ("\\frac{1}{2}", "answer = 0.5", "EQUAL"),
        ("\\sqrt{2}", "import math\nanswer = math.sqrt(2)", "EQUAL"),
        ("0.3", "answer = 0.1 + 0.2", "EQUAL"),
        ("2", "import math\ndef f(n):\n    return math.isqrt(n)\nanswer = f(4)", "EQUAL"),  # published: NameError
        ("7", "def solution():\n    return 7", "EQUAL"),
        ("7", "print(7)", "EQUAL"),
        ("7", "answer = 1 / 0", "NO_ANSWER"),
        ("7", "x = 7\nif False:\n    answer = 7", "NO_ANSWER"),
    ],
)
def test_programs_are_judged_by_the_value_that_they_find(
    sandbox: Sandbox, gold: str, program: str, outcome: str
) -> None:
    found = answer_of_program(sandbox, f"```python\n{program}\n```")
    assert judge_found("math_python", gold, found).outcome == outcome, found
    if "1 / 0" in program:
        assert "ZeroDivisionError" in found.reason


def test_plain_lm_eval_runs_programs_in_the_sandbox_too() -> None:
    from eval_tasks.lm_eval_task import process_results

    doc = {"benchmark": "gsm8k_python", "target": "12"}
    assert process_results(doc, ["```python\ndef solution():\n    return 5 + 7"])["acc"] == 1
    assert process_results(doc, ["no program"]) == {"acc": 0, "no_answer": 1, "unparsed": 0, "timed_out": 0}
