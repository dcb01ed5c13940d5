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


def make(config: Config) -> Filter:
    """Reasons: too-large, too-small."""

    def judge(document: Document) -> Verdict:
        num_chars = len(document.text)
        if num_chars > config.max_bytes:
            return Drop("too-large")
        if num_chars >= config.min_bytes and 4 * num_chars <= config.max_bytes:
            return Keep(document)
        num_bytes = len(document.text.encode("utf-8"))
        if num_bytes > config.max_bytes:
            return Drop("too-large")
        return Drop("too-small") if num_bytes < config.min_bytes else Keep(document)

    return judge
