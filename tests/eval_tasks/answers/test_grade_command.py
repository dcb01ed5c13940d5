"""The command that grades a file."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from eval_tasks.answers.grade_command import judged_pieces
from eval_tasks.cli import main


def _write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_grade_of_a_file_writes_every_judgement_and_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"gold": "1/2", "prediction": "0.5"},
        {"gold": "1/2", "pred": "2"},
        {"gold": 3, "prediction": 3.0},
        {"gold": "4", "completion": "So we get \\boxed{4}."},
        {"gold": "4", "prediction": None},
    ]
    source = _write(tmp_path / "pairs.jsonl", rows)
    out, report = tmp_path / "graded.jsonl", tmp_path / "report.json"
    assert main(["grade", str(source), "--out", str(out), "--report", str(report)]) == 0
    graded = _read(out)
    assert [row["outcome"] for row in graded] == ["EQUAL", "DIFFERENT", "EQUAL", "EQUAL", "NO_ANSWER"]
    assert [row["line"] for row in graded] == [1, 2, 3, 4, 5]
    assert graded[3]["prediction"] == "4"
    counts = json.loads(report.read_text())
    assert (counts["n"], counts["accuracy"], counts["outcomes"]["EQUAL"]) == (5, 0.6, 3)
    assert "EQUAL" in capsys.readouterr().out


def test_grade_with_two_workers_gives_the_same_file_as_with_one(tmp_path: Path) -> None:
    rows = [{"gold": str(number), "prediction": str(number + number % 3)} for number in range(1_700)]
    source = _write(tmp_path / "pairs.jsonl", rows)
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert main(["grade", str(source), "--out", str(one)]) == 0
    assert main(["grade", str(source), "--out", str(two), "--workers", "2"]) == 0
    assert one.read_bytes() == two.read_bytes()
    assert len(_read(one)) == 1_700


def test_grade_with_bad_lines_names_them_and_judges_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        '{"gold": "1", "prediction": "1"}\n',
        "{broken\n",
        '{"gold": "1"}\n',
        "[1]\n",
        "\n",
        '{"gold": "1", "prediction": "1"}\n',
    ]
    source = _write(tmp_path / "pairs.jsonl", list(rows))
    assert main(["grade", str(source)]) == 0
    captured = capsys.readouterr()
    assert "line 2: no JSON" in captured.err
    assert "line 3: no key 'prediction'" in captured.err
    assert "line 4: not an object" in captured.err
    assert "3 lines could not be read" in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--option", "list_ordered"], "write NAME=VALUE"),
        (["--option", "sloppy=true"], "unknown option 'sloppy'"),
        (["--option", "list_ordered=maybe"], "must be true, false or a number"),
        (["--workers", "0"], "must be at least 1"),
    ],
)
def test_grade_with_a_wrong_option_says_what_is_wanted(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _write(tmp_path / "pairs.jsonl", [{"gold": "1", "prediction": "1"}])
    assert main(["grade", str(source), *words]) == 2
    assert message in capsys.readouterr().err


def test_grade_of_a_missing_or_unreadable_file_ends_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grade", str(tmp_path / "none.jsonl")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(["grade", str(_write(tmp_path / "bad.jsonl", ["nothing\n"]))]) == 2
    assert "no line could be read" in capsys.readouterr().err


def test_grade_takes_options_and_policies(tmp_path: Path) -> None:
    source = _write(tmp_path / "pairs.jsonl", [{"gold": "1, 2", "prediction": "2, 1"}])
    out = tmp_path / "graded.jsonl"
    main(["grade", str(source), "--out", str(out), "--option", "list_ordered=true"])
    assert _read(out)[0]["outcome"] == "DIFFERENT"
    main(["grade", str(source), "--out", str(out), "--policy", "lenient"])
    assert _read(out)[0]["outcome"] == "EQUAL"


def test_grade_with_a_killed_worker_loses_no_line_and_doubles_none(tmp_path: Path) -> None:
    """Once a worker that was killed while it wrote a result left the run waiting for ever."""
    rows = [{"gold": str(number), "prediction": str(number + number % 3)} for number in range(5_000)]
    source = _write(tmp_path / "pairs.jsonl", rows)
    settings = {"gold": "gold", "prediction": None, "extract": None, "policy": "standard", "options": {}}
    judged: list[dict[str, object]] = []
    for place, (piece, bad) in enumerate(judged_pieces(source, settings, workers=2)):
        assert not bad
        judged += piece
        if place in (1, 4):
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    assert [row["line"] for row in judged] == list(range(1, 5_001))
    assert all((row["outcome"] == "EQUAL") == (number % 3 == 0) for number, row in enumerate(judged))
