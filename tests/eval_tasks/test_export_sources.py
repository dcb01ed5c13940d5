"""Texts of benchmarks that no task asks are exported from local copies and, where there is a network, from the hub."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.cli import main
from eval_tasks.export_sources import EXPORT_SOURCES
from llemma.core.benchmark_rows import LAYOUTS, MMLU_STEM
from llemma.core.schemas import BenchmarkText, read_lines

ROWS: dict[str, dict[str, Any]] = {
    "ocw": {"problem": "A star shines.", "solution": "It burns.", "answer": "7"},
    "mmlu-stem": {"question": "Which is prime?", "choices": ["4", "6", "7", "9"], "answer": 2},
    "sat": {"Question": "What is 2x?", "Possible Answers": "(A) 1, (B) 2", "Answer": "B"},
    "amc": {"id": 4, "problem": "How many paths?", "answer": 3.0, "url": "u"},
    "aime": {"id": 9, "problem": "Find m+n.", "solution": "Count.", "answer": "17"},
    "minif2f": {"id": "amc12_p1", "informal_stmt": "Show.", "formal_statement": "theorem amc12_p1 : 1 = 1 := by"},
}


def export(names: str, out: Path, *options: str) -> list[BenchmarkText]:
    assert main(["export", "--tasks", names, "--out", str(out), *options]) == 0
    return list(read_lines(out, BenchmarkText))


def test_every_source_has_a_row_here_and_a_layout() -> None:
    assert set(EXPORT_SOURCES) == set(ROWS)
    assert set(EXPORT_SOURCES) <= set(LAYOUTS)
    assert len(set(MMLU_STEM)) == 18


def test_local_copies_give_all_parts(tmp_path: Path) -> None:
    for name, row in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    texts = export(",".join(ROWS), tmp_path / "out.jsonl", "--data-dir", str(tmp_path))
    found = {(text.benchmark, text.part) for text in texts}
    assert {("OCW", "problem"), ("OCW", "solution"), ("AMC", "problem"), ("miniF2F", "formal")} <= found
    assert [text.text for text in texts if text.benchmark == "MMLU-STEM"] == [
        "Which is prime?",
        "Which is prime?\n4\n6\n7\n9",
        "Which is prime?\n(A) 4\n(B) 6\n(C) 7\n(D) 9",
    ]
    assert {text.id for text in texts if text.benchmark == "miniF2F"} == {"amc12_p1"}


def test_folder_of_files_is_read_whole_and_a_bad_row_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ocw"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps(ROWS["ocw"]) + '\n{"other": 1}\n')
    (folder / "b.json").write_text(json.dumps([{"problem": "Second."}]))
    texts = export("ocw", tmp_path / "out.jsonl", "--data-dir", str(tmp_path))
    assert [text.text for text in texts if text.part == "problem"] == ["A star shines.", "Second."]
    assert "left out: a/2" in capsys.readouterr().err


def test_missing_local_copy_names_what_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--tasks", "sat", "--out", str(tmp_path / "o"), "--data-dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "sat.jsonl" in message
    assert "mcaleste/sat_multiple_choice_math_may_23" in message
    assert not (tmp_path / "o").exists()


def test_hub_is_asked_for_every_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((name, config, split))
        return [ROWS["mmlu-stem"]]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    texts = export("mmlu-stem", tmp_path / "out.jsonl")
    assert asked == [("cais/mmlu", subject, "test") for subject in MMLU_STEM]
    assert len({text.id for text in texts}) == 18


def test_exported_solutions_have_a_form_without_calculator_notes(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "How many eggs?", "answer": "She has 2+3=<<2+3=5>>5 eggs.\n#### 5"}
    (tmp_path / "gsm8k" / "main.jsonl").write_text(json.dumps(row) + "\n")
    texts = export("gsm8k", tmp_path / "out.jsonl", "--data-dir", str(tmp_path))
    assert [text.text for text in texts if text.part == "solution"] == [
        "She has 2+3=<<2+3=5>>5 eggs.",
        "She has 2+3=5 eggs.",
    ]


def test_files_of_one_name_in_several_folders_have_ids_of_their_own(tmp_path: Path) -> None:
    """The hub keeps mmlu as SUBJECT/test-*.parquet: ids by the file's name alone joined questions of two subjects."""
    for subject in ("algebra", "physics"):
        folder = tmp_path / "mmlu-stem" / subject
        folder.mkdir(parents=True)
        (folder / "test.jsonl").write_text(json.dumps({"question": f"What of {subject}?", "choices": []}) + "\n")
    texts = export("mmlu-stem", tmp_path / "out.jsonl", "--data-dir", str(tmp_path))
    assert [text.id for text in texts] == ["algebra/test/1", "physics/test/1"]


def test_data_without_a_text_is_refused_with_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A benchmark that gives no text would leave the corpus full of it without a word."""
    (tmp_path / "aime.jsonl").write_text('{"statement": "Find x."}\n')
    assert main(["export", "--tasks", "aime", "--out", str(tmp_path / "o"), "--data-dir", str(tmp_path)]) == 2
    assert "aime: no text of a problem" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_unknown_name_is_refused_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--tasks", "ocw,minerva_mth", "--out", str(tmp_path / "o"), "--data-dir", "nowhere"]) == 2
    assert "did you mean 'minerva_math'" in capsys.readouterr().err


def test_exported_file_is_read_by_a_recipe(tmp_path: Path) -> None:
    """What the evaluator writes is what the corpus builder reads, with nothing said in the recipe."""
    from proof_pile.decontaminate.benchmark_files import list_benchmark_files, read_texts
    from proof_pile.decontaminate.config import DecontaminateConfig

    (tmp_path / "ocw.jsonl").write_text(json.dumps(ROWS["ocw"]) + "\n")
    written = export("ocw", tmp_path / "out.jsonl", "--data-dir", str(tmp_path))
    [spec] = DecontaminateConfig.model_validate({"benchmarks": ["out.jsonl"]}).benchmarks
    [(place, path)] = list_benchmark_files(spec, tmp_path)
    assert list(read_texts(str(path), spec.row_layout, spec.benchmark, place)) == written
