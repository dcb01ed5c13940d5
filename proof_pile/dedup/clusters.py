"""Step function: all pairs of duplicates -> clusters -> marks beside the documents.

marks.<file>.parquet (one for each documents file that has any, <file> = its number, six digits)
    row uint32 · id binary(16) · kind "exact-duplicate" | "near-duplicate" · evidence string, JSON:
        {"kept": {"id", "source", "name"}} and for near-duplicates "jaccard" (of the strongest pair that the document
        is in), "estimated" and, where that pair is not with the kept document, "via" (the other one's id)
params: none.   task.inputs: documents.arrow of every file, then pairs.parquet of exact, then of near-duplicates.
task.args: num_files, num_exact, ranks.   counts: exact_duplicates, near_duplicates, clusters.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.fingerprints import Fingerprints
from proof_pile.words import native

VERSION = 1
Mark = tuple[int, str, dict[str, Any]]


def marks_schema() -> pa.Schema:
    """The Arrow schema of marks, for duplicates and contamination alike."""
    return pa.schema([("row", pa.uint32()), ("id", pa.binary(16)), ("kind", pa.string()), ("evidence", pa.string())])


@native
def _components(first, second, size):  # type: ignore[no-untyped-def]
    """The smallest member of each node's component."""
    parent = np.arange(size)
    for index in range(len(first)):
        a, b = first[index], second[index]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    for node in range(size):
        parent[node] = parent[parent[node]]  # a parent is never larger than its child, so it is settled by now
    return parent


def components(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """For nodes 0..size-1 and edges between them, the smallest node that each is connected to."""
    result: np.ndarray = _components(first.astype(np.int64), second.astype(np.int64), size)
    return result


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the marks of all duplicates."""
    num_files, num_exact = task.args["num_files"], task.args["num_exact"]
    paths = [item.path for item in task.inputs]
    prints = Fingerprints(paths[:num_files])
    marks = _exact_marks(prints, paths[num_files : num_files + num_exact])
    exact = len(marks)
    near, clusters = _near_marks(prints, paths[num_files + num_exact :], task.args["ranks"])
    marks += near
    _write_marks(prints, marks, out)
    return {"exact_duplicates": exact, "near_duplicates": len(near), "clusters": clusters}


def _describe(prints: Fingerprints, numbers: np.ndarray) -> list[dict[str, str]]:
    columns = [prints.column(name, numbers) for name in ("id", "source", "name")]
    return [{"id": id_.hex(), "source": source, "name": name} for id_, source, name in zip(*columns, strict=True)]


def _exact_marks(prints: Fingerprints, paths: list[str]) -> list[Mark]:
    marks: list[Mark] = []
    for path in paths:
        table = pq.read_table(path)
        kept = _describe(prints, table.column("kept").to_numpy().astype(np.int64))
        for number, which in zip(table.column("removed").to_pylist(), kept, strict=True):
            marks.append((number, "exact-duplicate", {"kept": which}))
    return marks


def _near_marks(prints: Fingerprints, paths: list[str], ranks: list[int]) -> tuple[list[Mark], int]:
    if not paths:
        return [], 0
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    first, second = (table.column(name).to_numpy().astype(np.int64) for name in ("first", "second"))
    jaccard, exact = table.column("jaccard").to_numpy(), table.column("exact").to_numpy(zero_copy_only=False)
    nodes, packed = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = packed[: len(first)], packed[len(first) :]
    root = components(a, b, len(nodes))
    # The strongest pair of each document explains why it goes; pairs with the kept document come first.
    keys = prints.order(nodes, ranks)
    best_of_root: dict[int, int] = {}
    for node, cluster in enumerate(root.tolist()):
        if cluster not in best_of_root or keys[node] < keys[best_of_root[cluster]]:
            best_of_root[cluster] = node
    kept = np.array([best_of_root[cluster] for cluster in root.tolist()], np.int64)
    strongest: dict[int, tuple[bool, float, int, bool]] = {}
    for left, right, value, counted in zip(a.tolist(), b.tolist(), jaccard.tolist(), exact.tolist(), strict=True):
        for node, other in ((left, right), (right, left)):
            offer = (other == int(kept[node]), round(value, 4), -other, counted)
            if node not in strongest or offer > strongest[node]:
                strongest[node] = offer
    ids = prints.column("id", nodes)
    removed = np.flatnonzero(kept != np.arange(len(nodes)))
    marks: list[Mark] = []
    for node, which in zip(removed.tolist(), _describe(prints, nodes[kept[removed]]), strict=True):
        direct, value, other, counted = strongest[node]
        evidence: dict[str, Any] = {"kept": which, "jaccard": value, "estimated": not counted}
        if not direct:
            evidence["via"] = ids[-other].hex()
        marks.append((int(nodes[node]), "near-duplicate", evidence))
    return marks, len(best_of_root)


def _write_marks(prints: Fingerprints, marks: list[Mark], out: Path) -> None:
    numbers = np.array([mark[0] for mark in marks], np.int64)
    order = np.argsort(numbers, kind="stable")
    files, rows = prints.place(numbers[order])
    ids = prints.column("id", numbers[order])
    for file in np.unique(files).tolist():
        chosen = np.flatnonzero(files == file).tolist()
        write_marks(
            out / f"marks.{file:06d}.parquet",
            [(int(rows[i]), ids[i], marks[order[i]][1], marks[order[i]][2]) for i in chosen],
        )


def write_marks(path: Path, marks: list[tuple[int, bytes, str, dict[str, Any]]]) -> None:
    """Writes marks (row, id, kind, evidence) as Parquet."""
    rows, ids, kinds, evidence = zip(*marks, strict=True) if marks else ((), (), (), ())
    texts = [json.dumps(value, ensure_ascii=False, sort_keys=True) for value in evidence]
    schema = marks_schema()
    columns = [pa.array(column, field.type) for column, field in zip((rows, ids, kinds, texts), schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, compression="zstd")
