"""Step: the shards of one source and split -> one .bin/.idx pair and one side file.

merge_tasks(records of the encode step) -> tasks, one a (source, split)
run(params, task, out):
    params: shuffle_seed (int or None), the one that the shards were encoded with
    task.args: source, split;  task.inputs: .bin, .idx, .documents.arrow of each shard (shards.py), in order
    writes <source>.<split>.bin, .idx and
        <source>.<split>.documents.parquet    row i tells of document i of the .bin (zstd):
            id          string    32 hexadecimal digits
            source      string
            name        string
            num_tokens  int64     with the end-of-document token
    counts: documents, tokens
publish(records of the merge step, OUT) -> hashes: OUT/data/<source>/<split>.bin, .idx, .documents.parquet

Without shuffling the shards follow each other.  With it, each shard is sorted by key already; the range of keys is cut
so that the documents of one part, from all shards, fit into memory, and part after part is read, sorted and written.
So the order does not depend on how documents were dealt out to shards.  The disk holds every token twice (shards and
result), memory about 16 bytes a token of one part and 12 a document of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llemma.core.errors import DamagedFileError
from llemma.core.files import TEMPORARY_PREFIX, place_file
from llemma.core.indexed import IndexedReader, IndexedWriter
from llemma.core.steps import InputFile, Task, TaskRecord
from proof_pile.tokenize.encode import shard_files
from proof_pile.tokenize.shards import (
    gather_documents,
    id_bytes,
    shuffle_keys,
    shuffled_order,
    side_file_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 2
SHARD_SUFFIXES = (".bin", ".idx", ".documents.parquet")
PART_TOKENS = 32 << 20  # chosen by us: 64 MB of tokens, twice, at a time
_ROWS = 1 << 16


def merge_tasks(records: Sequence[TaskRecord]) -> list[Task]:
    """One task for each source and split that the encoded shards hold, sorted; shards in the order of the records."""
    inputs: dict[tuple[str, str], list[InputFile]] = {}
    for record in records:
        for key, files in shard_files(record).items():
            inputs.setdefault(key, []).extend(file.as_input() for file in files)
    return [
        Task(inputs=tuple(files), label=f"{source}/{split}", args={"source": source, "split": split})
        for (source, split), files in sorted(inputs.items())
    ]


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Makes one pair of the task's shards."""
    import pyarrow.parquet as pq

    source = task.args["source"]
    prefix = out / f"{source}.{task.args['split']}"
    paths = [item.path for item in task.inputs]
    shards = [_Shard.open(tokens, rows) for tokens, rows in zip(paths[0::3], paths[2::3], strict=True)]
    seed = params.get("shuffle_seed")
    with (
        IndexedWriter(prefix, shards[0].dtype) as writer,
        pq.ParquetWriter(f"{prefix}.documents.parquet", side_file_schema(), compression="zstd") as side_writer,
    ):
        if seed is None:
            for shard in shards:
                writer.add_shard(shard.prefix)
                _write_rows(side_writer, shard.rows(), source)
        else:
            for rows in _merge_shuffled(shards, seed, writer):
                _write_rows(side_writer, rows, source)
        return {"documents": writer.num_documents, "tokens": writer.num_tokens}


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """A shard on the disk, checked; its files are opened anew for each part of it that is read."""

    prefix: str
    rows_path: str
    dtype: np.dtype
    num_tokens: int

    @classmethod
    def open(cls, path: str, rows_path: str) -> _Shard:
        prefix = path.removesuffix(".bin")
        reader = IndexedReader(prefix)
        shard = cls(prefix=prefix, rows_path=rows_path, dtype=reader.dtype, num_tokens=reader.num_tokens)
        num_rows = shard.rows().num_rows
        if num_rows != reader.num_documents:
            raise DamagedFileError(
                f"{rows_path}: has {num_rows} rows, but the shard beside it has "
                f"{reader.num_documents} documents: delete both, they are made again"
            )
        return shard

    def rows(self) -> pa.Table:
        """Its documents' rows, where they lie in the file."""
        import pyarrow as pa

        try:
            with pa.memory_map(self.rows_path) as source:
                return pa.ipc.open_file(source).read_all()
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(
                f"{self.rows_path}: cannot be read as the rows of a shard ({error}): delete it and its .bin, "
                "they are made again"
            ) from None

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """A range of its tokens."""
        return np.fromfile(f"{self.prefix}.bin", self.dtype, stop - start, offset=start * self.dtype.itemsize)


