"""The recipe's `deduplicate` section."""

from __future__ import annotations

from pydantic import Field

from llemma.core.config import Config


class NearDuplicatesConfig(Config):
    """MinHash over shingles of words, `bands` of `rows` values each (Broder 1997; Leskovec et al., chapter 3).

    Two documents are near-duplicates where the Jaccard similarity of their shingle sets is `threshold` or more.
    `partitions` is the number of parts that bands are sorted in, one after the other: memory shrinks with it.
    """

    ngram: int = Field(default=5, ge=1, le=64)
    bands: int = Field(default=14, ge=1, le=255)
    rows: int = Field(default=8, ge=1, le=64)
    threshold: float = Field(default=0.7, gt=0, le=1)
    partitions: int = Field(default=4, ge=1, le=4096)


class DeduplicateConfig(Config):
    """Which duplicates are removed; `near: null` leaves near-duplicates in."""

    exact: bool = True
    near: NearDuplicatesConfig | None = NearDuplicatesConfig()
