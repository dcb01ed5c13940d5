"""WARC files of web pages (.warc, .gz, .zst): each HTML response with mathematics is one document of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.html import page_document
from proof_pile.sources.inputs import SourceFile, list_inputs, open_input
from proof_pile.sources.web.rules import DEFAULT_RULES, PageRules

SUFFIXES = (".warc", ".warc.gz", ".warc.zst")
_HTML = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")


class Config(BaseConfig):
    """A WARC file, or a folder, glob or URL of them, as Common Crawl and wget --warc-file write them.

    The first record that a page fails at ends its way: type, status, length, bad address, prefilter, extraction.  What
    was passed over for good reason is not quarantined one by one: each file ends with one line of counts.
    """

    kind: Literal["warc"]
    path: str
    prefilter: bool = Field(default=True, description="OpenWebMath's: only pages that may hold mathematics are parsed")
    math_score: bool = Field(default=False, description="ask a MathScore model about pages without any LaTeX")
    math_score_model: str | None = Field(default=None, description="a model's file; without it the one that ships")
    min_math_score: float = Field(default=0.8, ge=0, le=1, description="for such pages (OpenWebMath)")
    canonical_names: bool = Field(default=False, description="name a page by its canonical link, not by its address")
    max_page_bytes: int = Field(default=10_000_000, ge=1)
    rules: PageRules = DEFAULT_RULES
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The WARC files that the section names."""
    return list_inputs(config.path, base, SUFFIXES, wanted="WARC files (" + ", ".join(SUFFIXES) + ")")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The pages of one WARC file; a record that cannot be read is quarantined with its offset."""
    from proof_pile.sources.web.warc import WarcFault, read_warc

    (path,) = file.paths
    score = load_score(config)
    passed_over: Counter[str] = Counter()
    try:
        with open_input(path) as handle:
            for record in read_warc(handle, path, config.max_page_bytes + (64 << 10)):
                if isinstance(record, WarcFault):
                    place = f"offset {record.offset}"
                    yield Quarantined(
                        path=file.name, member=place, reason=record.reason, excerpt=excerpt(record.excerpt)
                    )
                    continue
                if record.headers.get("warc-type", "").lower() != "response":
                    continue
                found = _page(config, file, source, record.headers, record.block, record.size, record.offset, score)
                if isinstance(found, str):
                    passed_over[found] += 1
                else:
                    yield found
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
    if passed_over:
        counts = ", ".join(f"{reason} {number}" for reason, number in sorted(passed_over.items()))
        yield Quarantined(path=file.name, member=f"{passed_over.total()} records", reason=f"passed over: {counts}")


def _page(
    config: Config,
    file: SourceFile,
    source: str,
    headers: dict[str, str],
    block: bytes,
    size: int,
    offset: int,
    score: Callable[[str], float] | None,
) -> Document | Quarantined | str:
    """The document of a response; a word for what is passed over."""
    from proof_pile.sources.web.http import parse_response
    from proof_pile.sources.web.prefilter import mathematics_in

    url = headers.get("warc-target-uri", "").strip("<>")
    place = f"offset {offset}"
    if not url.startswith(("http://", "https://")):
        return "not a web address"
    response = parse_response(block, config.max_page_bytes)
    if isinstance(response, str):
        return Quarantined(path=file.name, member=f"{place} {url}"[:500], reason=response, excerpt=excerpt(block))
    if response.status != 200:
        return "status is not 200"
    if response.content_type not in _HTML and not (
        not response.content_type and b"<html" in response.body[:2048].lower()
    ):
        return "not HTML"
    if size > len(block) or len(response.body) > config.max_page_bytes:
        return Quarantined(
            path=file.name, member=f"{place} {url}"[:500], reason=f"page longer than {config.max_page_bytes} bytes"
        )
    found = ""
    if config.prefilter:
        found = mathematics_in(response.body, score, config.min_math_score) or ""
        if not found:
            return "no mathematics"
    meta = {"url": url, "date": headers.get("warc-date", ""), "warc": file.name, "offset": offset}
    if found:
        meta["prefilter"] = found
    page = page_document(response.body, response.charset, config.rules)
    if isinstance(page, str):
        return Quarantined(path=file.name, member=f"{place} {url}"[:500], reason=page, excerpt=excerpt(response.body))
    name = (page.canonical or url) if config.canonical_names else url
    return make_document(source, name, page.text, {**meta, **page.meta, **config.meta})


def load_score(config: Config) -> Callable[[str], float] | None:
    """The MathScore model that the section asks for, None where it asks for none."""
    if not (config.prefilter and config.math_score):
        return None
    from proof_pile.quality.math_score import load_math_score

    return load_math_score(config.math_score_model)
