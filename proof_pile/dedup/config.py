"""The recipe's `deduplicate` section.

deduplicate:
  exact: true
  near: {threshold: 0.7}               # bands and rows follow; or {bands: 14, rows: 8, threshold: 0.7}
  against: [/corpora/last-year]        # finished builds: what stands in them goes here
  memory_mb: 512                       # about what one task may hold; the number of partitions follows
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from llemma.core.config import Config
from proof_pile.dedup.banding import Banding, choose_banding

MAX_VALUES = 1024


class NearDuplicatesConfig(Config):
    """MinHash over shingles of words (Broder 1997), `bands` of `rows` values each (Leskovec et al., chapter 3).

    Two documents are near-duplicates where the Jaccard similarity of their sets of `ngram` words in a row is
    `threshold` or more.  Without `bands` and `rows` the most rows are taken whose bands, out of `values` values, find a
    pair just at the threshold with a chance of `recall` or more: pairs above are found more surely, and the most rows
    give the fewest candidates.
    """

    ngram: int = Field(default=5, ge=1, le=64)
    threshold: float = Field(default=0.7, gt=0, le=1)
    values: int = Field(default=128, ge=16, le=MAX_VALUES)
    recall: float = Field(default=0.9, gt=0, lt=1)
    bands: int | None = Field(default=None, ge=1, le=MAX_VALUES)
    rows: int | None = Field(default=None, ge=1, le=64)

    @model_validator(mode="after")
    def _whole_banding(self) -> NearDuplicatesConfig:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both 'bands' and 'rows', or neither")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > MAX_VALUES:
            raise ValueError(f"bands x rows is {self.bands * self.rows:,}, but at most {MAX_VALUES:,} values are drawn")
        return self

    @property
    def banding(self) -> Banding:
        """The bands and rows that were given, or those that follow from threshold, recall and values."""
        if self.bands is not None and self.rows is not None:
            return Banding(bands=self.bands, rows=self.rows, values=max(self.values, self.bands * self.rows))
        return choose_banding(self.threshold, self.values, self.recall)

    def fingerprint_params(self) -> dict[str, Any]:
        """What decides the bytes of fingerprints (the threshold does so only through the banding)."""
        return {"ngram": self.ngram, **self.banding.as_params()}


class DeduplicateConfig(Config):
    """Which duplicates are removed; `near: null` leaves near-duplicates in.

    `against` names finished builds of the same settings: documents that they hold already are removed here.
    """

    exact: bool = True
    near: NearDuplicatesConfig | None = NearDuplicatesConfig()
    against: tuple[str, ...] = ()
    memory_mb: int = Field(default=512, ge=64, le=1 << 20)