def _merge_shuffled(shards: Sequence[_Shard], seed: int, writer: IndexedWriter) -> Iterator[pa.Table]:
    """Writes the documents of all shards in the order of their keys, and yields their rows in that order."""
    import pyarrow as pa

    num_parts = max(1, -(-sum(shard.num_tokens for shard in shards) // PART_TOKENS))
    edges = np.array([2**64 * part // num_parts for part in range(1, num_parts)], np.uint64)
    first_rows, first_tokens = [], []
    for shard in shards:
        rows = shard.rows()
        keys = shuffle_keys(_ids(rows), seed)
        if (keys[1:] < keys[:-1]).any():
            raise DamagedFileError(f"{shard.rows_path}: is not sorted: delete it and its .bin")
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows["num_tokens"].to_numpy())])
        bounds = np.concatenate([[0], np.searchsorted(keys, edges), [len(keys)]])
        first_rows.append(bounds)
        first_tokens.append(ends[bounds])
    for part in range(num_parts):
        tables, tokens = [], []
        for shard, row, token in zip(shards, first_rows, first_tokens, strict=True):
            if row[part] < row[part + 1]:
                tables.append(shard.rows().slice(row[part], row[part + 1] - row[part]))
                tokens.append(shard.tokens(int(token[part]), int(token[part + 1])))
        if not tables:
            continue
        table = pa.concat_tables(tables).combine_chunks()
        ids = _ids(table)
        order = shuffled_order(shuffle_keys(ids, seed), ids)
        for documents, lengths in gather_documents(np.concatenate(tokens), table["num_tokens"].to_numpy(), order):
            writer.add_documents(documents, lengths)
        yield table.take(pa.array(order))


def _ids(table: pa.Table) -> np.ndarray:
    parts = [id_bytes(chunk) for chunk in table["id"].chunks]
    return np.concatenate(parts) if parts else np.zeros((0, 16), np.uint8)


def _write_rows(writer: Any, rows: pa.Table, source: str) -> None:
    """Rows of shards as rows of the side file."""
    import pyarrow as pa

    for start in range(0, rows.num_rows, _ROWS):
        some = rows.slice(start, _ROWS).combine_chunks()
        count = some.num_rows
        digits = pa.py_buffer(_ids(some).tobytes().hex().encode("ascii"))
        offsets = pa.py_buffer(np.arange(0, 32 * count + 1, 32, dtype=np.int32))
        hexadecimal = pa.StringArray.from_buffers(count, offsets, digits)
        columns = [hexadecimal, pa.repeat(pa.scalar(source), count), some["name"], some["num_tokens"]]
        writer.write_table(pa.table(columns, schema=side_file_schema()))


def publish(records: Sequence[TaskRecord], out: str | Path) -> dict[str, str]:
    """Puts merged shards to OUT/data/<source>/<split>.*, and removes what an earlier build left there beside them.

    Returns the SHA-256 of each file by its path relative to OUT.  The files are hard links where the file system has
    them, so that tokens lie on the disk once.
    """
    data = Path(out) / "data"
    hashes: dict[str, str] = {}
    wanted: set[Path] = set()
    for record in records:
        for (source, split), files in shard_files(record, SHARD_SUFFIXES).items():
            for suffix, file in zip(SHARD_SUFFIXES, files, strict=True):
                target = data / source / f"{split}{suffix}"
                wanted.add(target)
                hashes[target.relative_to(out).as_posix()] = file.sha256
                place_file(file.path, target)
    for folder in [path for path in data.iterdir() if path.is_dir()] if data.is_dir() else []:
        for leftover in folder.iterdir():
            if leftover not in wanted and (
                leftover.name.startswith(TEMPORARY_PREFIX) or leftover.name.endswith(SHARD_SUFFIXES)
            ):
                leftover.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return hashes
