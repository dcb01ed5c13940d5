"""Parquet files: one row a document, row groups streamed in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, open_input
from proof_pile.sources.jsonl import record_document


class Config(BaseConfig):
    """A file, folder, glob or URL of Parquet files; keys as for JSON lines."""

    kind: Literal["parquet"]
    path: str
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    (path,) = file.paths
    try:
        reader = pq.ParquetFile(open_input(path) if is_remote(path) else path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        yield Quarantined(path=file.name, reason=f"not a Parquet file: {_short(error)}")
        return
    with reader:
        names = reader.schema_arrow.names
        if config.text_key.split(".")[0] not in names and config.text_key not in names:
            reason = f"no column '{config.text_key}'; found {', '.join(names[:20])}"
            yield Quarantined(path=file.name, reason=reason)
            return
        columns = [c for c in config.columns if c in names] if config.columns is not None else None
        row = 0
        for group in range(reader.num_row_groups):
            start = row
            try:
                for batch in reader.iter_batches(batch_size=256, row_groups=[group], columns=columns):
                    for value in batch.to_pylist():
                        row += 1
                        record = record_document(config, value, source)
                        if isinstance(record, Document) and len(record.text) > config.max_text_bytes:
                            record = f"text longer than {config.max_text_bytes} characters"
                        if isinstance(record, str):
                            yield Quarantined(path=file.name, line=row, reason=record)
                        else:
                            yield record
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                reason = f"damaged row group: {_short(error)}"
                yield Quarantined(path=file.name, line=row + 1, member=f"row group {group}", reason=reason)
            row = start + reader.metadata.row_group(group).num_rows


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
