"""The command `compare`: runs side by side, with published scores, and paired."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval_tasks.catalog import read_catalog
from eval_tasks.cli import main
from eval_tasks.comparison import read_published
from eval_tasks.intervals import wilson_interval
from llemma.core.schemas import EvalResults, EvalSample, MajorityResult, TaskResult, write_lines

OUTCOMES = {"EQUAL": 0, "DIFFERENT": 0, "NO_ANSWER": 0, "UNPARSED": 0, "TIMED_OUT": 0}


def _run(folder: Path, right: str, *, comparable: bool = True, gold: str = "1", k: int | None = None) -> Path:
    """A finished run of gsm8k in which the problems at the `+` of `right` were answered right."""
    n, num_right = len(right), right.count("+")
    interval = wilson_interval(num_right, n)
    task = TaskResult(
        n=n,
        accuracy=num_right / n,
        ci95=interval,
        outcomes={**OUTCOMES, "EQUAL": num_right, "DIFFERENT": n - num_right},
        prompt_origin="a prompt",
        comparable=comparable,
        majority=None if k is None else MajorityResult(k=k, accuracy=0.75, ci95=(0.5, 0.9)),
    )
    folder.mkdir()
    EvalResults(model="m", model_sha256="0", tasks={"llemma_gsm8k": task}, versions={}, seconds=1.0, settings={}).write(
        folder / "results.json"
    )
    samples = [
        EvalSample(
            task="llemma_gsm8k",
            id=str(number),
            problem="p",
            gold=gold,
            completion="c",
            outcome="EQUAL" if mark == "+" else "DIFFERENT",
        )
        for number, mark in enumerate(right)
    ]
    write_lines(folder / "samples.jsonl", samples)
    return folder


def test_run_stands_beside_the_published_scores_of_its_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(_run(tmp_path / "mine", "++--", k=100))]) == 0
    table = capsys.readouterr().out
    rows = {tuple(line.split()[:3]): line for line in table.splitlines()}
    assert (
        rows["Llemma", "7B", "greedy"].split()[-1] == "36.4" and rows["Llemma", "7B", "maj@100"].split()[-1] == "54.0"
    )
    assert rows["mine", "greedy", "50.0"] and rows["mine", "maj@100", "75.0"]
    assert "model card of EleutherAI/llemma_7b" in table and "* not comparable" not in table and "ocw" not in table


def test_scores_of_another_prompt_or_number_of_votes_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(_run(tmp_path / "a", "++--", k=8)), "--json"]) == 0
    mine = [line for line in json.loads(capsys.readouterr().out)["scores"] if line["model"] == "a"]
    assert [(line["kind"], line["cells"]["gsm8k"]["mark"]) for line in mine] == [("greedy", ""), ("maj@8", "*")]
    assert main(["compare", str(_run(tmp_path / "b", "++--", comparable=False)), "--no-published"]) == 0
    table = capsys.readouterr().out
    assert "50.0*" in table and "* not comparable" in table and "Llemma 7B" not in table


def test_two_runs_are_compared_on_the_problems_that_both_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = _run(tmp_path / "first", "+++++-+-"), _run(tmp_path / "second", "+-----+")
    assert main(["compare", str(first), str(second), "--json"]) == 0
    paired = json.loads(capsys.readouterr().out)["paired"]["llemma_gsm8k"]
    assert (paired["n"], paired["only_first"], paired["only_second"], paired["p_value"]) == (7, 4, 0, 0.125)
    assert paired["difference"] == pytest.approx(4 / 7)
    assert main(["compare", str(first), str(second)]) == 0
    assert "first minus second" in capsys.readouterr().out


def test_runs_on_different_data_or_without_results_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = _run(tmp_path / "first", "+-"), _run(tmp_path / "second", "+-", gold="2")
    assert main(["compare", str(first), str(second)]) == 2
    assert "gold answers of the two runs differ" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "nowhere")]) == 2
    assert "results.json" in capsys.readouterr().err


def test_published_scores_name_tasks_that_exist_and_lie_between_0_and_100() -> None:
    catalog = read_catalog()
    rows = read_published()
    assert len({(row.model, row.k is None) for row in rows}) == len(rows)
    for row in rows:
        assert row.source
        for name, score in row.scores.items():
            assert f"llemma_{name}" in {*catalog.tasks, *catalog.groups} and 0 < score < 100
        assert row.k is None or set(row.k) == set(row.scores)
