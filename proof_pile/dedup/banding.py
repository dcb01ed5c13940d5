"""Bands and rows of MinHash-LSH: which find pairs of which similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Banding:
    """`bands` groups of `rows` values each, out of `values` values of a sketch (all are used to estimate)."""

    bands: int
    rows: int
    values: int

    def recall(self, jaccard: float) -> float:
        """Chance that two documents of this Jaccard similarity share a band: 1 - (1 - J^rows)^bands."""
        return 1.0 - (1.0 - jaccard**self.rows) ** self.bands

    def curve(self, similarities: Sequence[float] = SHOWN) -> list[tuple[float, float]]:
        """The S-curve: (similarity, chance of being compared)."""
        return [(value, self.recall(value)) for value in similarities]

    def describe(self, threshold: float) -> str:
        """The banding and its curve around the threshold in a line, for plan and datasheet."""
        shown = sorted({round(threshold, 2), *(value for value in SHOWN if abs(value - threshold) < 0.21)})
        found = ", ".join(f"{value:g}: {self.recall(value):.2%}" for value in shown)
        return f"{self.bands} bands of {self.rows} out of {self.values} values; pairs found by similarity: {found}"

    def as_params(self) -> dict[str, int]:
        """The numbers, as parameters of a step."""
        return {"bands": self.bands, "rows": self.rows, "values": self.values}


def choose_banding(threshold: float, values: int, recall: float) -> Banding:
    """The most rows whose bands find a pair just at the threshold with a chance of at least `recall`.

    More rows mean fewer pairs to compare below the threshold.  One row is the last resort, whatever it finds.
    """
    for rows in range(min(values, 64), 1, -1):
        banding = Banding(bands=values // rows, rows=rows, values=values)
        if banding.recall(threshold) >= recall:
            return banding
    return Banding(bands=values, rows=1, values=values)
