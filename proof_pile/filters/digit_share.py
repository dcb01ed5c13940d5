"""Drops documents that are mostly digits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict


class Config(BaseConfig):
    """AlgebraicStack's rule: digits are at most half of the characters that are not white space."""

    kind: Literal["digit-share"]
    max_share: float = Field(default=0.5, ge=0, le=1)


def digit_share(text: str | bytes) -> float:
    """Decimal digits over characters that are not white space; 0 for a text of white space alone."""
    from proof_pile.filters.marker_scan import count_digits

    num_digits, num_visible = count_digits(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    return num_digits / num_visible if num_visible else 0.0


def make(config: Config) -> Filter:
    """Reason: digit-share."""

    def judge(document: Document) -> Verdict:
        return Drop("digit-share") if digit_share(document.text) > config.max_share else Keep(document)

    return judge
