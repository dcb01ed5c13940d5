"""Strips a licence's text from the top of a source file."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

_BLOCK = re.compile(r"\s*(/\*.*?\*/|\(\*.*?\*\)|/-(?!-|!).*?-/|\{-(?!#).*?-\}|<!--.*?-->)\s*", re.DOTALL)
_LINE = re.compile(r"[ \t]*(?://|#(?!!|include|define|if|pragma)|--|%|;|!|\|\|)[^\n]*(?:\n|$)|[ \t]*\n")
_LICENCE = re.compile(
    r"copyright|licen[cs]e[ds]?\b|spdx-|all rights reserved|redistribution and use|permission is hereby granted",
    re.IGNORECASE,
)


class Config(BaseConfig):
    """RedPajama's rule, with its fault mended: line comments go only where they speak of a licence, not always."""

    kind: Literal["licence-header"]
    max_header_chars: int = Field(default=20_000, ge=1)


def strip_licence_header(text: str, max_header_chars: int) -> str:
    """The text without the leading comment that holds a licence; a shebang line stays."""
    head, shebang = text, ""
    if text.startswith("#!"):
        shebang, _, head = text.partition("\n")
        shebang += "\n"
    limited = head[:max_header_chars]
    block = _BLOCK.match(limited)
    if block is not None:
        return shebang + head[block.end() :] if _LICENCE.search(block[1]) else text
    end = 0
    while (line := _LINE.match(limited, end)) is not None and line.end() > end:
        if not line[0].strip() and _LICENCE.search(limited[:end]):
            rest = _next_paragraph(limited, line.end())
            if not _LICENCE.search(rest):
                end = line.end()
                break  # the comment after the licence's belongs to the code
        end = line.end()
    return shebang + head[end:].lstrip("\n") if _LICENCE.search(limited[:end]) else text


def _next_paragraph(text: str, start: int) -> str:
    end = start
    while (line := _LINE.match(text, end)) is not None and line[0].strip():
        end = line.end()
    return text[start:end]


def make(config: Config) -> Filter:
    """Rewrites the text.  Reason: only-licence, where nothing else is left."""

    def judge(document: Document) -> Verdict:
        text = strip_licence_header(document.text, config.max_header_chars)
        if text is document.text:
            return Keep(document)
        return Keep(document.with_text(text)) if text.strip() else Drop("only-licence")

    return judge
