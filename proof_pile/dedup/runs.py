"""Step function: the fingerprints of a group of files -> the same as if they were one file, cut finer.

documents.bin, names.bin, keys.bin, ids.bin and fences.bin as in proof_pile.dedup.fingerprints, but keys.bin has
PARTS parts (by the first 12 bits), and so fences.bin is uint64 [2, PARTS + 1]; ids.bin has 256, and the rest of its
fences is the number of ids.  Rows count through the files of the group.

Later steps read a few large groups instead of many small files: a partition of the keys is one stretch of each group.
Keys are sorted some parts at a time, so that a task's memory is bounded whatever the group holds.

params: values, memory_mb.   task.inputs: documents.bin, names.bin, keys.bin, ids.bin and fences.bin of each file, file
after file.   counts: documents, keys, name_bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import DamagedFileError
from llemma.core.steps import Task
from proof_pile.dedup.arrays import ArrayFile, write_array
from proof_pile.dedup.fingerprints import ID, KEY, PART_BITS, part_of, record_type

VERSION = 1
FILES = ("documents.bin", "names.bin", "keys.bin", "ids.bin", "fences.bin")
RUN_BITS = 12
PARTS = 1 << RUN_BITS
_BYTES = np.dtype("u1")


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the runs of one group of files."""
    paths = [item.path for item in task.inputs]
    files = [
        dict(zip(FILES, paths[begin : begin + len(FILES)], strict=True)) for begin in range(0, len(paths), len(FILES))
    ]
    starts = _join_documents(files, params["values"], out)
    fences = [_read_fences(file["fences.bin"]) for file in files]
    room = params["memory_mb"] << 20
    written = np.zeros((2, PARTS + 1), "<u8")
    num_keys = _join(files, "keys.bin", KEY, [fence[0] for fence in fences], starts, room, out, written[0])
    _join(files, "ids.bin", ID, [fence[1] for fence in fences], starts, room, out, written[1])
    written.tofile(out / "fences.bin")
    return {
        "documents": int(starts[-1]),
        "keys": num_keys,
        "name_bytes": (out / "names.bin").stat().st_size,
    }


def _join_documents(files: list[dict[str, str]], values: int, out: Path) -> np.ndarray:
    """Writes documents.bin and names.bin; returns the row of each file's first document, and their number."""
    starts = [0]
    names_before = 0
    with open(out / "documents.bin", "wb") as documents, open(out / "names.bin", "wb") as names:
        for file in files:
            with ArrayFile(file["documents.bin"], record_type(values)) as source:
                for records in source.blocks():
                    records["name_begin"] += np.uint64(names_before)
                    write_array(documents, records)
                starts.append(starts[-1] + len(source))
            with ArrayFile(file["names.bin"], _BYTES) as source:
                for text in source.blocks():
                    write_array(names, text)
                names_before += len(source)
    if starts[-1] >= 1 << 32:
        raise DamagedFileError(f"{len(files)} files hold {starts[-1]:,} documents, more than one group may have")
    return np.array(starts, np.int64)


def _read_fences(path: str) -> np.ndarray:
    fences = np.fromfile(path, "<u8")
    if len(fences) != 2 * ((1 << PART_BITS) + 1):
        raise DamagedFileError(f"{path}: not the fences of a file of fingerprints")
    return fences.reshape(2, -1).astype(np.int64)


def _join(
    files: list[dict[str, str]],
    name: str,
    dtype: np.dtype,
    fences: list[np.ndarray],
    starts: np.ndarray,
    room: int,
    out: Path,
    written: np.ndarray,
) -> int:
    """Writes one array of all files in parts, and where each part begins into `written`; returns the records."""
    sizes = np.sum([np.diff(fence) for fence in fences], axis=0)
    total = 0
    bits = RUN_BITS if dtype == KEY else PART_BITS
    with open(out / name, "wb") as target:
        for first, last in stretches(sizes * dtype.itemsize * 4, room):
            pieces = [np.empty(0, dtype)]
            for file, fence, start in zip(files, fences, starts, strict=False):
                with ArrayFile(file[name], dtype) as source:
                    piece = source.read(int(fence[first]), int(fence[last]))
                piece["row"] += np.uint32(start)
                pieces.append(piece)
            array = np.concatenate(pieces)
            del pieces
            part = part_of(array["key"] if dtype == KEY else array["id"][:, 0], bits)
            write_array(target, array[np.argsort(part, kind="stable")])
            counts = np.bincount(part, minlength=1 << bits)
            written[1 : len(counts) + 1] += counts.astype("<u8")
            total += len(array)
    written[1:] = np.cumsum(written[1:])
    return total


def stretches(sizes: np.ndarray, room: int) -> list[tuple[int, int]]:
    """Neighbouring parts in stretches (first, last + 1) that take at most `room` together, or are one part."""
    result = []
    first, used = 0, 0
    for part, size in enumerate(sizes.tolist()):
        if part > first and used + size > room:
            result.append((first, part))
            first, used = part, 0
        used += size
    result.append((first, len(sizes)))
    return result
