"""Marks are applied by row, each removal has its reason, and splits stay what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.consolidate import split_of, write_removed
from proof_pile.dedup.marks import write_marks
from proof_pile.documents import document_id, documents_batch, make_document

PARAMS = {"validation": 0.1, "test": 0.05, "seed": 0}


def write_documents(path: Path, texts: list[tuple[str, str]], reasons: list[str] | None = None) -> InputFile:
    batch = documents_batch([make_document("s", name, text) for name, text in texts], reasons)
    pq.write_table(pa.Table.from_batches([batch]), path, row_group_size=4)
    return as_input(path)


def as_input(path: Path) -> InputFile:
    return InputFile(path=str(path), sha256=sha256_file(path))


def test_documents_with_marks_are_removed_for_the_first_reason(run_step: Callable[..., Any], tmp_path: Path) -> None:
    texts = [(f"n{number}", f"text {number}") for number in range(10)]
    documents = write_documents(tmp_path / "documents.parquet", texts)
    ids = [document_id("s", name, text) for name, text in texts]
    write_marks(
        tmp_path / "duplicates.parquet",
        [(2, ids[2], "near-duplicate", {"kept": 1}), (7, ids[7], "exact-duplicate", {"kept": 2})],
    )
    write_marks(
        tmp_path / "contamination.parquet",
        [(row, ids[row], "contaminated", {"items": row}) for row in (2, 5)],
    )
    marks = tuple(as_input(tmp_path / name) for name in ("contamination.parquet", "duplicates.parquet"))
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", [Task(inputs=(documents, *marks))], **PARAMS)
    kept = pq.read_table(record.output("documents.parquet").path)
    assert kept.column("name").to_pylist() == [f"n{number}" for number in (0, 1, 3, 4, 6, 8, 9)]
    assert kept.column("split").to_pylist() == [split_of(i, 0.1, 0.05, 0) for i in kept.column("id").to_pylist()]
    removed = pq.read_table(record.output("removed.parquet").path).to_pylist()
    assert [(row["name"], row["reason"], json.loads(row["evidence"])) for row in removed] == [
        ("n2", "near-duplicate", {"kept": 1}),
        ("n5", "contaminated", {"items": 5}),
        ("n7", "exact-duplicate", {"kept": 2}),
    ]
    counts = record.counts
    assert (counts["documents"], counts["exact-duplicate"], counts["near-duplicate"], counts["contaminated"]) == (
        7, 1, 1, 1,
    )  # fmt: skip
    assert sum(counts[f"documents/{split}"] for split in ("train", "validation", "test")) == 7
    assert counts["bytes"] == sum(len(texts[number][1]) for number in (0, 1, 3, 4, 6, 8, 9))


def test_documents_of_the_same_id_are_told_apart_by_row(run_step: Callable[..., Any], tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents.parquet", [("", "same"), ("", "same")])
    write_marks(tmp_path / "m.parquet", [(1, document_id("s", "", "same"), "exact-duplicate", {})])
    tasks = [Task(inputs=(documents, as_input(tmp_path / "m.parquet")))]
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", tasks, **PARAMS)
    assert pq.read_table(record.output("documents.parquet").path).num_rows == 1


def test_file_without_documents_or_marks_gives_empty_files(run_step: Callable[..., Any], tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents.parquet", [])
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", [Task(inputs=(documents,))], **PARAMS)
    assert pq.read_table(record.output("documents.parquet").path).num_rows == 0
    assert pq.read_table(record.output("removed.parquet").path).num_rows == 0


def test_split_has_the_wanted_shares_and_moves_no_document_when_a_share_grows() -> None:
    ids = [document_id("s", str(number), "") for number in range(20_000)]
    small = [split_of(id_, 0.1, 0.05, 0) for id_ in ids]
    large = [split_of(id_, 0.2, 0.05, 0) for id_ in ids]
    assert abs(small.count("validation") / len(ids) - 0.1) < 0.01
    assert abs(small.count("test") / len(ids) - 0.05) < 0.01
    assert all(after == before for before, after in zip(small, large, strict=True) if before != "train")
    assert small != [split_of(id_, 0.1, 0.05, 1) for id_ in ids]


def test_write_removed_joins_what_filters_and_marks_removed(run_step: Callable[..., Any], tmp_path: Path) -> None:
    dropped = write_documents(tmp_path / "dropped.parquet", [("a", "x")], ["too-small"])
    documents = write_documents(tmp_path / "documents.parquet", [("b", "y")])
    write_marks(tmp_path / "m.parquet", [(0, document_id("s", "b", "y"), "contaminated", {"num_items": 1})])
    tasks = [Task(inputs=(documents, as_input(tmp_path / "m.parquet")))]
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", tasks, **PARAMS)
    count = write_removed([dropped.path], [record.output("removed.parquet").path], tmp_path / "removed.parquet")
    rows = pq.read_table(tmp_path / "removed.parquet").to_pylist()
    assert count == 2
    assert [(row["name"], row["reason"]) for row in rows] == [("a", "too-small"), ("b", "contaminated")]
    assert rows[0]["id"] == document_id("s", "a", "x")


def test_spans_are_cut_out_and_the_document_stays(run_step: Callable[..., Any], tmp_path: Path) -> None:
    texts = [("a", "Größe.\n\nquoted\n\nend"), ("b", "reported"), ("c", "copy")]
    documents = write_documents(tmp_path / "documents.parquet", texts)
    ids = [document_id("s", name, text) for name, text in texts]
    start = len("Größe.\n\n".encode())
    spans = {"num_items": 1, "spans": [[start, start + len("quoted\n\n")]]}
    write_marks(tmp_path / "m.parquet", [(0, ids[0], "contaminated-span", spans)])
    write_marks(tmp_path / "r.parquet", [(1, ids[1], "contaminated-reported", {"num_items": 1})])
    write_marks(tmp_path / "d.parquet", [(2, ids[2], "same-name", {"kept": 1})])
    marks = tuple(as_input(tmp_path / name) for name in ("d.parquet", "m.parquet", "r.parquet"))
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", [Task(inputs=(documents, *marks))], **PARAMS)
    kept = pq.read_table(record.output("documents.parquet").path).to_pylist()
    assert [(row["name"], row["text"]) for row in kept] == [("a", "Größe.\n\nend"), ("b", "reported")]
    assert kept[0]["id"] == ids[0]
    assert json.loads(kept[0]["meta"]) == {"decontaminated": {"spans": 1, "bytes": 8}}
    assert json.loads(kept[1]["meta"]) == {}
    changed = pq.read_table(record.output("changed.parquet").path).to_pylist()
    assert [(row["name"], row["reason"]) for row in changed] == [
        ("a", "contaminated-span"),
        ("b", "contaminated-reported"),
    ]
    assert json.loads(changed[0]["evidence"]) == spans
    removed = pq.read_table(record.output("removed.parquet").path).to_pylist()
    assert [(row["name"], row["reason"]) for row in removed] == [("c", "same-name")]
    counts = record.counts
    assert (counts["contaminated-span"], counts["spans"], counts["span_bytes"]) == (1, 1, 8)
    assert (counts["contaminated-reported"], counts["same-name"], counts["contaminated"]) == (1, 1, 0)
    assert counts["bytes"] == sum(len(row["text"].encode()) for row in kept)


def test_removal_comes_before_a_cut(run_step: Callable[..., Any], tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents.parquet", [("a", "quoted text")])
    id_ = document_id("s", "a", "quoted text")
    write_marks(tmp_path / "m.parquet", [(0, id_, "contaminated-span", {"spans": [[0, 6]]})])
    write_marks(tmp_path / "d.parquet", [(0, id_, "near-duplicate", {})])
    marks = (as_input(tmp_path / "m.parquet"), as_input(tmp_path / "d.parquet"))
    [record] = run_step(tmp_path, "proof_pile.consolidate:run", [Task(inputs=(documents, *marks))], **PARAMS)
    assert pq.read_table(record.output("documents.parquet").path).num_rows == 0
    assert pq.read_table(record.output("changed.parquet").path).num_rows == 0
    assert record.counts["near-duplicate"] == 1
