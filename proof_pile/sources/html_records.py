"""HTML inside records: JSON lines or Parquet whose rows hold a page's markup in a column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources import jsonl, parquet
from proof_pile.sources.html import page_document
from proof_pile.sources.inputs import SourceFile, list_inputs
from proof_pile.sources.web.rules import DEFAULT_RULES, PageRules


class Config(BaseConfig):
    """A file, folder, glob or URL of JSON lines or Parquet; `html_key` names the markup, and may reach into objects."""

    kind: Literal["html-records"]
    path: str
    html_key: str = "html"
    name_keys: tuple[str, ...] = ("url", "name", "id", "meta.url", "metadata.url")
    prefilter: bool = False
    max_page_bytes: int = Field(default=10_000_000, ge=1024)
    rules: PageRules = DEFAULT_RULES
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The JSONL and Parquet files that the section names."""
    return list_inputs(config.path, base, (*jsonl.SUFFIXES, ".parquet"), wanted="JSONL or Parquet files")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The text of each row's page; a row that cannot be read is quarantined alone."""
    for record in _rows(config, file, source):
        if isinstance(record, Quarantined):
            yield replace(record, path=file.name)
            continue
        data = record.text.encode("utf-8", "replace")
        place = record.name or record.hex_id
        if config.prefilter:
            from proof_pile.sources.web.prefilter import mathematics_in

            if mathematics_in(data) is None:
                yield Quarantined(path=file.name, member=place, reason="passed over: no mathematics")
                continue
        page = page_document(data, "utf-8", config.rules)
        if isinstance(page, str):
            yield Quarantined(path=file.name, member=place, reason=page, excerpt=excerpt(record.text))
            continue
        meta = {key: value for key, value in record.meta.items() if key != config.html_key}
        yield make_document(source, record.name, page.text, {**meta, **page.meta, **config.meta})


def _rows(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    settings: dict[str, Any] = {"path": config.path, "text_key": config.html_key, "name_keys": config.name_keys}
    if file.paths[0].endswith(".parquet"):
        return parquet.read(
            parquet.Config(kind="parquet", max_text_bytes=config.max_page_bytes, **settings), file, source
        )
    # Escapes may make a line of JSON several times as long as the page in it.
    return jsonl.read(jsonl.Config(kind="jsonl", max_line_bytes=4 * config.max_page_bytes, **settings), file, source)
