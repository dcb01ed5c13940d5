"""Basic quality of web text, by OpenWebMath's last rules."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

_ACCENTED = re.compile("[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]")
_WORD = re.compile(r"[^\W\d_]+")
_FILLER = re.compile(r"lorem ipsum|enable javascript|javascript is (?:disabled|required)|accept (?:all )?cookies", re.I)


class Config(BaseConfig):
    """Bounds on a page: length in characters, accented letters' share (OpenWebMath), words, repeated lines (ours)."""

    kind: Literal["web-text"]
    min_chars: int = Field(default=100, ge=0)
    max_accented_share: float = Field(default=0.015, ge=0, le=1)
    min_words: int = Field(default=20, ge=0)
    max_repeated_line_share: float = Field(default=0.5, ge=0, le=1)


def make(config: Config) -> Filter:
    """Rewrites the text (lines of filler and of macro definitions go).

    Reasons: too-short, few-words, accented-letters, repeated-lines.
    """

    def judge(document: Document) -> Verdict:
        text = document.text
        lowered = text.lower()
        if "newcommand" in text or any(word in lowered for word in ("lorem ipsum", "javascript", "cookies")):
            lines = text.split("\n")
            text = "\n".join(
                x for x in lines if x.count("newcommand") <= 1 and not (len(x) < 300 and _FILLER.search(x))
            )
            if text != document.text:
                document = document.with_text(text)
        if len(text) < config.min_chars:
            return Drop("too-short")
        if len(_ACCENTED.findall(text)) / len(text) > config.max_accented_share:
            return Drop("accented-letters")
        if sum(1 for _ in zip(range(config.min_words), _WORD.finditer(text), strict=False)) < config.min_words:
            return Drop("few-words")
        lines = [line.strip() for line in text.split("\n") if len(line.strip()) > 20]
        if len(lines) >= 4 and 1 - len(set(lines)) / len(lines) > config.max_repeated_line_share:
            return Drop("repeated-lines")
        return Keep(document)

    return judge
