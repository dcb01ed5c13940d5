"""Step function: a documents file -> what its documents are compared by.

documents.bin   one record a document (`record_type`): id, half of the SHA-256 of the text, bytes of text, where its
                name stands in names.bin, number of shingles, and 8 bits of each value of its sketch
names.bin       the names of all documents, UTF-8, one after the other
keys.bin        records of KEY: a bucket's key, the document's row, 32 bits of its content; sorted into 256 parts by the
                key's first byte, rows rising in each.  Lowest bit of a key: 1 = of a text without a shingle, or of any
                text where only copies are looked for (a hash of the content); 0 = of a band
ids.bin         records of ID, sorted into 256 parts by the id's first byte
fences.bin      uint64 [2, 257]: where each part of keys and of ids begins

params: near, exact, seed, and where near is true ngram, bands, rows, values.   task.inputs: documents.parquet.
counts: documents, shingles, keys, name_bytes.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.arrays import Spill, write_array
from proof_pile.dedup.sketches import band_keys, low_bits, make_sketches
from proof_pile.words import Room, all_ngram_hashes, words_of_array

VERSION = 2
PIECE_BYTES = 1 << 19  # chosen by us: a piece's words stay in the processor's cache until they are sketched
WAITING_BYTES = 256 << 20  # chosen by us: of keys and what it takes to sort them, before they go to the disk
PART_BITS = 8
CONTENT_KEY = np.uint64(1)

KEY = np.dtype([("key", "<u8"), ("row", "<u4"), ("content", "<u4")])
ID = np.dtype([("id", "<u8", (2,)), ("content", "<u8"), ("num_bytes", "<u8"), ("row", "<u4")])


def record_type(values: int) -> np.dtype:
    """A document's record in documents.bin; `values` is 0 where near-duplicates are not looked for."""
    return np.dtype(
        [
            ("id", "<u8", (2,)),
            ("content", "<u8", (2,)),
            ("num_bytes", "<u8"),
            ("name_begin", "<u8"),
            ("name_bytes", "<u4"),
            ("num_shingles", "<u4"),
            ("sketch", "u1", (values,)),
        ]
    )


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the fingerprints of one documents file."""
    counts = {"documents": 0, "shingles": 0, "keys": 0, "name_bytes": 0}
    scratch = out / "scratch"
    scratch.mkdir()
    parts = 1 << PART_BITS
    keys = Spill(scratch, parts, KEY, WAITING_BYTES)
    fences = np.zeros((2, parts + 1), "<u8")
    ids = [np.empty(0, ID)]
    with open(out / "documents.bin", "wb") as documents, open(out / "names.bin", "wb") as names:
        room = Room()
        for piece in text_pieces(task.inputs[0].path, ("id", "name", "text")):
            here, here_keys = _fingerprints(piece, params, room)
            offsets, text = _strings(piece.column("name"))
            here["name_begin"] = counts["name_bytes"] + offsets[:-1]
            here["name_bytes"] = offsets[1:] - offsets[:-1]
            names.write(text)
            write_array(documents, here)
            ids.append(_ids(here, counts["documents"]))
            here_keys["row"] += counts["documents"]
            part = part_of(here_keys["key"], PART_BITS)
            fences[0, 1:] += np.bincount(part, minlength=parts).astype(np.uint64)
            keys.add(part, here_keys)
            counts["documents"] += len(here)
            counts["shingles"] += int(here["num_shingles"].sum(dtype=np.int64))
            counts["keys"] += len(here_keys)
            counts["name_bytes"] += len(text)
    with open(out / "keys.bin", "wb") as file:
        for records in keys.drain():
            write_array(file, records)
    scratch.rmdir()
    all_ids = np.concatenate(ids)
    part = part_of(all_ids["id"][:, 0], PART_BITS)
    with open(out / "ids.bin", "wb") as file:
        write_array(file, all_ids[np.argsort(part, kind="stable")])
    fences[1, 1:] = np.bincount(part, minlength=parts)
    np.cumsum(fences, axis=1).astype("<u8").tofile(out / "fences.bin")
    return counts


def _ids(records: np.ndarray, first_row: int) -> np.ndarray:
    ids = np.empty(len(records), ID)
    ids["id"], ids["content"], ids["num_bytes"] = records["id"], records["content"][:, 0], records["num_bytes"]
    ids["row"] = np.arange(first_row, first_row + len(records))
    return ids


def part_of(keys: np.ndarray, bits: int) -> np.ndarray:
    """uint16: the first bits of each key."""
    return (keys >> np.uint64(64 - bits)).astype(np.uint16)


def text_pieces(path: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The rows of a documents file in pieces of about PIECE_BYTES of text."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        place = file.schema_arrow.get_field_index("text")
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            rows = max(1, PIECE_BYTES * about.num_rows // max(about.column(place).total_uncompressed_size, 1))
            # Group by group: a batch over several would hold as many long texts as one has short ones.
            for batch in file.iter_batches(rows, row_groups=[group], columns=list(columns), use_threads=False):
                number = _strings(batch.column("text"))[0][:-1] // PIECE_BYTES
                cuts = (np.flatnonzero(number[1:] != number[:-1]) + 1).tolist()
                for begin, end in itertools.pairwise([0, *cuts, batch.num_rows]):
                    yield batch.slice(begin, end - begin)


def _strings(array: pa.Array) -> tuple[np.ndarray, memoryview]:
    """Offsets (int64 [n + 1], of the first string 0) of the strings of an array, and all of them joined."""
    _, offset_buffer, data_buffer = array.buffers()
    if not len(array):
        return np.zeros(1, np.int64), memoryview(b"")
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    offsets = np.frombuffer(offset_buffer, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = memoryview(data_buffer if data_buffer is not None else b"")[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data


def _fingerprints(batch: pa.RecordBatch, params: dict[str, Any], room: Room) -> tuple[np.ndarray, np.ndarray]:
    """Records of the batch's documents (without names), and their keys with rows counted from the batch's first."""
    values = params.get("values", 0)
    records = np.zeros(batch.num_rows, record_type(values))
    records["id"] = _fixed(batch.column("id"))
    records["content"], records["num_bytes"] = _contents(batch.column("text"))
    keyless = np.arange(batch.num_rows)
    band = np.empty((0, 1), np.uint64)
    rows = np.empty(0, np.int64)
    if params["near"]:
        shingles, offsets = all_ngram_hashes(words_of_array(batch.column("text"), room), params["ngram"], room)
        records["num_shingles"] = np.diff(offsets)
        sketches = make_sketches(shingles, offsets, values, params["seed"])
        records["sketch"] = low_bits(sketches)
        # A document without a shingle is like no other: it would share every band with all of its kind.
        rows = np.flatnonzero(records["num_shingles"])
        keyless = np.flatnonzero(records["num_shingles"] == 0)
        band = band_keys(sketches[rows], params["bands"], params["rows"]) & ~CONTENT_KEY
    if not params["exact"]:
        keyless = keyless[:0]
    keys = np.empty(band.size + len(keyless), KEY)
    keys["key"][: band.size] = band.reshape(-1)
    keys["row"][: band.size] = np.repeat(rows, band.shape[1])
    keys["key"][band.size :] = records["content"][keyless, 0] | CONTENT_KEY
    keys["row"][band.size :] = keyless
    keys["content"] = records["content"][keys["row"], 1].astype(np.uint32)
    return records, keys


def _fixed(array: pa.Array) -> np.ndarray:
    """uint64 [n, 2] of an array of 16 bytes each."""
    buffer = array.buffers()[1]
    whole = np.frombuffer(buffer if buffer is not None else b"", "<u8")
    return whole[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)


def _contents(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [n, 2], half of the SHA-256 of each text's bytes, and the number of these bytes."""
    offsets, data = _strings(texts)
    digests = b"".join(
        hashlib.sha256(data[begin:end], usedforsecurity=False).digest()[:16]
        for begin, end in itertools.pairwise(offsets.tolist())
    )
    return np.frombuffer(digests, "<u8").reshape(-1, 2), offsets[1:] - offsets[:-1]
