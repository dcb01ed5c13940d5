"""Step function: what is removed of a group -> marks beside each of its documents files.

marks.<file>.parquet (one for each documents file that has any, <file> = its number in the build, six digits)
    row uint32 · id binary(16) · kind "same-name" | "exact-duplicate" | "near-duplicate" · evidence string, JSON:
    {"kept": {"id", "source", "name"}}, with "build" where the document that stays stands in an earlier one;
    of near-duplicates also "jaccard" and "estimated"; "via", the id of another document, where the similarity is not
    with the one that stays: the document goes because of "via", and that one because of what stays;
    of a same name "bytes" and "kept_bytes"

params: none.   task.inputs: catalogue.json, same_names.bin, and removed.<group>.bin where duplicates are looked for.
task.args: group.   counts: same_names, exact_duplicates, near_duplicates.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.arrays import ArrayFile
from proof_pile.dedup.catalogue import Catalogue, read_same_names

VERSION = 1
MARKS_AT_ONCE = 1 << 15
KINDS = ("same-name", "exact-duplicate", "near-duplicate")
REMOVED = np.dtype(
    [
        ("number", "<u8"),
        ("kept", "<u8"),
        ("via", "<u8"),
        ("jaccard", "<f4"),
        ("estimated", "u1"),
        ("is_copy", "u1"),
        ("reserved", "<u2"),
    ]
)
Mark = tuple[int, bytes, str, dict[str, Any]]


def marks_schema() -> pa.Schema:
    """The Arrow schema of marks, for duplicates and contamination alike."""
    return pa.schema([("row", pa.uint32()), ("id", pa.binary(16)), ("kind", pa.string()), ("evidence", pa.string())])


def write_marks(path: Path, marks: list[Mark]) -> None:
    """Writes marks (row, id, kind, evidence) as Parquet."""
    with pq.ParquetWriter(path, marks_schema(), compression="zstd") as writer:
        writer.write_batch(_batch(marks))


def _batch(marks: list[Mark]) -> pa.RecordBatch:
    rows, ids, kinds, evidence = zip(*marks, strict=True) if marks else ((), (), (), ())
    texts = [json.dumps(value, ensure_ascii=False, sort_keys=True) for value in evidence]
    schema = marks_schema()
    columns = [pa.array(column, field.type) for column, field in zip((rows, ids, kinds, texts), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the marks of one group's files."""
    catalogue = Catalogue(task.inputs[0].path)
    group = catalogue.groups[task.args["group"]]
    removed = np.empty(0, REMOVED)
    if len(task.inputs) > 2:
        with ArrayFile(task.inputs[2].path, REMOVED) as file:
            removed = file.read(0, len(file))
    same = read_same_names(task.inputs[1].path, group)
    counts = {
        "same_names": len(same),
        "exact_duplicates": int(removed["is_copy"].sum()),
        "near_duplicates": int((removed["is_copy"] == 0).sum()),
    }
    begin = group.start
    for file in group.files:
        end = begin + file["documents"]
        here = removed[slice(*np.searchsorted(removed["number"], [begin, end]))]
        names = same[slice(*np.searchsorted(same["number"], [begin, end]))]
        if len(here) or len(names):
            _write_file(catalogue, begin, here, names, out / f"marks.{file['number']:06d}.parquet")
        begin = end
    return counts


def _write_file(catalogue: Catalogue, begin: int, removed: np.ndarray, same: np.ndarray, path: Path) -> None:
    with pq.ParquetWriter(path, marks_schema(), compression="zstd") as writer:
        for at in range(0, len(same), MARKS_AT_ONCE):
            writer.write_batch(_batch(_same_name_marks(catalogue, begin, same[at : at + MARKS_AT_ONCE])))
        for at in range(0, len(removed), MARKS_AT_ONCE):
            writer.write_batch(_batch(_duplicate_marks(catalogue, begin, removed[at : at + MARKS_AT_ONCE])))


def _same_name_marks(catalogue: Catalogue, begin: int, same: np.ndarray) -> list[Mark]:
    number, kept = same["number"].astype(np.int64), same["kept"].astype(np.int64)
    numbers = np.unique(np.concatenate([number, kept]))
    num_bytes = catalogue.records(numbers)["num_bytes"]
    described = catalogue.describe(np.unique(kept))
    of = np.searchsorted(np.unique(kept), kept)
    marks: list[Mark] = []
    for index, row in enumerate((number - begin).tolist()):
        stays = described[of[index]]
        sizes = num_bytes[np.searchsorted(numbers, [number[index], kept[index]])].tolist()
        evidence = {"kept": stays, "bytes": sizes[0], "kept_bytes": sizes[1]}
        marks.append((row, bytes.fromhex(stays["id"]), "same-name", evidence))
    return marks


def _duplicate_marks(catalogue: Catalogue, begin: int, removed: np.ndarray) -> list[Mark]:
    number, kept, via = (removed[name].astype(np.int64) for name in ("number", "kept", "via"))
    ids = catalogue.records(number)["id"]
    described = catalogue.describe(np.unique(kept))
    of = np.searchsorted(np.unique(kept), kept)
    indirect = via != kept
    between = np.unique(via[indirect])
    between_ids = catalogue.records(between)["id"]
    marks: list[Mark] = []
    for index, row in enumerate((number - begin).tolist()):
        evidence: dict[str, Any] = {"kept": described[of[index]]}
        is_copy = bool(removed["is_copy"][index])
        if not is_copy:
            evidence["jaccard"] = round(float(removed["jaccard"][index]), 4)
            evidence["estimated"] = bool(removed["estimated"][index])
        if indirect[index]:
            evidence["via"] = between_ids[np.searchsorted(between, via[index])].tobytes().hex()
        marks.append((row, ids[index].tobytes(), KINDS[1] if is_copy else KINDS[2], evidence))
    return marks
