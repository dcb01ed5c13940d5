"""A corpus in pieces that are searched one by one: Parquet files with texts, or .bin/.idx pairs with their tokenizer.

What may be named as a corpus:
    a build's folder                 its texts (text/<source>/*.parquet), or its shards where it keeps no texts
    a folder or a file of Parquet    with a column `text`, and `id` and `source` where they are there
    a mixture.json                   its shards, all splits, with its tokenizer
    a pair, as X.bin, X.idx or X     with --tokenizer; X.documents.parquet beside it tells the documents' ids
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import stable_hash
from llemma.core.indexed import IndexedReader, bin_path, idx_path
from llemma.core.schemas import Mixture, read_model
from llemma.core.text.token_bytes import LibraryBytes, TokenBytes

PIECE_BYTES = 128 << 20  # chosen by us: of text or tokens; what a kill costs, and what a worker takes at once
BATCH_ROWS = 512
BATCH_TOKENS = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Row groups of a Parquet file, or documents of a pair, from `begin` to before `end`."""

    path: Path
    begin: int
    end: int
    size: int  # bytes of text (Parquet, as the file tells) or of tokens
    source: str
    tokenizer: Path | None = None

    @property
    def key(self) -> str:
        """Names what is found in it: another file of the same name, or a changed one, has another key."""
        path = self.path if self.tokenizer is None else bin_path(self.path)
        state = path.stat()
        tokenizer = None if self.tokenizer is None else str(self.tokenizer.resolve())
        place = [str(path.resolve()), state.st_size, state.st_mtime_ns, self.begin, self.end, self.source, tokenizer]
        return stable_hash(place)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Documents in a UTF-8 buffer, `offsets` (int64) between them; the first is number `first` of its file."""

    first: int
    data: np.ndarray
    offsets: np.ndarray
    columns: Any = None  # of a Parquet file: the batch itself

    def text(self, document: int, begin: int, end: int) -> str:
        """Bytes begin:end of a document, as text."""
        at = int(self.offsets[document])
        return self.data[at + begin : at + end].tobytes().decode("utf-8", "replace")


def list_pieces(paths: Sequence[Path], tokenizer: Path | None = None) -> list[Piece]:
    """All pieces of a corpus, in order.  Raises InputError or DamagedFileError where a path holds none."""
    pieces: list[Piece] = []
    for path in paths:
        found = list(_pieces(path, tokenizer))
        if not found:
            raise InputError(f"{path}: holds no documents")
        pieces += found
    seen: set[tuple[Path, int]] = set()
    for piece in pieces:
        place = (piece.path.resolve(), piece.begin)
        if place in seen:
            raise InputError(f"{piece.path}: named twice among the corpus: its documents would be counted twice")
        seen.add(place)
    return pieces


def _pieces(path: Path, tokenizer: Path | None) -> Iterator[Piece]:
    if path.is_dir():
        root = path / "text" if (path / "mixture.json").is_file() and (path / "text").is_dir() else path
        files = sorted(file for file in root.rglob("*.parquet") if not file.name.startswith("."))
        if files and (root != path or not (path / "mixture.json").is_file()):
            for file in files:
                yield from _parquet_pieces(file)
        elif (path / "mixture.json").is_file():
            yield from _mixture_pieces(path / "mixture.json")
        else:
            raise InputError(
                f"{path}: no corpus: wanted is a build's folder, a folder of .parquet files, a mixture.json, "
                "or the common name of a .bin and an .idx"
            )
    elif path.name.endswith(".parquet"):
        yield from _parquet_pieces(path)
    elif path.name.endswith(".json"):
        yield from _mixture_pieces(path)
    else:
        prefix = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
        if not idx_path(prefix).is_file() and not bin_path(prefix).is_file():
            raise InputError(
                f"{path}: there is no such corpus: wanted is a folder, a .parquet file, a mixture.json, "
                "or the common name of a .bin and an .idx"
            )
        if tokenizer is None:
            raise InputError(
                f"{prefix}: tokens can only be read with the tokenizer that made them: give --tokenizer PATH, "
                "or name the build's mixture.json instead"
            )
        yield from _shard_pieces(prefix, prefix.parent.name, tokenizer)


def _parquet_pieces(path: Path) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except pa.ArrowException as error:
        raise DamagedFileError(f"{path}: this is not a whole Parquet file ({_one_line(error)})") from None
    with file:
        names = file.schema_arrow.names
        if "text" not in names:
            raise InputError(f"{path}: has no column 'text' (it has {', '.join(names[:12])}): this is no corpus")
        column = next(n for n in range(file.metadata.num_columns) if file.schema.column(n).path == "text")
        begin, size = 0, 0
        for group in range(file.num_row_groups):
            size += file.metadata.row_group(group).column(column).total_uncompressed_size
            if size >= PIECE_BYTES or group == file.num_row_groups - 1:
                yield Piece(path=path, begin=begin, end=group + 1, size=size, source=path.parent.name)
                begin, size = group + 1, 0


def _mixture_pieces(path: Path) -> Iterator[Piece]:
    mixture = read_model(path, Mixture)
    for source in mixture.sources:
        for shard in source.splits.values():
            yield from _shard_pieces(path.parent / shard.path, source.name, path.parent / mixture.tokenizer.path)


def _shard_pieces(prefix: Path, source: str, tokenizer: Path) -> Iterator[Piece]:
    reader = IndexedReader(prefix)
    starts = np.concatenate([[0], np.cumsum(reader.sizes, dtype=np.int64)])[reader.document_index]
    most = PIECE_BYTES // reader.dtype.itemsize
    begin = 0
    while begin < reader.num_documents:
        end = max(begin + 1, int(np.searchsorted(starts, starts[begin] + most, side="right")) - 1)
        size = int(starts[end] - starts[begin]) * reader.dtype.itemsize
        yield Piece(path=prefix, begin=begin, end=end, size=size, source=source, tokenizer=tokenizer)
        begin = end


def batches(piece: Piece, spelled: TokenBytes | LibraryBytes | None) -> Iterator[Batch]:
    """The documents of a piece; `spelled` turns the tokens of a pair into text."""
    if spelled is None:
        yield from _parquet_batches(piece)
    else:
        yield from _shard_batches(piece, spelled)


def _parquet_batches(piece: Piece) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from llemma.core.text.pieces import arrow_buffer

    try:
        with pq.ParquetFile(piece.path) as file:
            columns = [name for name in ("id", "source", "text") if name in file.schema_arrow.names]
            first = sum(file.metadata.row_group(group).num_rows for group in range(piece.begin))
            groups = list(range(piece.begin, piece.end))
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False):
                texts = batch.column("text")
                data, offsets = arrow_buffer(texts.fill_null("") if texts.null_count else texts)
                yield Batch(first=first, data=data, offsets=offsets, columns=batch)
                first += batch.num_rows
    except (pa.ArrowException, AttributeError, ValueError) as error:
        raise DamagedFileError(f"{piece.path}: cannot be read ({_one_line(error)}): copy the file again") from None


def _shard_batches(piece: Piece, spelled: TokenBytes | LibraryBytes) -> Iterator[Batch]:
    reader = IndexedReader(piece.path)
    index = reader.document_index
    ends = np.concatenate([[0], np.cumsum(reader.sizes, dtype=np.int64)])
    starts = ends[index[piece.begin : piece.end + 1]]
    begin = 0
    while begin < len(starts) - 1:
        end = max(begin + 1, int(np.searchsorted(starts, starts[begin] + BATCH_TOKENS, side="right")) - 1)
        sequences = range(int(index[piece.begin + begin]), int(index[piece.begin + end]))
        tokens = np.concatenate([*(reader.get(sequence) for sequence in sequences), np.empty(0, reader.dtype)])
        try:
            data, offsets = spelled.texts(tokens, starts[begin : end + 1] - starts[begin])
        except ValueError as error:
            raise InputError(f"{piece.path}: {error}: these tokens were made by another tokenizer") from None
        yield Batch(first=piece.begin + begin, data=data, offsets=offsets)
        begin = end


def names_of(piece: Piece, batch: Batch, documents: Sequence[int]) -> list[tuple[str, str]]:
    """(id, source) of documents of a batch; those without an id are called by their file and number."""
    if batch.columns is not None:
        columns = {name: batch.columns.column(name) for name in batch.columns.schema.names}
        return [
            (
                _id(columns["id"][number].as_py(), piece, batch.first + number) if "id" in columns
                else f"{piece.path.name}:{batch.first + number}",
                str(columns["source"][number].as_py()) if "source" in columns else piece.source,
            )
            for number in documents
        ]  # fmt: skip
    return [
        (name or f"{piece.path.name}:{number}", source or piece.source)
        for number, (name, source) in zip(
            [batch.first + document for document in documents],
            _side_names(piece, [batch.first + document for document in documents]),
            strict=True,
        )
    ]


def _id(value: Any, piece: Piece, number: int) -> str:
    if value is None:
        return f"{piece.path.name}:{number}"
    return value.hex() if isinstance(value, bytes) else str(value)


def _side_names(piece: Piece, numbers: Sequence[int]) -> list[tuple[str, str]]:
    """(id, source) from the side file of a pair; empty where it has none.  Only the row groups asked for are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(f"{piece.path}.documents.parquet")
    if not path.is_file():
        return [("", "")] * len(numbers)
    found: dict[int, tuple[str, str]] = {}
    try:
        with pq.ParquetFile(path) as file:
            first = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                wanted = [number for number in numbers if first <= number < first + size]
                if wanted:
                    rows = file.read_row_group(group, columns=["id", "source"], use_threads=False)
                    for number in wanted:
                        row = rows.slice(number - first, 1).to_pylist()[0]
                        found[number] = (str(row["id"]), str(row["source"]))
                first += size
    except (pa.ArrowException, KeyError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({_one_line(error)})") from None
    return [found.get(number, ("", "")) for number in numbers]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
