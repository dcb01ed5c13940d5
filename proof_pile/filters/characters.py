"""Drops documents by the kinds of characters that they are made of."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

_ALNUM = re.compile(r"[^\W_]+")
_ASCII = bytes(range(128))
_ALL_BUT_ASCII_ALNUM = bytes(byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum()))


class Config(BaseConfig):
    """Shares of all characters.  Default for alphanumerics: RedPajama's for GitHub.  U+FFFD marks a lost character."""

    kind: Literal["characters"]
    min_alnum_share: float = Field(default=0.25, ge=0, le=1)
    max_replacement_share: float = Field(default=0.001, ge=0, le=1, description="chosen by us")


def make(config: Config) -> Filter:
    """Reasons: empty, alnum-share, replacement-characters."""

    def judge(document: Document) -> Verdict:
        text = document.text
        if not text:
            return Drop("empty")
        if count_alphanumerics(text) / len(text) < config.min_alnum_share:
            return Drop("alnum-share")
        if text.count("\ufffd") / len(text) > config.max_replacement_share:
            return Drop("replacement-characters")
        return Keep(document)

    return judge


def count_alphanumerics(text: str) -> int:
    """How many characters are letters or digits of any script."""
    # ASCII, of which most text is, is counted on bytes: a search in the whole text takes ten times as long.
    data = text.encode("utf-8", "surrogatepass")
    ascii_ones = len(data.translate(None, _ALL_BUT_ASCII_ALNUM))
    beyond = data.translate(None, _ASCII).decode("utf-8", "surrogatepass")
    return ascii_ones + sum(map(len, _ALNUM.findall(beyond)))
