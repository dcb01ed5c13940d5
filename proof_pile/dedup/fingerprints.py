"""Step function: a documents file -> what duplicates are found by, in Arrow files that are read by memory map.

documents.arrow   one batch, row i = document i: id binary(16), source string, name string, num_bytes int64,
                  num_shingles int64, signature fixed_size_list(uint32) (one 0 where near-duplicates are not wanted)
contents.arrow    batch p = partition p: content binary(16) (blake2b-128 of the text), row uint32
bands.arrow       batch p = partition p: key uint64 (hash of a band's number and rows), row uint32

params: ngram, bands, rows, partitions, seed, near.   counts: documents, shingles.
"""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llemma.core.steps import Task
from proof_pile.words import band_keys, minhash, text_batches, words_of_array

VERSION = 1


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the fingerprints of one documents file."""
    near = params["near"]
    size = params["bands"] * params["rows"] if near else 1
    described: list[pa.RecordBatch] = []
    signatures, shingles, contents, lengths = [], [], [], []
    for _, batch in text_batches(task.inputs[0].path, ("id", "source", "name", "text")):
        described.append(batch.select(["id", "source", "name"]))
        texts = batch.column("text")
        lengths.append(np.asarray(_byte_lengths(texts)))
        contents.append(_content_hashes(texts))
        if near:
            signature, counts = minhash(words_of_array(texts), params["ngram"], size, params["seed"])
        else:
            signature, counts = np.zeros((len(texts), 1), np.uint32), np.zeros(len(texts), np.int64)
        signatures.append(signature)
        shingles.append(counts)
    signature = _stack(signatures, (0, size), np.uint32)
    num_shingles = _stack(shingles, (0,), np.int64)
    content = _stack(contents, (0, 2), np.uint64)
    _write_documents(out / "documents.arrow", described, _stack(lengths, (0,), np.int64), num_shingles, signature)
    partitions = params["partitions"]
    rows = np.arange(len(content), dtype=np.uint32)
    binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(content), [None, pa.py_buffer(content.tobytes())])
    write_partitions(
        out / "contents.arrow",
        content[:, 0] % np.uint64(partitions),
        partitions,
        {"content": binary, "row": pa.array(rows)},
    )
    # A document without a shingle is like no other: it would share every band with all of its kind.
    compared = np.flatnonzero(num_shingles > 0).astype(np.uint32)
    keys = band_keys(signature[compared], params["bands"], params["rows"]) if near else np.empty((0, 1), np.uint64)
    key_rows = np.repeat(compared, keys.shape[1]) if near else np.empty(0, np.uint32)
    keys = keys.reshape(-1)
    write_partitions(
        out / "bands.arrow",
        keys % np.uint64(partitions),
        partitions,
        {"key": pa.array(keys), "row": pa.array(key_rows)},
    )
    return {"documents": len(content), "shingles": int(num_shingles.sum())}


def _stack(arrays: list[np.ndarray], empty_shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(empty_shape, dtype)


def _byte_lengths(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_length(texts).cast(pa.int64())


def _content_hashes(texts: pa.Array) -> np.ndarray:
    """uint64 [n, 2]: blake2b-128 of each text's bytes."""
    digests = b"".join(
        hashlib.blake2b(value.as_buffer(), digest_size=16).digest() for value in texts.cast(pa.large_binary())
    )
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def _write_documents(
    path: Path, described: list[pa.RecordBatch], lengths: np.ndarray, shingles: np.ndarray, signature: np.ndarray
) -> None:
    fields = [("id", pa.binary(16)), ("source", pa.string()), ("name", pa.string())]
    table = pa.Table.from_batches(described, schema=pa.schema(fields)).combine_chunks()
    columns = [table.column(name).combine_chunks() for name, _ in fields]
    columns = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    columns += [
        pa.array(lengths),
        pa.array(shingles),
        pa.FixedSizeListArray.from_arrays(pa.array(signature.reshape(-1)), signature.shape[1]),
    ]
    names = ["id", "source", "name", "num_bytes", "num_shingles", "signature"]
    batch = pa.RecordBatch.from_arrays(columns, names=names)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def write_partitions(path: Path, partition: np.ndarray, partitions: int, columns: dict[str, pa.Array]) -> None:
    """An Arrow file with one record batch a partition, rows in their order within it."""
    order = np.argsort(partition, kind="stable")
    bounds = np.searchsorted(partition[order], np.arange(partitions + 1, dtype=partition.dtype))
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)).take(pa.array(order))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        for begin, end in itertools.pairwise(bounds):
            writer.write_batch(batch.slice(begin, end - begin))


def read_partition(path: str, number: int) -> pa.RecordBatch:
    """One partition of a file that `write_partitions` made, mapped and not copied."""
    return pa.ipc.open_file(pa.memory_map(path)).get_batch(number)


class Fingerprints:
    """The documents.arrow files of all inputs as one long table; a document's number counts through all files.

    `starts[f]` is the number of file f's first document.
    """

    def __init__(self, paths: list[str]) -> None:
        self._batches = [pa.ipc.open_file(pa.memory_map(path)).get_batch(0) for path in paths]
        self.starts = np.concatenate([[0], np.cumsum([batch.num_rows for batch in self._batches])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """File and row of each document."""
        files = np.searchsorted(self.starts, numbers, side="right") - 1
        return files, numbers - self.starts[files]

    def signatures(self, numbers: np.ndarray) -> np.ndarray:
        """uint32 [documents, values]."""
        size = self._batches[0].schema.field("signature").type.list_size if self._batches else 1
        result = np.empty((len(numbers), size), np.uint32)
        files, rows = self.place(numbers)
        for file in np.unique(files):
            chosen = files == file
            values = self._batches[file].column("signature").values.to_numpy(zero_copy_only=True).reshape(-1, size)
            result[chosen] = values[rows[chosen]]
        return result

    def column(self, name: str, numbers: np.ndarray) -> list[Any]:
        """The values of one column for some documents."""
        files, rows = self.place(numbers)
        return [
            self._batches[file].column(name)[int(row)].as_py()
            for file, row in zip(files.tolist(), rows.tolist(), strict=True)
        ]

    def order(self, numbers: np.ndarray, ranks: list[int]) -> list[tuple[int, int, bytes, int]]:
        """Sort keys of documents: of several duplicates the smallest stays.  `ranks`: place of each file's source."""
        files, _ = self.place(numbers)
        return [
            (ranks[file], -num_bytes, id_, number)
            for file, num_bytes, id_, number in zip(
                files.tolist(),
                self.column("num_bytes", numbers),
                self.column("id", numbers),
                numbers.tolist(),
                strict=True,
            )
        ]
