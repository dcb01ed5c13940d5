"""HTML pages: a folder of .html files, each page one document of Markdown-like text with its equations kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.inputs import SourceFile, list_inputs, read_bounded, take_until
from proof_pile.sources.web.charset import canonical_url, cut_off_inside, decode_page
from proof_pile.sources.web.rules import DEFAULT_RULES, PageRules

_SUFFIXES = (".html", ".htm", ".xhtml")


class Config(BaseConfig):
    """A page or a folder of pages (.html, .htm, .xhtml).  `prefilter` passes over pages without mathematics."""

    kind: Literal["html"]
    path: str
    max_bytes: int | None = Field(default=None, ge=1)
    max_page_bytes: int = Field(default=10_000_000, ge=1)
    prefilter: bool = False
    rules: PageRules = DEFAULT_RULES
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageText:
    """The text of a page and what is known of it."""

    text: str
    canonical: str | None
    meta: dict[str, Any]


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The pages that the section names."""
    found = list_inputs(config.path, base, _SUFFIXES, wanted="HTML pages (.html, .htm, .xhtml)")
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
    if config.prefilter:
        from proof_pile.sources.web.prefilter import mathematics_in

        if mathematics_in(data) is None:
            yield Quarantined(path=file.name, reason="passed over: no mathematics")
            return
    page = page_document(data, "", config.rules)
    if isinstance(page, str):
        yield Quarantined(path=file.name, reason=page, excerpt=excerpt(data))
        return
    meta = {"path": file.name, **page.meta, **config.meta}
    yield make_document(source, page.canonical or file.name, page.text, meta)


def page_document(data: bytes, http_charset: str, rules: PageRules) -> PageText | str:
    """The text of a page's bytes, or why there is none."""
    from proof_pile.sources.html_text import TooDeepPageError, TooManyLinksError, extract_page

    if b"\0" in data[:8192] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return "binary data"
    markup, charset = decode_page(data, http_charset)
    cut = cut_off_inside(markup)
    if cut:
        return f"page is cut off inside {cut}"
    try:
        page = extract_page(markup, rules)
    except TooManyLinksError:
        return f"more than {rules.max_links} links"
    except TooDeepPageError:
        return f"more than {rules.max_nesting} elements inside one another"
    except Exception as error:  # a fault of ours: it costs this page, not the other fifty thousand of its file
        return f"extraction failed: {type(error).__name__}: {error}"[:500]
    if not page.text.strip():
        return "no text on the page"
    return PageText(
        text=page.text,
        canonical=canonical_url(markup),
        meta={"title": page.title, "charset": charset, "num_formulas": page.num_formulas},
    )
