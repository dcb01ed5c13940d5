"""HTML pages: a folder of .html files, each page one document of Markdown-like text with its equations kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.html_text import extract_page
from proof_pile.sources.inputs import SourceFile, list_inputs, read_bounded, take_until

MAX_NESTING = 3000  # the parser's time grows with the square of the nesting: 0.1 s at 10,000, a minute at 300,000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements that have no end tag, or that their next sibling ends.
_UNNESTED = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "dd",
        "dt",
        "embed",
        "hr",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "option",
        "p",
        "param",
        "source",
        "td",
        "th",
        "tr",
        "track",
        "wbr",
    ]
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_CANONICAL = re.compile(r"<link[^>]{0,500}rel=[\"']canonical[\"'][^>]{0,500}>", re.IGNORECASE)
_HREF = re.compile(r"href=[\"']([^\"']{1,2000})[\"']", re.IGNORECASE)


class Config(BaseConfig):
    """A page or a folder of pages (.html, .htm, .xhtml)."""

    kind: Literal["html"]
    path: str
    max_bytes: int | None = Field(default=None, ge=1)
    max_page_bytes: int = Field(default=10_000_000, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The pages that the section names."""
    found = list_inputs(config.path, base, (".html", ".htm", ".xhtml"), wanted="HTML pages (.html, .htm, .xhtml)")
    return take_until(found, config.max_bytes)


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The text of one page, or why there is none.  The document's name is the page's canonical URL, else its path."""
    try:
        data = read_bounded(file.paths[0], config.max_page_bytes)
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
        return
    if data is None:
        yield Quarantined(path=file.name, reason=f"page longer than {config.max_page_bytes} bytes")
        return
    if b"\0" in data[:8192] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        yield Quarantined(path=file.name, reason="binary data", excerpt=excerpt(data))
        return
    markup, charset = decode_page(data)
    cut = cut_off_inside(markup)
    if cut:
        yield Quarantined(path=file.name, reason=f"page is cut off inside {cut}", excerpt=excerpt(markup[-200:]))
        return
    if nested_too_deeply(markup):
        yield Quarantined(path=file.name, reason=f"more than {MAX_NESTING} elements inside one another")
        return
    page = extract_page(markup)
    if not page.text.strip():
        yield Quarantined(path=file.name, reason="no text on the page", excerpt=excerpt(markup))
        return
    name = canonical_url(markup) or file.name
    meta = {"path": file.name, "title": page.title, "charset": charset, "num_formulas": page.num_formulas}
    yield make_document(source, name, page.text, {**meta, **config.meta})


def decode_page(data: bytes) -> tuple[str, str]:
    """The page as text and the charset used: UTF-8 where it decodes, else the one it declares, else windows-1252."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    declared = _CHARSET.search(data[:4096])
    charset = declared[1].decode("ascii").lower() if declared else "windows-1252"
    if charset in ("utf-8", "utf8"):
        return data.decode("utf-8", "replace"), "utf-8 with errors"
    try:
        return data.decode(charset, "replace"), charset
    except (LookupError, ValueError):
        return data.decode("windows-1252", "replace"), "windows-1252"


def cut_off_inside(markup: str) -> str | None:
    """What the page breaks off in ("a tag", "a script", "a comment"), None where it ends in order.

    Pages may leave out </body> and </html>; only an end within a construct is a cut.
    """
    tail = markup[-100_000:]
    if tail.rfind("<!--") > tail.rfind("-->"):
        return "a comment"
    lower = tail.lower()
    for tag in ("script", "style", "textarea", "math", "svg"):
        opened = max(lower.rfind(f"<{tag} "), lower.rfind(f"<{tag}>"))
        if opened > lower.rfind(f"</{tag}"):
            return f"<{tag}>"
    start = tail.rfind("<")
    if start > tail.rfind(">") and re.match(r"<[/!a-zA-Z]", tail[start:]):
        return "a tag"
    return None


def canonical_url(markup: str) -> str | None:
    """The URL of the page's canonical link, None where it has none."""
    link = _CANONICAL.search(markup[:50_000])
    href = _HREF.search(link[0]) if link else None
    return href[1] if href and href[1].startswith(("http://", "https://")) else None


def nested_too_deeply(markup: str) -> bool:
    """Whether more than MAX_NESTING elements stand open at once, which no page that people read has."""
    if markup.count("<") - markup.count("</") <= MAX_NESTING:
        return False
    depth = 0
    for match in _TAG.finditer(markup):
        if match[2].lower() not in _UNNESTED:
            depth += -1 if match[1] else 1
            if depth > MAX_NESTING:
                return True
    return False
