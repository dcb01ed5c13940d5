"""JSON lines (.jsonl, .gz, .zst): one object a line, the text under one key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.inputs import SourceFile, invalid_utf8_place, json_value, list_inputs, open_input
from proof_pile.sources.layouts import Layout, layout_document, layout_of
from proof_pile.sources.streams import BrokenStreamError, read_chunks, read_lines

SUFFIXES = tuple(f"{ending}{packed}" for ending in (".jsonl", ".json", ".ndjson") for packed in ("", ".gz", ".zst"))


class Config(BaseConfig):
    """A file, folder, glob or URL of JSON lines.

    Keys may reach into objects ("meta.url").  `name_keys` are tried in order; without a name the id comes from
    the text.  With another `layout` than "plain" (proof_pile.sources.layouts) the record's form is known and keys are
    not asked for.
    """

    kind: Literal["jsonl"]
    path: str
    layout: Layout = "plain"
    text_key: str = "text"
    name_keys: tuple[str, ...] = ("name", "id", "url", "meta.name", "meta.url", "meta.arxiv_id", "meta.path")
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)
    max_line_bytes: int = Field(default=64 << 20, ge=1024)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The JSONL files that the section names."""
    return list_inputs(config.path, base, SUFFIXES, wanted="JSONL files (" + ", ".join(SUFFIXES[:3]) + ")")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of one file; each bad line is quarantined alone, a broken stream with the line it breaks at."""
    (path,) = file.paths
    yield from read_records(config, path, file.name, source)


def read_records(config: Any, path: str, name: str, source: str) -> Iterator[Document | Quarantined]:
    """The documents of the JSON lines at a path or URL.  `config` has what `record_document` wants, max_line_bytes."""
    import orjson

    number = 0
    try:
        with open_input(path) as handle:
            for number, line in read_lines(read_chunks(handle, path), config.max_line_bytes):
                if line is None:
                    reason = f"line longer than {config.max_line_bytes} bytes"
                    yield Quarantined(path=name, line=number, reason=reason)
                    continue
                if not line.strip():
                    continue
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    yield Quarantined(path=name, line=number, reason=_fault(line, error), excerpt=excerpt(line))
                    continue
                record = record_document(config, value, source, name)
                if isinstance(record, str):
                    yield Quarantined(path=name, line=number, reason=record, excerpt=excerpt(line))
                else:
                    yield record
    except BrokenStreamError as error:
        yield Quarantined(path=name, line=number + 1, reason=str(error))
    except OSError as error:
        yield Quarantined(path=name, line=number + 1, reason=f"unreadable: {error.strerror or error}")


def _fault(line: bytes, error: ValueError) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return invalid_utf8_place(line)
    return f"invalid JSON: {error}"


def record_document(config: Any, value: Any, source: str, file_name: str = "") -> Document | str:
    """The document of one record, or why there is none.

    `config` has text_key, name_keys, meta and, where records may have a known form, layout.
    """
    if not isinstance(value, dict):
        return f"not an object but {type(value).__name__}"
    layout = getattr(config, "layout", "plain")
    if layout == "auto":
        layout = layout_of(value)
    if layout != "plain":
        record = layout_document(layout, value, source, file_name)
        if isinstance(record, Document) and config.meta:
            return replace(record, meta={**record.meta, **config.meta})
        return record
    text = look_up(value, config.text_key)
    if not isinstance(text, str):
        return f"no text under the key '{config.text_key}'"
    if not text.strip():
        return "empty text"
    name = ""
    for key in config.name_keys:
        found = look_up(value, key)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            name = str(found)
            break
    meta = value.get("meta")
    kept = json_value(meta) if isinstance(meta, dict) else {}
    for key, other in value.items():
        if key not in (config.text_key, "meta") and isinstance(other, str | int | float) and len(str(other)) <= 1000:
            kept.setdefault(key, other)
    return make_document(source, name, text, {**kept, **config.meta})


def look_up(value: dict[str, Any], key: str) -> Any:
    """What stands under the key itself, or along its dotted path; None where nothing does."""
    if key in value:
        return value[key]
    found: Any = value
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found
