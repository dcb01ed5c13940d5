"""Step: one documents Parquet -> one token shard for each source and split in it.

run(params, task, out):
    params: eod (str, int or None): the end-of-document token, None for the </s> of a SentencePiece vocabulary;
            engine ("fastest", the default, or "library"): whether text may be encoded by other than the library;
            shuffle_seed (int or None): in a shard the documents stand as they came (None) or shuffled (shards.py)
    task.inputs: [0] documents Parquet (id, source, name, text, split), [1] tokenizer.model or tokenizer.json
    writes, for each source and split that occurs, the three files of a shard (shards.py)
    counts: "documents/<source>/<split>", "tokens/<source>/<split>", "bytes/<source>/<split>" (of text)

shard_files(record, suffixes) -> {(source, split): files}   of a finished task

Texts go from Arrow's buffers to the .bin without becoming Python strings.  A vocabulary on which our encoder fails its
proof is left to the library.  In each task the first documents are encoded by the library too: other ids than ours on
them, although the proof went well, stop the build, for other tasks may hold such text where nobody looks.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.indexed import best_dtype
from llemma.core.steps import OutputFile, Task, TaskRecord
from llemma.core.text.probe import probe_equal_ids
from llemma.core.text.tokenizers import Tokenizer, load_tokenizer, use_one_thread
from proof_pile.tokenize.shards import ROW_SUFFIX, ShardWriter

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

VERSION = 2
SHARD_SUFFIXES = (".bin", ".idx", ROW_SUFFIX)
_COLUMNS = ["id", "source", "name", "text", "split"]
_BATCH_BYTES = 8 << 20  # of text, held at a time; a single document may be larger
_COUNT_AT_ONCE = 1 << 20  # tokens
_PROBE_DOCUMENTS = 8
_PROBE_CHARS = 8192


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Tokenizes the task's documents into shards in `out`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    use_one_thread()
    documents, vocabulary = task.inputs
    native = params.get("engine", "fastest") == "fastest"
    tokenizer = _tokenizer(vocabulary.path, vocabulary.sha256, params.get("eod"), native)
    dtype = best_dtype(tokenizer.vocab_size)
    counts: Counter[str] = Counter()
    shards: dict[tuple[str, str], ShardWriter] = {}
    with contextlib.ExitStack() as stack, pq.ParquetFile(documents.path) as file:
        missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise DamagedFileError(
                f"{documents.path}: has no column {', '.join(missing)}: it is not a file of documents"
            )
        for number, batch in enumerate(_batches(file)):
            if number == 0:
                _probe(tokenizer, batch)
            for key, rows in _by_source_and_split(batch):
                if key not in shards:
                    prefix = out / ".".join(key)
                    shards[key] = stack.enter_context(
                        ShardWriter(prefix, dtype, shuffle_seed=params.get("shuffle_seed"))
                    )
                tokens, lengths = encode_rows(tokenizer, rows, dtype, documents.path)
                shards[key].add(rows["id"], rows["name"], tokens, lengths)
                place = "/".join(key)
                counts[f"documents/{place}"] += rows.num_rows
                counts[f"tokens/{place}"] += len(tokens)
                counts[f"bytes/{place}"] += int(pc.sum(pc.binary_length(rows["text"])).as_py())
    return dict(sorted(counts.items()))


def encode_rows(
    tokenizer: Tokenizer, rows: pa.RecordBatch, dtype: np.dtype, path: str
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of all documents in a row, each with its end, and their lengths.

    Raises DamagedFileError where a text is no text, WorkError where one holds the end-of-document id.
    """
    from llemma.core.text.pieces import arrow_buffer

    try:
        data, offsets = arrow_buffer(rows["text"])
    except ValueError as error:
        raise DamagedFileError(f"{path}: its texts cannot be read ({error}): delete it, it is made again") from None
    encoded = tokenizer.encode_buffer(data, offsets, dtype, with_eod=True)
    tokens, lengths = encoded.tokens, encoded.lengths
    parts = (tokens[start : start + _COUNT_AT_ONCE] for start in range(0, len(tokens), _COUNT_AT_ONCE))
    if sum(np.count_nonzero(part == tokenizer.eod_id) for part in parts) != len(lengths):
        inside = np.flatnonzero(tokens == tokenizer.eod_id)
        document = int(np.flatnonzero(inside[: len(lengths)] != np.cumsum(lengths) - 1)[0])
        raise WorkError(
            f"document {rows['id'][document].as_py().hex()} ({rows['name'][document].as_py()}) holds the "
            "end-of-document id in its text"
        )
    return tokens, lengths


def shard_files(
    record: TaskRecord, suffixes: tuple[str, str, str] = SHARD_SUFFIXES
) -> dict[tuple[str, str], tuple[OutputFile, OutputFile, OutputFile]]:
    """The three files of each (source, split) that a finished task of this step made."""
    names = {item.name.removesuffix(".bin") for item in record.outputs if item.name.endswith(".bin")}
    found = {}
    for name in sorted(names):
        source, _, split = name.rpartition(".")
        tokens, index, documents = (record.output(name + suffix) for suffix in suffixes)
        found[source, split] = (tokens, index, documents)
    return found


@lru_cache(maxsize=2)
def _tokenizer(path: str, sha256: str, eod: str | int | None, native: bool) -> Tokenizer:
    """The tokenizer, kept with its cache for this process's next task; `sha256` tells files of one name apart."""
    return load_tokenizer(path, eod, native=native)


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The rows of documents, about _BATCH_BYTES at a time."""
    for group in range(file.num_row_groups):
        metadata = file.metadata.row_group(group)
        rows = max(1, metadata.num_rows * _BATCH_BYTES // max(metadata.total_byte_size, 1))
        yield from file.iter_batches(batch_size=rows, row_groups=[group], columns=_COLUMNS, use_threads=False)


def _by_source_and_split(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, str], pa.RecordBatch]]:
    """The rows of each source and split, in the order in which these first occur."""
    import pyarrow as pa

    sources, splits = batch["source"].dictionary_encode(), batch["split"].dictionary_encode()
    codes = sources.indices.to_numpy() * len(splits.dictionary) + splits.indices.to_numpy()
    values, first = np.unique(codes, return_index=True)
    for code in values[np.argsort(first)].tolist():
        source, split = divmod(code, len(splits.dictionary))
        key = (sources.dictionary[source].as_py(), splits.dictionary[split].as_py())
        yield key, batch if len(values) == 1 else batch.filter(pa.array(codes == code))


def _probe(tokenizer: Tokenizer, batch: pa.RecordBatch) -> None:
    """Raises WorkError where the beginning of the first documents gets other ids than from the library itself."""
    import pyarrow.compute as pc

    with contextlib.suppress(UnicodeDecodeError):  # reported where the text is read in earnest
        texts = pc.utf8_slice_codeunits(batch["text"][:_PROBE_DOCUMENTS], 0, _PROBE_CHARS).to_pylist()
        try:
            probe_equal_ids(tokenizer.encode_batch, tokenizer.encode_batch_reference, texts)
        except WorkError as error:
            raise WorkError(
                f"{error}: set 'engine: library' in the recipe's 'tokenizer' section to build without the fast "
                "encoder, and report this text, for it is a fault of that one"
            ) from None
