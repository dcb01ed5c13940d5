"""Benchmark data from local files: layouts, endings, damaged rows, and what is said where there is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from eval_tasks.benchmarks import last_boxed
from eval_tasks.documents import load_documents
from llemma.core.errors import InputError

ROWS = [{"problem": "One plus one?", "solution": r"\boxed{2}"}, {"problem": "Two?", "solution": r"\boxed{\{1, 2\}}"}]
GOLDS = ["2", r"\{1, 2\}"]


def _jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(_jsonl(ROWS).encode()))
    elif path.name.endswith(".zst"):
        import zstandard

        path.write_bytes(zstandard.ZstdCompressor().compress(_jsonl(ROWS).encode()))
    elif path.name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text(_jsonl(ROWS))


@pytest.mark.parametrize(
    "name",
    ["algebra.jsonl", "algebra.jsonl.gz", "algebra.jsonl.zst", "algebra.json", "algebra.parquet",
     "algebra/test.jsonl", "algebra/test-00000-of-00001.parquet"],
)  # fmt: skip
def test_documented_layouts_give_the_same_problems(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "minerva_math" / name)
    documents = load_documents("minerva_math", "algebra", tmp_path)
    assert [item.answer for item in documents.items] == GOLDS
    assert [item.id for item in documents.items] == ["algebra-0000", "algebra-0001"]
    other = tmp_path / "other"
    _write(other / "minerva_math/algebra.jsonl")
    assert load_documents("minerva_math", "algebra", other).sha == documents.sha


def test_layout_of_the_published_archive_with_one_file_a_problem_is_read(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        path = tmp_path / f"minerva_math/test/algebra/{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row))
    assert [item.answer for item in load_documents("minerva_math", "algebra", tmp_path).items] == GOLDS


def test_missing_file_is_told_with_the_exact_files_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_documents("gsm8k", "main", tmp_path)
    for wanted in ("gsm8k/main.jsonl", "gsm8k/main/test.jsonl", "gsm8k/test.jsonl", "question, answer", "openai/gsm8k"):
        assert wanted in str(caught.value)


def test_damaged_rows_are_left_out_with_their_place_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "minerva_math/algebra.jsonl"
    path.parent.mkdir(parents=True)
    lines = [_jsonl(ROWS[:1]), "{broken\n", '{"problem": "no gold", "solution": "x"}\n', "[1]\n", '{"problem": 3}\n']
    path.write_text("".join(lines) + _jsonl(ROWS[1:]))
    documents = load_documents("minerva_math", "algebra", tmp_path)
    assert [item.answer for item in documents.items] == GOLDS
    told = [str(problem) for problem in documents.left_out]
    assert len(told) == 4
    assert ":2: this line is not valid JSON" in told[0] and "no \\boxed answer" in told[1]


@pytest.mark.parametrize("name", ["algebra.jsonl.gz", "algebra.jsonl.zst", "algebra.parquet", "algebra.json"])
def test_truncated_file_is_an_error_in_plain_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / "minerva_math" / name
    _write(path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="cannot be read"):
        load_documents("minerva_math", "algebra", tmp_path)


def test_same_id_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "minerva_math/algebra.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(_jsonl([{**ROWS[0], "unique_id": "a"}, {**ROWS[1], "unique_id": "a"}]))
    with pytest.raises(InputError, match="stands twice"):
        load_documents("minerva_math", "algebra", tmp_path)


def test_hub_that_cannot_be_reached_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def no_network(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    with pytest.raises(InputError, match="--data-dir") as caught:
        load_documents("gsm8k", "main")
    assert "no route to the hub" in str(caught.value)


def test_gsm8k_gold_is_the_number_after_the_last_mark_without_commas(data_dir: Path) -> None:
    assert [item.answer for item in load_documents("gsm8k", "main", data_dir).items] == ["1003", "1014", "1159"]


@pytest.mark.parametrize(
    ("solution", "boxed"),
    [
        (r"so \boxed{3} then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"$\boxed 7$ apples", "7"),
        (r"\fbox{x}", "x"),
        (r"\boxed{unclosed", None),
        ("none", None),
        (r"\boxed{}", None),
        (r"\boxed{\left\{ 0, \frac{1}{2} \right\}}", r"\left\{ 0, \frac{1}{2} \right\}"),
    ],
)
def test_last_box_of_a_solution_is_found(solution: str, boxed: str | None) -> None:
    assert last_boxed(solution) == boxed
