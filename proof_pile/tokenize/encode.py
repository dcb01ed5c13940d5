"""Step: one documents Parquet -> one token shard for each source and split in it.

run(params, task, out):
    params: eod (str, int or None): the end-of-document token, None for the </s> of a SentencePiece vocabulary
    task.inputs: [0] documents Parquet (id, source, name, text, split), [1] tokenizer.model or tokenizer.json
    writes, for each source and split that occurs:
        <source>.<split>.bin, .idx            Megatron's indexed tokens, one sequence a document, its last token eod
        <source>.<split>.documents.parquet    row i tells of document i of the .bin (zstd):
            id          string    32 hexadecimal digits
            source      string
            name        string
            num_tokens  int64     with the end-of-document token
    counts: "documents/<source>/<split>", "tokens/<source>/<split>", "bytes/<source>/<split>" (of text)

shard_files(record) -> {(source, split): (bin, idx, documents)}   of a finished task
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.indexed import IndexedWriter, best_dtype
from llemma.core.steps import OutputFile, Task, TaskRecord
from llemma.core.text.tokenizers import Tokenizer, load_tokenizer, use_one_thread

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
SHARD_SUFFIXES = (".bin", ".idx", ".documents.parquet")
_COLUMNS = ["id", "source", "name", "text", "split"]
_READ_ROWS = 32  # held at a time; a document may have some megabytes
_ROW_GROUP = 1 << 16  # of the side file


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Tokenizes the task's documents into shards in `out`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    use_one_thread()
    documents, vocabulary = (item.path for item in task.inputs)
    tokenizer = load_tokenizer(vocabulary, params.get("eod"))
    counts: Counter[str] = Counter()
    shards: dict[tuple[str, str], _Shard] = {}
    with contextlib.ExitStack() as stack, pq.ParquetFile(documents) as file:
        missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise DamagedFileError(f"{documents}: has no column {', '.join(missing)}: it is not a file of documents")
        for batch in file.iter_batches(batch_size=_READ_ROWS, columns=_COLUMNS):
            rows = batch.to_pydict()
            num_bytes = pc.binary_length(batch.column("text")).to_pylist()
            encoded = tokenizer.encode_batch(rows["text"])
            for number, ids in enumerate(encoded):
                key = (rows["source"][number], rows["split"][number])
                if key not in shards:
                    prefix = out / ".".join(key)
                    shards[key] = stack.enter_context(_Shard(prefix, tokenizer))
                shards[key].add(rows["id"][number], rows["name"][number], ids)
                place = "/".join(key)
                counts[f"documents/{place}"] += 1
                counts[f"tokens/{place}"] += len(ids) + 1
                counts[f"bytes/{place}"] += num_bytes[number]
    return dict(sorted(counts.items()))


def shard_files(record: TaskRecord) -> dict[tuple[str, str], tuple[OutputFile, OutputFile, OutputFile]]:
    """The three files of each (source, split) that a finished task of this step, or of the merge step, made."""
    names = {item.name.removesuffix(".bin") for item in record.outputs if item.name.endswith(".bin")}
    found = {}
    for name in sorted(names):
        source, _, split = name.rpartition(".")
        tokens, index, documents = (record.output(name + suffix) for suffix in SHARD_SUFFIXES)
        found[source, split] = (tokens, index, documents)
    return found


def side_file_schema() -> pa.Schema:
    """The Arrow schema of `.documents.parquet`."""
    import pyarrow as pa

    columns = [("id", pa.string()), ("source", pa.string()), ("name", pa.string()), ("num_tokens", pa.int64())]
    return pa.schema(columns)


class _Shard:
    """One .bin/.idx pair and its side file, while they are being written."""

    def __init__(self, prefix: Path, tokenizer: Tokenizer) -> None:
        self._source = prefix.name.rpartition(".")[0]
        self._eod = np.array([tokenizer.eod_id], np.int32)
        self._writer = IndexedWriter(prefix, best_dtype(tokenizer.vocab_size))
        self._side_path = Path(f"{prefix}.documents.parquet")
        self._rows: list[tuple[str, str, str, int]] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Shard:
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            stack.enter_context(self._writer)
            self._side = stack.enter_context(pq.ParquetWriter(self._side_path, side_file_schema(), compression="zstd"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._write_rows()
        finally:
            self._stack.__exit__(*error)

    def add(self, document: bytes, name: str, ids: np.ndarray) -> None:
        """Adds one document."""
        if self._eod[0] in ids:
            raise WorkError(f"document {document.hex()} ({name}) holds the end-of-document id in its text")
        tokens = np.concatenate([ids, self._eod])
        self._writer.add_document(tokens)
        self._rows.append((document.hex(), self._source, name, tokens.size))
        if len(self._rows) >= _ROW_GROUP:
            self._write_rows()

    def _write_rows(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._side.write_table(pa.table(columns, schema=side_file_schema()))
            self._rows.clear()
