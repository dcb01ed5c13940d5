"""Step function: one partition of all contents -> pairs.parquet of documents with the same text.

pairs.parquet   removed uint64, kept uint64: numbers of documents, counted through all files in order
params: none.   task.inputs: contents.arrow of every file, then documents.arrow of every file.
task.args: partition, ranks (place in the recipe of each file's source).   counts: duplicates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.fingerprints import Fingerprints, read_partition

VERSION = 1


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Finds the documents of one partition whose text is the same byte by byte."""
    half = len(task.inputs) // 2
    prints = Fingerprints([item.path for item in task.inputs[half:]])
    contents, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
    for file, item in enumerate(task.inputs[:half]):
        batch = read_partition(item.path, task.args["partition"])
        content = batch.column("content")
        buffer = np.frombuffer(content.buffers()[1] or b"", np.uint64)
        contents.append(buffer.reshape(-1, 2)[content.offset : content.offset + len(content)])
        numbers.append(batch.column("row").to_numpy().astype(np.int64) + prints.starts[file])
    content = np.concatenate(contents)
    number = np.concatenate(numbers)
    order = np.lexsort((number, content[:, 1], content[:, 0]))
    content, number = content[order], number[order]
    is_first = np.ones(len(content), bool)
    is_first[1:] = (content[1:] != content[:-1]).any(axis=1)
    first = np.flatnonzero(is_first)
    last = np.append(first, len(content))[1:]
    several = last - first > 1
    removed: list[int] = []
    kept: list[int] = []
    for begin, end in zip(first[several].tolist(), last[several].tolist(), strict=True):
        keys = sorted(prints.order(number[begin:end], task.args["ranks"]))
        removed += [key[-1] for key in keys[1:]]
        kept += [keys[0][-1]] * (end - begin - 1)
    table = pa.table({"removed": pa.array(removed, pa.uint64()), "kept": pa.array(kept, pa.uint64())})
    pq.write_table(table.sort_by("removed"), out / "pairs.parquet", compression="zstd")
    return {"duplicates": len(removed)}
