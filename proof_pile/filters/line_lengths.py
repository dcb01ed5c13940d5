"""Drops code with very long lines, as minified and data files have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict


class Config(BaseConfig):
    """Defaults: RedPajama's for GitHub, in characters."""

    kind: Literal["line-lengths"]
    max_longest: int = Field(default=1000, ge=1)
    max_mean: float = Field(default=100.0, gt=0)


def make(config: Config) -> Filter:
    """Reasons: long-line, long-lines-on-average."""

    def judge(document: Document) -> Verdict:
        lengths = [len(line) for line in document.text.split("\n")]
        if max(lengths) > config.max_longest:
            return Drop("long-line")
        return Drop("long-lines-on-average") if sum(lengths) / len(lengths) > config.max_mean else Keep(document)

    return judge
