"""Drops documents by the kinds of characters that they are made of."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

_ALNUM = re.compile(r"[^\W_]+")


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
        if sum(map(len, _ALNUM.findall(text))) / len(text) < config.min_alnum_share:
            return Drop("alnum-share")
        if text.count("\ufffd") / len(text) > config.max_replacement_share:
            return Drop("replacement-characters")
        return Keep(document)

    return judge
