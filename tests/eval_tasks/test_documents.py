"""Benchmark data from local files: layouts, endings, damaged rows, and what is said where there is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from eval_tasks.documents import load_documents
from eval_tasks.rows import last_boxed, whole_number
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
    with pytest.raises(InputError, match="--data DIR") as caught:
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


def test_levels_and_whole_number_subsets_are_chosen_from_the_files_of_all_subjects(data_dir: Path) -> None:
    def golds(benchmark: str, subset: str) -> list[str]:
        return [item.answer for item in load_documents(benchmark, subset, data_dir).items]

    assert golds("minerva_math", "level_1") == ["5", "10"]
    assert [answer for answer in golds("minerva_math", "level_5") if "frac" not in answer] == ["9"]
    assert golds("math_integer", "level_5") == ["9"] and golds("math_integer", "level_4") == ["8"]
    assert len(golds("math_python", "level_5")) == 8
    ids = [item.id for item in load_documents("minerva_math", "level_5", data_dir).items]
    assert ids[0] == "algebra-0001" and len(set(ids)) == 8


@pytest.mark.parametrize(
    ("text", "number"),
    [("142.0", "142"), ("025", "25"), ("-0", "0"), ("1,000", "1000"), ("2.5", None), ("x", None), ("", None)],
)
def test_whole_numbers_are_told_from_others(text: str, number: str | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    ("benchmark", "subset", "golds"),
    [
        ("ocw", "default", ["0.25", "y = 2 x", r"\sqrt{2}"]),
        ("mmlu_stem", "astronomy", ["C"]),
        ("sat", "default", ["A"]),
        ("amc", "default", ["142"]),
        ("aime", "default", ["25"]),
        ("math23k", "default", ["25%", r"2\frac{1}{3}"]),
        ("ceval", "logic", ["C"]),
        ("cmmlu", "anatomy", ["C"]),
    ],
)
def test_rows_of_each_benchmark_give_their_gold_answers(
    data_dir: Path, benchmark: str, subset: str, golds: list[str]
) -> None:
    documents = load_documents(benchmark, subset, data_dir)
    assert [item.answer for item in documents.items] == golds and not documents.left_out


def test_row_of_choices_that_lacks_one_or_has_no_letter_is_left_out(tmp_path: Path) -> None:
    good = {"question": "q", "choices": ["a", "b", "c", "d"], "answer": "b"}
    rows = [good, {**good, "choices": ["a"]}, {**good, "answer": 4}, {**good, "answer": True}]
    (tmp_path / "mmlu-stem").mkdir()
    (tmp_path / "mmlu-stem/astronomy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    documents = load_documents("mmlu_stem", "astronomy", tmp_path)
    assert [item.answer for item in documents.items] == ["B"] and len(documents.left_out) == 3
    assert documents.items[0].problem == "q\n(A) a (B) b (C) c (D) d"


def test_benchmark_that_no_hub_has_asks_for_a_folder() -> None:
    with pytest.raises(InputError, match=r"--data DIR.*math23k/default\.jsonl"):
        load_documents("math23k", "default")
