"""One document on its way through the build, and the Parquet schemas in which documents travel between steps.

documents Parquet (zstd), one row a document:
    id      fixed_size_binary(16)   blake2b-128 of source + NUL + name (the text where there is no name)
    source  string                  name of the source in the recipe
    name    string                  the document's own stable name there (path, URL, arXiv id), "" where it has none
    text    large_string            the text, valid UTF-8
    meta    string                  JSON object with whatever the reader knows (language, licence, title, ...)

dropped Parquet: the same columns and
    reason  string                  the short reason that a filter gave ("too-large", "digit-share", ...)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ID_BYTES = 16
EXCERPT_CHARS = 200  # chosen by us: enough to recognise a record, too little to copy it


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A text with its identity.  `id` never changes once the source and the name are settled."""

    id: bytes
    source: str
    name: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def hex_id(self) -> str:
        """The id as 32 hex digits, the form in which it stands in manifests and side files."""
        return self.id.hex()

    def with_text(self, text: str) -> Document:
        """The same document (same id) with another text."""
        return replace(self, text=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """An input record that could not be read: where it stands, why, and its beginning.

    `line` counts from 1 in line-based files; `member` names a member of an archive, a cell, a row group.
    """

    path: str
    reason: str
    line: int | None = None
    member: str | None = None
    excerpt: str = ""

    def as_json(self) -> dict[str, Any]:
        """The record as it is written to quarantine.jsonl."""
        place: dict[str, Any] = {"path": self.path}
        if self.line is not None:
            place["line"] = self.line
        if self.member is not None:
            place["member"] = self.member
        return {**place, "reason": self.reason, "excerpt": self.excerpt}


def document_id(source: str, name: str, text: str) -> bytes:
    """16 bytes that name a document: blake2b-128 of source + NUL + name, or of source + NUL + text without a name."""
    identity = f"{source}\0{name or text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(identity, digest_size=ID_BYTES).digest()


def make_document(source: str, name: str, text: str, meta: Mapping[str, Any] | None = None) -> Document:
    """A document with its id computed and its text made valid UTF-8 (lone surrogates become U+FFFD)."""
    text = valid_utf8(text)
    name = valid_utf8(name)
    return Document(id=document_id(source, name, text), source=source, name=name, text=text, meta=dict(meta or {}))


def valid_utf8(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold and Arrow refuses."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def excerpt(data: bytes | str) -> str:
    """The first characters of a bad record, printable and on one line."""
    text = data[: 4 * EXCERPT_CHARS].decode("utf-8", "replace") if isinstance(data, bytes) else data
    return "".join(c if c.isprintable() else " " for c in text[:EXCERPT_CHARS])


def documents_schema() -> pa.Schema:
    """The Arrow schema of kept documents."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.binary(ID_BYTES)),
            ("source", pa.string()),
            ("name", pa.string()),
            ("text", pa.large_string()),
            ("meta", pa.string()),
        ]
    )


def dropped_schema() -> pa.Schema:
    """The Arrow schema of dropped documents: a document and the reason."""
    import pyarrow as pa

    return documents_schema().append(pa.field("reason", pa.string()))


def documents_batch(documents: Iterable[Document], reasons: Iterable[str] | None = None) -> pa.RecordBatch:
    """The documents as one record batch; with `reasons` (one a document) it has the dropped schema."""
    import pyarrow as pa

    rows = list(documents)
    columns: list[Any] = [
        [d.id for d in rows],
        [d.source for d in rows],
        [d.name for d in rows],
        [d.text for d in rows],
        [valid_utf8(json.dumps(d.meta, ensure_ascii=False, sort_keys=True)) for d in rows],
    ]
    schema = documents_schema()
    if reasons is not None:
        columns.append(list(reasons))
        schema = dropped_schema()
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def batch_documents(batch: pa.RecordBatch) -> list[Document]:
    """The documents of a record batch in either schema."""
    columns = [batch.column(name).to_pylist() for name in ("id", "source", "name", "text", "meta")]
    return [
        Document(id=id_, source=source, name=name, text=text, meta=json.loads(meta))
        for id_, source, name, text, meta in zip(*columns, strict=True)
    ]
