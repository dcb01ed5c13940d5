"""The commands `list` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.cli import main
from llemma.core.schemas import BenchmarkText, read_lines


def test_list_names_every_benchmark_and_the_files_that_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["benchmark"] for row in rows] == list(BENCHMARKS)
    assert main(["list"]) == 0
    assert "minerva_math/algebra.jsonl" in capsys.readouterr().out
    assert next(row["groups"] for row in rows if row["benchmark"] == "ceval") == ["ceval"]


def test_export_writes_problems_and_solutions_in_the_shared_schema(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "texts.jsonl"
    assert (
        main(["export", "--tasks", "builtin,minerva_math,gsm8k", "--data-dir", str(data_dir), "--out", str(out)]) == 0
    )
    texts = list(read_lines(out, BenchmarkText))
    by_benchmark = {name: [text for text in texts if text.benchmark == name] for name in BENCHMARKS}
    assert {name: len(found) for name, found in by_benchmark.items() if found} == {
        "builtin": 60,
        "minerva_math": 28,
        "gsm8k": 6,
    }
    assert len({(text.benchmark, text.id, text.part) for text in texts}) == len(texts)


def test_export_of_an_unknown_task_ends_with_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "texts.jsonl"
    assert main(["export", "--tasks", "bultin", "--out", str(out)]) == 2
    assert "did you mean 'builtin'" in capsys.readouterr().err
    assert not out.exists()
