"""Parquet files: one row a document, row groups streamed in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, open_input
from proof_pile.sources.jsonl import record_document
from proof_pile.sources.layouts import STACK_COLUMNS, Layout

BATCH_BYTES = 16 << 20  # about how much a batch of rows holds, by the row group's own account
MAX_BATCH_ROWS = 1024
READ_BUFFER_BYTES = 1 << 20


class Config(BaseConfig):
    """A file, folder, glob or URL of Parquet files; keys and `layout` as for JSON lines."""

    kind: Literal["parquet"]
    path: str
    layout: Layout = "plain"
    text_key: str = "text"
    name_keys: tuple[str, ...] = ("name", "id", "url", "meta.name", "meta.url", "meta.arxiv_id", "meta.path")
    columns: tuple[str, ...] | None = Field(default=None, description="columns to read; all where not given")
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)
    max_text_bytes: int = Field(default=64 << 20, ge=1024)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The Parquet files that the section names."""
    return list_inputs(config.path, base, (".parquet",), wanted="Parquet files (.parquet)")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of one file; a bad row is quarantined with its number, a damaged row group as a whole."""
    (path,) = file.paths
    yield from read_records(config, path, file.name, source)


def read_records(config: Any, path: str, name: str, source: str) -> Iterator[Document | Quarantined]:
    """The documents of the Parquet file at a path or URL.  Pages are read one after the other, not whole row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        handle = open_input(path) if is_remote(path) else path
        reader = pq.ParquetFile(
            handle, pre_buffer=False, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        yield Quarantined(path=name, reason=f"not a Parquet file: {_short(error)}")
        return
    with reader:
        names = reader.schema_arrow.names
        if config.layout == "plain" and config.text_key.split(".")[0] not in names and config.text_key not in names:
            reason = f"no column '{config.text_key}'; found {', '.join(names[:20])}"
            yield Quarantined(path=name, reason=reason)
            return
        columns = _columns(config, names)
        row = 0
        for group in range(reader.num_row_groups):
            start = row
            known = reader.metadata.row_group(group)
            rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * known.num_rows // max(known.total_byte_size, 1)))
            try:
                for batch in reader.iter_batches(batch_size=rows, row_groups=[group], columns=columns):
                    for value in _rows(batch, config.max_text_bytes):
                        row += 1
                        if isinstance(value, str):
                            yield Quarantined(path=name, line=row, reason=value)
                            continue
                        record = record_document(config, value, source, name)
                        if isinstance(record, Document) and len(record.text) > config.max_text_bytes:  # of a struct
                            record = f"text longer than {config.max_text_bytes} bytes"
                        if isinstance(record, str):
                            yield Quarantined(path=name, line=row, reason=record)
                        else:
                            yield record
            except (pa.ArrowException, OSError) as error:
                reason = f"damaged row group, {start + known.num_rows - row} rows are lost: {_short(error)}"
                yield Quarantined(path=name, line=row + 1, member=f"row group {group}", reason=reason)
            row = start + known.num_rows


def _columns(config: Any, names: list[str]) -> list[str] | None:
    if config.columns is not None:
        return [c for c in config.columns if c in names]
    if config.layout == "the-stack" or (config.layout == "auto" and "max_stars_repo_path" in names):
        return [c for c in STACK_COLUMNS if c in names]  # it has 30, most of them of other repositories
    return None


def _rows(batch: Any, max_text_bytes: int) -> Iterator[dict[str, Any] | str]:
    """The rows of a record batch, or what is wrong with a row: no UTF-8, or a text that is too long.

    A long text is not made an object of Python's at all: as one it takes several times its length.
    """
    long = _long_rows(batch, max_text_bytes)
    if not long:
        try:
            yield from batch.to_pylist()
            return
        except UnicodeDecodeError:
            pass
    for number in range(batch.num_rows):
        if number in long:
            yield f"text longer than {max_text_bytes} bytes"
            continue
        try:
            yield batch.slice(number, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield f"invalid UTF-8 at byte {error.start}"


def _long_rows(batch: Any, max_text_bytes: int) -> set[int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: set[int] = set()
    for column in batch.columns:
        kind = column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)):
            continue
        if column.nbytes > max_text_bytes:
            lengths = pc.fill_null(pc.binary_length(column), 0).to_pylist()
            found.update(number for number, length in enumerate(lengths) if length > max_text_bytes)
    return found


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
