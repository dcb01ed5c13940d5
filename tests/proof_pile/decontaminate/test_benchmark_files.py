"""A benchmark's own files are read in place, in each of the layouts that are known, and nothing is passed over."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llemma.core.benchmark_rows import LAYOUTS
from llemma.core.errors import InputError
from proof_pile.decontaminate.benchmark_files import list_benchmark_files, read_texts
from proof_pile.decontaminate.config import BenchmarkFile, DecontaminateConfig

ROWS = {
    "math": {"problem": "P", "solution": "S", "level": "Level 1", "type": "Algebra"},
    "gsm8k": {"question": "P", "answer": "S"},
    "ocw": {"problem": "P", "solution": "S", "answer": "7", "type": "Physics"},
    "amc": {"id": 0, "problem": "P", "answer": 1.0, "url": "u"},
    "aime": {"ID": "2024-I-1", "Problem": "P", "Solution": "S", "Answer": 7},
}


def read(section: dict[str, object], base: Path) -> list[tuple[str, str, str, str]]:
    spec = BenchmarkFile.model_validate(section)
    return [
        (text.benchmark, text.id, text.part, text.text)
        for place, path in list_benchmark_files(spec, base)
        for text in read_texts(str(path), spec.row_layout, spec.benchmark, place)
    ]


@pytest.mark.parametrize("layout", ROWS)
def test_layout_gives_problem_and_solution(layout: str, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[layout]) + "\n")
    found = read({"path": "test.jsonl", "layout": layout}, tmp_path)
    assert found[0][2:] == ("problem", "P")
    assert [text for _, _, part, text in found if part == "solution"] == ([] if layout == "amc" else ["S"])
    assert len({benchmark for benchmark, _, _, _ in found}) == 1


def test_folder_of_one_problem_a_file_is_read_as_math_was_published(tmp_path: Path) -> None:
    """Every subject has its 1.json: called by the file's name alone, seven problems were counted as one item."""
    for subject, number in (("algebra", 1), ("algebra", 2), ("geometry", 1)):
        folder = tmp_path / "test" / subject
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.json").write_text(json.dumps({"problem": f"{subject} {number}", "solution": "S"}))
    found = read({"path": "test", "layout": "math"}, tmp_path)
    assert [row for row in found if row[2] == "problem"] == [
        ("MATH", "algebra/1", "problem", "algebra 1"),
        ("MATH", "algebra/2", "problem", "algebra 2"),
        ("MATH", "geometry/1", "problem", "geometry 1"),
    ]


def test_choices_make_further_forms_of_the_problem(tmp_path: Path) -> None:
    row = {"question": "Which is prime?", "choices": ["4", "7"], "answer": 1}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    texts = [text for _, _, _, text in read({"path": "t.jsonl", "layout": "mmlu-stem"}, tmp_path)]
    assert texts == ["Which is prime?", "Which is prime?\n4\n7", "Which is prime?\n(A) 4\n(B) 7"]


def test_csv_without_a_header_is_read_as_mmlu_was_published(tmp_path: Path) -> None:
    (tmp_path / "algebra_test.csv").write_text('"Which, of\nthese?",4,7,9,11,B\nNext?,1,2,3,4,A\n')
    found = read({"path": ".", "layout": "mmlu-stem"}, tmp_path)
    assert found[0] == ("MMLU-STEM", "algebra_test/1", "problem", "Which, of\nthese?")
    assert found[3][3] == "Next?"


