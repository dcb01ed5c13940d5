"""Accuracy on hit problems and on others, level by level, from files as the commands write them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval_tasks.cli import main
from eval_tasks.overlap.accuracy import Share, difference

# (level, problem stands in the corpus, solution stands there, answer is right)
PROBLEMS = [
    ("Level 1", True, False, True), ("Level 1", True, True, False), ("Level 1", False, True, True),
    ("Level 1", False, False, True), ("Level 2", False, False, False), ("Level 2", False, False, True),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Exported texts, samples of a run (under other names, with one more problem) and a corpus."""
    texts, samples, documents = [], [], ["nothing of the kind"]
    for number, (level, has_problem, has_solution, right) in enumerate(PROBLEMS):
        problem = f"How many are {number} and {number} " + " ".join(f"p{number}w{word}" for word in range(8))
        solution = " ".join(f"s{number}w{word}" for word in range(12))
        for part, text, stands in (("problem", problem, has_problem), ("solution", solution, has_solution)):
            texts.append({"benchmark": "b", "id": str(number), "part": part, "text": text})
            documents += [f"before {text} behind"] * stands
        outcome = "EQUAL" if right else "DIFFERENT"
        # a run may have read the problem with other line breaks than the export
        sample = {"task": "llemma_b", "id": f"x{number}", "problem": problem.replace(" ", "\n", 1), "gold": "1"}
        samples.append({**sample, "completion": "1", "outcome": outcome, "level": level})
    samples.append({**samples[0], "id": "new", "problem": "unheard of"})
    for name, rows in (("texts", texts), ("samples", samples)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"text": documents}), tmp_path / "corpus.parquet")
    return tmp_path


def rows_of(folder: Path, *words: str) -> dict[str, tuple[int, int, int, int]]:
    command = ["overlap", "--texts", str(folder / "texts.jsonl"), "--corpus", str(folder / "corpus.parquet"), "--n"]
    command += ["10", "--out", str(folder / "out"), "--accuracy", str(folder / "samples.jsonl"), *words]
    assert main(command) == 0
    report = json.loads((folder / "out" / "accuracy.json").read_text())
    assert report["num_unknown"] == 1
    return {
        row["level"]: (row["hit"]["right"], row["hit"]["n"], row["other"]["right"], row["other"]["n"])
        for row in report["rows"]
    }


def test_problems_are_told_apart_by_level_and_by_the_parts_that_make_a_hit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    either = {"Level 1": (2, 3, 1, 1), "Level 2": (0, 0, 1, 2), "all": (2, 3, 2, 3)}
    assert rows_of(folder) == either
    shown = capsys.readouterr().out
    assert "66.7 20.8 to 93.9" in shown and "1 answers to problems that were not looked for" in shown
    problem = {"Level 1": (1, 2, 2, 2), "Level 2": (0, 0, 1, 2), "all": (1, 2, 3, 4)}
    assert rows_of(folder, "--hit-parts", "problem") == problem


def test_unknown_part_is_refused_with_the_parts_there_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        rows_of(folder, "--hit-parts", "proof")
    assert "the texts have the parts problem, solution" in capsys.readouterr().err


def test_answers_of_a_run_are_looked_for_themselves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A samples file may be both: its problems and completions are looked for, and problems alone make a hit."""
    (folder / "texts.jsonl").write_bytes((folder / "samples.jsonl").read_bytes())
    command = ["overlap", "--texts", str(folder / "texts.jsonl"), "--corpus", str(folder / "corpus.parquet")]
    command += ["--n", "10", "--out", str(folder / "out"), "--accuracy", str(folder / "samples.jsonl")]
    assert main(command) == 0
    report = json.loads((folder / "out" / "accuracy.json").read_text())
    assert report["parts"] == ["problem"] and report["num_unknown"] == 0


def test_interval_of_a_difference_is_the_published_example() -> None:
    """56 of 70 against 48 of 80: Newcombe 1998, table II, example (a), method 10 has 0.0524 to 0.3339."""
    value, low, high = difference(Share(n=70, right=56), Share(n=80, right=48))
    assert value == pytest.approx(0.2)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
