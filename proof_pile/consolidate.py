"""Step function: documents and their marks -> what is kept, with its split, and what is removed, with its reason.

documents.parquet   documents that stay: id, source, name, text, meta and split string ("train" | "validation" | "test")
removed.parquet     id binary(16) · source string · name string · reason string · evidence string (JSON)
changed.parquet     the same columns, of documents that stay although they hold text of a benchmark: spans were cut out
                    of them ("contaminated-span"), or the recipe wants only to know ("contaminated-reported")

A document with several marks is removed for the first of: same-name, exact-duplicate, near-duplicate, contaminated.
One that spans are cut out of keeps its id, and its metadata say so: {"decontaminated": {"spans": n, "bytes": cut}}.
The split is decided by a hash of the id alone: it does not change when other documents come or go.  Near-duplicates of
a held-out document cannot stand in the training part, for of each cluster only one document is left.

Documents pass through in batches; in memory are one batch, and the marks of one file.

params: validation, test (shares), seed.   task.inputs: documents.parquet, then files of marks.
counts: documents, bytes, a count for each reason (of removal or change), spans, span_bytes, and documents/<split>.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.decontaminate.spans import without_spans
from proof_pile.documents import documents_schema
from proof_pile.words import text_batches

VERSION = 2
REASONS = ("same-name", "exact-duplicate", "near-duplicate", "contaminated")
CHANGES = ("contaminated-span", "contaminated-reported")
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


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """What is to be done with a row, and why."""

    reason: str
    evidence: str


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Applies the marks to one documents file."""
    marks = _read_marks([item.path for item in task.inputs[1:]])
    names = ("documents", "bytes", *REASONS, *CHANGES, "spans", "span_bytes", *(f"documents/{name}" for name in SPLITS))
    counts = dict.fromkeys(names, 0)
    columns = tuple(documents_schema().names)
    kept_schema = documents_schema().append(pa.field("split", pa.string()))
    with (
        pq.ParquetWriter(out / "documents.parquet", kept_schema, compression="zstd") as writer,
        pq.ParquetWriter(out / "removed.parquet", removed_schema(), compression="zstd") as removed,
        pq.ParquetWriter(out / "changed.parquet", removed_schema(), compression="zstd") as changed,
    ):
        for first_row, batch in text_batches(task.inputs[0].path, columns):
            found = {row: marks[first_row + row] for row in range(batch.num_rows) if first_row + row in marks}
            gone = [row for row, mark in found.items() if mark.reason in REASONS]
            others = [row for row, mark in found.items() if mark.reason in CHANGES]
            for mark in found.values():
                counts[mark.reason] += 1
            for target, rows in ((removed, gone), (changed, others)):
                if rows:
                    target.write_batch(_removed_batch(batch, rows, [found[row] for row in rows]))
            cut = [row for row in others if found[row].reason == "contaminated-span"]
            if cut:
                batch = _without_spans(batch, {row: found[row] for row in cut}, counts)
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
    return counts


def _read_marks(paths: list[str]) -> dict[int, _Mark]:
    """Row -> its mark, the first of REASONS and CHANGES where it has several."""
    order = (*REASONS, *CHANGES)
    marks: dict[int, _Mark] = {}
    for path in paths:
        table = pq.read_table(path)
        for row, kind, evidence in zip(
            *(table.column(name).to_pylist() for name in ("row", "kind", "evidence")), strict=True
        ):
            if row not in marks or order.index(kind) < order.index(marks[row].reason):
                marks[row] = _Mark(reason=kind, evidence=evidence)
    return marks


def _without_spans(batch: pa.RecordBatch, marks: dict[int, _Mark], counts: dict[str, int]) -> pa.RecordBatch:
    """The batch with spans cut out of some of its documents, and a note of it in their metadata."""
    texts, metas = batch.column("text").to_pylist(), batch.column("meta").to_pylist()
    for row, mark in marks.items():
        spans = [(begin, end) for begin, end in json.loads(mark.evidence)["spans"]]
        num_bytes = sum(end - begin for begin, end in spans)
        texts[row] = without_spans(texts[row], spans)
        meta = {**json.loads(metas[row]), "decontaminated": {"spans": len(spans), "bytes": num_bytes}}
        metas[row] = json.dumps(meta, ensure_ascii=False, sort_keys=True)
        counts["spans"] += len(spans)
        counts["span_bytes"] += num_bytes
    schema = documents_schema()
    replaced = {"text": pa.array(texts, schema.field("text").type), "meta": pa.array(metas, schema.field("meta").type)}
    columns = [replaced.get(name, batch.column(name)) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _removed_batch(batch: pa.RecordBatch, rows: list[int], marks: list[_Mark]) -> pa.RecordBatch:
    chosen = batch.select(["id", "source", "name"]).take(pa.array(rows, pa.int64()))
    reasons, evidence = [mark.reason for mark in marks], [mark.evidence for mark in marks]
    arrays = [*chosen.columns, pa.array(reasons, pa.string()), pa.array(evidence, pa.string())]
    return pa.RecordBatch.from_arrays(arrays, schema=removed_schema())


def write_removed(dropped: list[str], removed: list[str], path: Path) -> int:
    """Writes all removed documents of a build into one Parquet, file after file, and returns how many there are.

    `dropped` are files of readers, with the reasons that their filters gave, `removed` those of this step (or, for what
    was changed, its changed.parquet).
    """
    count = 0
    with pq.ParquetWriter(path, removed_schema(), compression="zstd") as writer:
        for files, by_filter in ((dropped, True), (removed, False)):
            for file in files:
                for batch in _removed_batches(file, by_filter=by_filter):
                    count += batch.num_rows
                    writer.write_batch(batch)
    return count


def _removed_batches(path: str, *, by_filter: bool) -> Iterator[pa.RecordBatch]:
    columns = removed_schema().names[: -1 if by_filter else None]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096, columns=columns):
            arrays = batch.columns
            if by_filter:
                arrays = [*arrays, pa.array(['{"by": "filter"}'] * batch.num_rows, pa.string())]
            yield pa.RecordBatch.from_arrays(
                [array.cast(field.type) for array, field in zip(arrays, removed_schema(), strict=True)],
                schema=removed_schema(),
            )
