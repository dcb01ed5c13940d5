"""Step function: documents and their marks -> what is kept, with its split, and what is removed, with its reason.

documents.parquet   documents that stay: id, source, name, text, meta and split string ("train" | "validation" | "test")
removed.parquet     id binary(16) · source string · name string · reason string · evidence string (JSON)

A document with several marks is removed for the first of: exact-duplicate, near-duplicate, contaminated.  The split is
decided by a hash of the id alone: it does not change when other documents come or go.  Near-duplicates of a held-out
document cannot stand in the training part, for of each cluster only one document is left.

params: validation, test (shares), seed.   task.inputs: documents.parquet, then files of marks.
counts: documents, bytes, exact-duplicate, near-duplicate, contaminated, and documents/<split>.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.documents import documents_schema
from proof_pile.words import text_batches

VERSION = 1
REASONS = ("exact-duplicate", "near-duplicate", "contaminated")
SPLITS = ("train", "validation", "test")


def removed_schema() -> pa.Schema:
    """The Arrow schema of removed documents."""
    return pa.schema(
        [
            ("id", pa.binary(16)),
            ("source", pa.string()),
            ("name", pa.string()),
            ("reason", pa.string()),
            ("evidence", pa.string()),
        ]
    )


def split_of(id_: bytes, validation: float, test: float, seed: int) -> str:
    """The split of a document: a hash of its id, read as a fraction, falls into [test | validation | train]."""
    digest = hashlib.blake2b(id_, digest_size=8, key=b"split" + seed.to_bytes(8, "little")).digest()
    fraction = int.from_bytes(digest, "little") / 2**64
    if fraction < test:
        return "test"
    return "validation" if fraction < test + validation else "train"


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Applies the marks to one documents file."""
    marks = _read_marks([item.path for item in task.inputs[1:]])
    counts = dict.fromkeys(("documents", "bytes", *REASONS, *(f"documents/{split}" for split in SPLITS)), 0)
    columns = tuple(documents_schema().names)
    kept_schema = documents_schema().append(pa.field("split", pa.string()))
    removed: list[pa.RecordBatch] = []
    with pq.ParquetWriter(out / "documents.parquet", kept_schema, compression="zstd") as writer:
        for first_row, batch in text_batches(task.inputs[0].path, columns):
            rows = np.arange(first_row, first_row + batch.num_rows)
            gone = [row - first_row for row in rows.tolist() if row in marks]
            if gone:
                removed.append(_removed_batch(batch, gone, [marks[first_row + row] for row in gone]))
                for row in gone:
                    counts[marks[first_row + row][0]] += 1
            stays = np.ones(batch.num_rows, bool)
            stays[gone] = False
            kept = batch.filter(pa.array(stays))
            splits = [split_of(i, params["validation"], params["test"], params["seed"]) for i in kept["id"].to_pylist()]
            for split in splits:
                counts[f"documents/{split}"] += 1
            counts["documents"] += kept.num_rows
            counts["bytes"] += int(pc.sum(pc.binary_length(kept["text"])).as_py() or 0)
            table = pa.Table.from_batches([kept]).append_column("split", pa.array(splits, pa.string()))
            writer.write_table(table.select(kept_schema.names).cast(kept_schema))
    pq.write_table(pa.Table.from_batches(removed, removed_schema()), out / "removed.parquet", compression="zstd")
    return counts


def _read_marks(paths: list[str]) -> dict[int, tuple[str, str]]:
    """Row -> (reason, evidence), the first reason of REASONS where a row has several marks."""
    marks: dict[int, tuple[str, str]] = {}
    for path in paths:
        table = pq.read_table(path)
        for row, kind, evidence in zip(
            *(table.column(name).to_pylist() for name in ("row", "kind", "evidence")), strict=True
        ):
            if row not in marks or REASONS.index(kind) < REASONS.index(marks[row][0]):
                marks[row] = (kind, evidence)
    return marks


def _removed_batch(batch: pa.RecordBatch, rows: list[int], marks: list[tuple[str, str]]) -> pa.RecordBatch:
    chosen = batch.select(["id", "source", "name"]).take(pa.array(rows, pa.int64()))
    reasons, evidence = zip(*marks, strict=True)
    arrays = [*chosen.columns, pa.array(reasons, pa.string()), pa.array(evidence, pa.string())]
    return pa.RecordBatch.from_arrays(arrays, schema=removed_schema())


def dropped_as_removed(path: str) -> pa.Table:
    """A reader's dropped.parquet in the schema of removed documents, with the reason that the filter gave."""
    table = pq.read_table(path, columns=["id", "source", "name", "reason"])
    evidence = pa.array(['{"by": "filter"}'] * table.num_rows, pa.string())
    return table.append_column("evidence", evidence).cast(removed_schema())


def write_removed(dropped: list[str], removed: list[str], path: Path) -> int:
    """Writes all removed documents of a build into one Parquet, file after file, and returns how many there are."""
    count = 0
    with pq.ParquetWriter(path, removed_schema(), compression="zstd") as writer:
        for file in dropped:
            table = dropped_as_removed(file)
            count += table.num_rows
            writer.write_table(table)
        for file in removed:
            table = pq.read_table(file)
            count += table.num_rows
            writer.write_table(table.cast(removed_schema()))
    return count
