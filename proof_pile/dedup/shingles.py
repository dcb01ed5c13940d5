"""Step function: the documents files of a group and some of its rows -> the sets of shingles of these documents.

shingles.bin   uint64 hashes of the shingles of each of the documents, sorted, each once
bounds.bin     uint64 [documents of the group + 1]: those of row i stand from bounds[i] to bounds[i + 1]
params: ngram.   task.inputs: rows.<group>.bin, then documents.parquet of each file of the group.
counts: documents, shingles.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from llemma.core.steps import Task
from llemma.core.text.native import native
from proof_pile.dedup.arrays import ArrayFile, write_array
from proof_pile.dedup.doubts import ROW
from proof_pile.dedup.fingerprints import text_pieces
from proof_pile.words import Room, all_ngram_hashes, words_of_array

VERSION = 1
WORD = np.dtype("<u8")


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the sets of one group."""
    with ArrayFile(task.inputs[0].path, ROW) as file:
        rows = file.read(0, len(file)).astype(np.int64)
    first = 0
    sizes: list[np.ndarray] = []
    room = Room()
    with open(out / "shingles.bin", "wb") as target:
        for item in task.inputs[1:]:
            for piece in text_pieces(item.path, ("text",)):
                begin, end = np.searchsorted(rows, [first, first + piece.num_rows])
                here = np.zeros(piece.num_rows, WORD)
                if end > begin:
                    texts = piece.column("text").take(pa.array(rows[begin:end] - first))
                    hashes, offsets = all_ngram_hashes(words_of_array(texts, room), params["ngram"], room)
                    here[rows[begin:end] - first] = _write_sets(hashes, offsets, target)
                sizes.append(here)
                first += piece.num_rows
    bounds = np.zeros(first + 1, WORD)
    bounds[1:] = np.cumsum(np.concatenate([np.empty(0, WORD), *sizes]))
    with open(out / "bounds.bin", "wb") as file_of_bounds:
        write_array(file_of_bounds, bounds)
    return {"documents": len(rows), "shingles": int(bounds[-1])}


@native
def _leave_one(hashes, offsets, sizes):  # type: ignore[no-untyped-def]
    """Moves the different ones of each document's sorted hashes to the front; returns how many there are in all."""
    count = 0
    for document in range(len(offsets) - 1):
        before = count
        for index in range(offsets[document], offsets[document + 1]):
            value = hashes[index]
            if count == before or hashes[count - 1] != value:
                hashes[count] = value
                count += 1
        sizes[document] = count - before
    return count


def _write_sets(hashes: np.ndarray, offsets: np.ndarray, target: BinaryIO) -> np.ndarray:
    """Writes the sets of the documents that the offsets stand between, and returns their sizes; uses `hashes` up."""
    for begin, end in itertools.pairwise(offsets.tolist()):
        hashes[begin:end].sort()
    sizes = np.empty(len(offsets) - 1, WORD)
    write_array(target, hashes[: _leave_one(hashes, offsets, sizes)])
    return sizes