def test_gsm8k_solution_is_looked_for_without_calculator_notes_too(tmp_path: Path) -> None:
    row = {"question": "P", "answer": "She has 2+3=<<2+3=5>>5 eggs.\n#### 5"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    found = read({"path": "t.jsonl", "layout": "gsm8k"}, tmp_path)
    assert [text for _, _, part, text in found if part == "solution"] == [row["answer"], "She has 2+3=5 eggs."]


def test_minif2f_gives_informal_and_formal_statements(tmp_path: Path) -> None:
    lines = (
        "theorem mathd_1 (x : ℕ) (h : x = 2) :\n  x + 1 = 3 := sorry\n\n@[simp] theorem second : 1 = 1 := by sorry\n"
    )
    (tmp_path / "test.lean").write_text(lines)
    (tmp_path / "mathd_1.json").write_text(json.dumps({"informal_statement": "I", "informal_proof": "S"}))
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"name": "n", "informal_prefix": "I2", "formal_statement": "F"}) + "\n"
    )
    (tmp_path / "third.thy").write_text("theorem third: fixes x")
    found = read({"path": ".", "layout": "minif2f"}, tmp_path)
    formal = [(id_, text) for _, id_, part, text in found if part == "formal"]
    assert ("second", "@[simp] theorem second : 1 = 1 := by sorry") in formal
    assert ("mathd_1", "theorem mathd_1 (x : ℕ) (h : x = 2) :\n  x + 1 = 3 := sorry") in formal
    assert ("third", "theorem third: fixes x") in formal
    assert ("n", "F") in formal
    assert ("miniF2F", "mathd_1", "problem", "I") in found
    assert {benchmark for benchmark, _, _, _ in found} == {"miniF2F"}


def test_isabelle_statement_is_read_without_what_all_theories_share(tmp_path: Path) -> None:
    """A theory taken as a whole begins with its imports: thirteen words in a row that stand in other people's files."""
    (tmp_path / "amc12_p6.thy").write_text(
        '(* Authors: nobody *)\ntheory amc12_p6 imports\n  Complex_Main\n  "HOL-Number_Theory.Number_Theory"\nbegin\n\n'
        'theorem amc12_p6:\n  fixes n :: nat\n  assumes "0 < n"\n  shows "\\<exists> m. m > n"\n  sorry\n\nend\n'
    )
    (tmp_path / "amc_imports.thy").write_text("theory amc_imports imports Main begin end")
    statement = 'theorem amc12_p6:\n  fixes n :: nat\n  assumes "0 < n"\n  shows "\\<exists> m. m > n"'
    assert read({"path": "amc*.thy", "layout": "minif2f"}, tmp_path) == [("miniF2F", "amc12_p6", "formal", statement)]


def test_parquet_and_own_keys_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["P"], "worked": ["S"], "number": [17]}), tmp_path / "exam.parquet")
    section = {"path": "*.parquet", "name": "exam", "problem": "text", "solution": "worked", "id": "number"}
    assert read(section, tmp_path) == [("exam", "17", "problem", "P"), ("exam", "17", "solution", "S")]


def test_packed_lines_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.jsonl.gz", "wt") as file:
        file.write(json.dumps(ROWS["gsm8k"]) + "\n")
    assert len(read({"path": "t.jsonl.gz", "layout": "gsm8k"}, tmp_path)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"question": "P"}\n{"other": 1}\n', r"t\.jsonl:2: no text under 'question'; its keys are other"),
        ('{"question": "P"}\nnot json\n', r"t\.jsonl:2: this line is not valid JSON"),
        ("[1]\n", r"t\.jsonl:1: this is not an object"),
    ],
)
def test_row_that_is_not_of_the_layout_is_refused_with_its_place(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        read({"path": "t.jsonl", "layout": "gsm8k"}, tmp_path)


def test_benchmark_file_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="eval_tasks export"):
        read({"path": "nowhere.jsonl"}, tmp_path)


def test_published_layout_without_a_hint_tells_of_layouts(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(ROWS["math"]) + "\n")
    with pytest.raises(InputError, match="give a 'layout'"):
        read({"path": "t.jsonl"}, tmp_path)


def test_section_with_keys_needs_a_problem_and_a_name() -> None:
    with pytest.raises(ValidationError, match="key of the problems"):
        BenchmarkFile.model_validate({"path": "x", "solution": "s"})
    with pytest.raises(ValidationError, match="needs a 'name'"):
        BenchmarkFile.model_validate({"path": "x", "problem": "p"})


def test_section_takes_one_word_for_all_parts() -> None:
    config = DecontaminateConfig.model_validate({"benchmarks": ["a.jsonl"], "action": "remove-span"})
    assert set(config.action.model_dump().values()) == {"remove-span"}
    assert config.benchmarks[0].row_layout is None
    assert all(BenchmarkFile(path="x", layout=name).benchmark for name in LAYOUTS)  # type: ignore[arg-type]
