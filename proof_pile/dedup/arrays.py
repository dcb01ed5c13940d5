"""Arrays of fixed-width records in plain files, read in pieces by offset: what is not asked for costs no memory.

A memory map would do the same with less code, but its pages count as the task's memory for as long as it lives.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from llemma.core.errors import DamagedFileError

_GAP_BYTES = 16 << 10  # reading so many bytes for nothing costs less than another call
_BLOCK_BYTES = 4 << 20


class ArrayFile:
    """A file of records of one type; a context manager."""

    def __init__(self, path: str | Path, dtype: np.dtype) -> None:
        self.path = str(path)
        self.dtype = dtype
        self._fd = os.open(self.path, os.O_RDONLY)
        num_bytes = os.fstat(self._fd).st_size
        if num_bytes % dtype.itemsize:
            os.close(self._fd)
            raise DamagedFileError(f"{path}: {num_bytes:,} bytes are not whole records of {dtype.itemsize} bytes")
        self._length = num_bytes // dtype.itemsize

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return self._length

    def read(self, begin: int, end: int) -> np.ndarray:
        """Records begin..end-1, which must be there."""
        data = np.empty(max(end - begin, 0), self.dtype)
        view = memoryview(data.view("u1").data) if len(data) else memoryview(b"")
        offset = begin * self.dtype.itemsize
        done = 0
        while done < len(view):
            count = os.preadv(self._fd, [view[done : done + (1 << 30)]], offset + done)
            if not count:
                raise DamagedFileError(f"{self.path}: ends before record {end - 1:,}")
            done += count
        return data

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The records of some rows, which must be in rising order."""
        result = np.empty(len(rows), self.dtype)
        if not len(rows):
            return result
        gap = max(_GAP_BYTES // self.dtype.itemsize, 1)
        block = rows // max(_BLOCK_BYTES // self.dtype.itemsize, 1)
        cuts = np.flatnonzero((np.diff(rows) > gap) | (np.diff(block) > 0)) + 1
        for begin, end in itertools.pairwise([0, *cuts.tolist(), len(rows)]):
            first = int(rows[begin])
            piece = self.read(first, int(rows[end - 1]) + 1)
            result[begin:end] = piece[rows[begin:end] - first]
        return result

    def blocks(self, num_bytes: int = _BLOCK_BYTES) -> Iterator[np.ndarray]:
        """All records in order, some at a time."""
        step = max(num_bytes // self.dtype.itemsize, 1)
        for begin in range(0, len(self), step):
            yield self.read(begin, min(begin + step, len(self)))

    def first_at_least(self, fields: Sequence[str], values: Sequence[int]) -> int:
        """Number of the first record whose fields are `values` or come after them, in a file sorted by these fields."""
        wanted = tuple(values)
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            record = self.read(middle, middle + 1)
            if tuple(int(record[field][0]) for field in fields) < wanted:
                low = middle + 1
            else:
                high = middle
        return low


def write_array(file: BinaryIO, array: np.ndarray) -> None:
    """Appends records to an open file."""
    if len(array):
        file.write(np.ascontiguousarray(array).view("u1").data)


class Spill:
    """Records on their way to many files, gathered in memory up to a bound and appended to the files as it is reached.

    Files are opened for each append: there may be more of them than a process may hold open.
    """

    def __init__(self, folder: Path, num_files: int, dtype: np.dtype, num_bytes: int) -> None:
        self._paths = [folder / f"spill.{number:06d}" for number in range(num_files)]
        self._dtype = dtype
        # A record waits with its number (8 bytes), and all that waits is there three times while it is put in order.
        self._room = max(num_bytes // (3 * (dtype.itemsize + 8)), 1)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0
        self._is_spilled = False

    def add(self, numbers: np.ndarray, records: np.ndarray) -> None:
        """Takes records, each with the number of its file."""
        self._waiting.append((numbers, records))
        self._count += len(records)
        if self._count >= self._room:
            self.flush()

    def flush(self) -> None:
        """Writes what waits; records of a file stay in the order in which they came."""
        if not self._count:
            return
        numbers, records = self._take()
        begins = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        for begin, end in itertools.pairwise([*begins.tolist(), len(numbers)]):
            with open(self._paths[int(numbers[begin])], "ab") as file:
                write_array(file, records[begin:end])
        self._is_spilled = True

    def _take(self) -> tuple[np.ndarray, np.ndarray]:
        """All that waits, by number, in its order for each."""
        if not self._waiting:
            return np.empty(0, np.int64), np.empty(0, self._dtype)
        numbers = np.concatenate([numbers for numbers, _ in self._waiting])
        records = np.concatenate([records for _, records in self._waiting])
        self._waiting, self._count = [], 0
        order = np.argsort(numbers, kind="stable")
        return numbers[order], records[order]

    def drain(self) -> Iterator[np.ndarray]:
        """All records by the number of their file; the files are removed.  What fits into memory goes to no file."""
        if not self._is_spilled:
            yield self._take()[1]
            return
        self.flush()
        for number, path in enumerate(self._paths):
            if path.exists():
                yield self.read(number)
                path.unlink()

    def read(self, number: int) -> np.ndarray:
        """All records of one file."""
        path = self._paths[number]
        if not path.exists():
            return np.empty(0, self._dtype)
        with ArrayFile(path, self._dtype) as file:
            return file.read(0, len(file))
