"""The case table: one line of cases.jsonl is one pair of answers with its verdict and where the verdict comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval_tasks.answers import judge

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
KINDS = sorted({case["kind"] for case in CASES})


@pytest.mark.parametrize("kind", KINDS)
def test_judge_on_the_case_table_gives_the_expected_verdict(kind: str) -> None:
    wrong = []
    for case in CASES:
        if case["kind"] == kind:
            judgement = judge(case["gold"], case["prediction"])
            if judgement.is_equal != case["expected"]:
                wrong.append((case["gold"], case["prediction"], judgement))
    assert not wrong


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "decimal comma"])
def test_judge_with_gold_and_prediction_exchanged_gives_the_same_verdict(kind: str) -> None:
    """Only the decimal comma asks which of the two is the gold: '0,5' as a gold answer is a list."""
    wrong = []
    for case in CASES:
        if case["kind"] == kind:
            judgement = judge(case["prediction"], case["gold"])
            if judgement.is_equal != case["expected"]:
                wrong.append((case["prediction"], case["gold"], judgement))
    assert not wrong


def test_case_table_has_an_origin_for_every_case_and_no_case_twice() -> None:
    assert len(CASES) > 400
    assert all(case["origin"] for case in CASES)
    assert len({(case["gold"], case["prediction"]) for case in CASES}) == len(CASES)
