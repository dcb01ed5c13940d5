"""Drops documents that are too long or too short, in bytes of UTF-8."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict


class Config(BaseConfig):
    """Default upper bound: AlgebraicStack's 1,048,575 bytes."""

    kind: Literal["size"]
    max_bytes: int = Field(default=1_048_575, ge=1)
    min_bytes: int = Field(default=1, ge=0)


def num_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def make(config: Config) -> Filter:
    """Reasons: too-large, too-small."""

    def judge(document: Document) -> Verdict:
        size = num_bytes(document.text)
        if size > config.max_bytes:
            return Drop("too-large")
        return Drop("too-small") if size < config.min_bytes else Keep(document)

    return judge
