"""Shards on their way from encoding to merging: a .bin/.idx pair and, beside it, which documents it holds.

    <source>.<split>.bin, .idx         Megatron's indexed tokens, one sequence a document, its last token eod
    <source>.<split>.documents.arrow   Arrow file, row i tells of document i of the .bin:
        id          fixed_size_binary(16)
        name        string
        num_tokens  int64     with the end-of-document token

Where documents are shuffled, a shard's documents stand in the order of `shuffle_keys`, those of equal key by id.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llemma.core.indexed import IndexedWriter
from proof_pile.documents import ID_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

ROW_SUFFIX = ".documents.arrow"
_GATHER_TOKENS = 8 << 20
_MEMORY_BYTES = 64 << 20  # chosen by us: the tokens of a shard of `shard_bytes` as recipes have it, thrice
_ROWS = 1 << 16
_UNSORTED_PREFIX = ".partial-unsorted-"  # as llemma.core.files names what is not finished


def shard_schema() -> pa.Schema:
    """The Arrow schema of `.documents.arrow`."""
    import pyarrow as pa

    return pa.schema([("id", pa.binary(ID_BYTES)), ("name", pa.string()), ("num_tokens", pa.int64())])


def side_file_schema() -> pa.Schema:
    """The Arrow schema of `.documents.parquet`, which the merge step makes of a source's and split's shards."""
    import pyarrow as pa

    columns = [("id", pa.string()), ("source", pa.string()), ("name", pa.string()), ("num_tokens", pa.int64())]
    return pa.schema(columns)


def shuffle_keys(ids: np.ndarray, seed: int) -> np.ndarray:
    """uint64 of each id (uint8 [n, 16]): the place of a document in a shuffled order, decided by nothing but these.

    The mixing is splitmix64's (Steele, Lea, Flood 2014) over both halves of the id, which is a hash itself.
    """
    halves = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    golden = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        return _mix(_mix(halves[:, 0] + np.uint64((seed + 1) * golden % 2**64)) ^ halves[:, 1])


def _mix(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def shuffled_order(keys: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Row numbers in the order of keys, of equal keys by id, of equal ids as they came."""
    big_endian = np.ascontiguousarray(ids).view(">u8").reshape(-1, 2)
    return np.lexsort((big_endian[:, 1], big_endian[:, 0], keys))


def id_bytes(column: pa.Array) -> np.ndarray:
    """A column of ids as uint8 [n, 16]."""
    width = column.type.byte_width
    data = column.buffers()[1]
    if data is None or len(column) == 0:
        return np.zeros((0, ID_BYTES), np.uint8)
    return np.frombuffer(data, np.uint8)[column.offset * width : (column.offset + len(column)) * width].reshape(
        -1, width
    )


def gather_documents(
    tokens: np.ndarray, lengths: np.ndarray, order: np.ndarray, max_tokens: int = _GATHER_TOKENS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The documents of a row of tokens in another order: parts of about `max_tokens` tokens, and their lengths."""
    starts = np.cumsum(lengths) - lengths
    sizes = lengths[order]
    part = np.cumsum(sizes) // max_tokens
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(order)]
    for first, last in itertools.pairwise(cuts):
        if first == last:
            continue
        size = sizes[first:last]
        before = np.cumsum(size) - size
        out = np.empty(int(size.sum()), tokens.dtype)
        for start, place, number in zip(
            starts[order[first:last]].tolist(), before.tolist(), size.tolist(), strict=True
        ):
            out[place : place + number] = tokens[start : start + number]
        yield out, size


class ShardWriter:
    """Writes one shard, in the order in which documents come or shuffled; use it as a context manager.

    Shuffling takes memory for the rows of all documents and up to _MEMORY_BYTES of tokens; what is more waits on the
    disk, which then needs room for as much again as the shard takes.
    """

    def __init__(self, prefix: Path, dtype: npt.DTypeLike, *, shuffle_seed: int | None) -> None:
        self._prefix = prefix
        self._dtype = np.dtype(dtype)
        self._seed = shuffle_seed
        self._rows: list[pa.RecordBatch] = []
        self._waiting: list[np.ndarray] = []
        self._waiting_bytes = 0
        self._num_spilled = 0
        self._unsorted_path = prefix.parent / f"{_UNSORTED_PREFIX}{prefix.name}"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ShardWriter:
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(IndexedWriter(self._prefix, self._dtype))
            stack.callback(self._unsorted_path.unlink, missing_ok=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._finish()
        except BaseException as problem:
            self._stack.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self._stack.__exit__(*error)

    def add(self, ids: pa.Array, names: pa.Array, tokens: np.ndarray, lengths: np.ndarray) -> None:
        """Adds documents: ids, names, their tokens in one row, and the length of each."""
        import pyarrow as pa

        if self._seed is None:
            self._writer.add_documents(tokens, lengths)
        else:
            tokens = tokens.astype(self._dtype, copy=False)
            if self._waiting_bytes + tokens.nbytes > _MEMORY_BYTES:
                self._waiting.append(tokens)
                self._spill()
            else:
                self._waiting.append(tokens.copy())  # the encoder's array is larger than its tokens
                self._waiting_bytes += tokens.nbytes
        self._rows.append(
            pa.RecordBatch.from_arrays([ids, names, pa.array(lengths, pa.int64())], schema=shard_schema())
        )

    def _finish(self) -> None:
        import pyarrow as pa

        rows = pa.Table.from_batches(self._rows, shard_schema()).combine_chunks()
        self._rows.clear()
        if self._seed is not None and rows.num_rows:
            ids = id_bytes(rows["id"].chunk(0))
            order = shuffled_order(shuffle_keys(ids, self._seed), ids)
            lengths = rows["num_tokens"].to_numpy()
            for part, sizes in self._unsorted_parts(lengths, order):
                self._writer.add_documents(part, sizes)
            rows = rows.take(pa.array(order))
        with pa.OSFile(f"{self._prefix}{ROW_SUFFIX}", "wb") as sink, pa.ipc.new_file(sink, shard_schema()) as file:
            file.write_table(rows, max_chunksize=_ROWS)

    def _spill(self) -> None:
        with open(self._unsorted_path, "ab") as file:
            for tokens in self._waiting:
                file.write(tokens.data)
        self._num_spilled += 1
        self._waiting.clear()
        self._waiting_bytes = 0

    def _unsorted_parts(self, lengths: np.ndarray, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The documents that were added, in another order; what lies on the disk is mapped and let go part by part."""
        if not self._num_spilled:
            yield from gather_documents(np.concatenate(self._waiting), lengths, order)
            return
        self._spill()
        with (
            open(self._unsorted_path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            tokens = np.frombuffer(mapped, self._dtype)
            for part in gather_documents(tokens, lengths, order):
                yield part
                mapped.madvise(mmap.MADV_DONTNEED)
            del tokens
