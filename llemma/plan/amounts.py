"""Amounts as a person reads them: counts in powers of ten, bytes in powers of two."""

from __future__ import annotations

from llemma.plan.estimate import GIB


def short(count: float) -> str:
    """A count in at most four digits and a letter: 6.74 B."""
    for limit, letter in ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= limit:
            return f"{count / limit:.{_decimals(count / limit)}f} {letter}"
    return f"{count:.0f}"


def size(count: float) -> str:
    """Bytes in binary units: 12.6 GiB."""
    for limit, letter in ((GIB * 1024, "TiB"), (GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= limit:
            return f"{count / limit:.{_decimals(count / limit)}f} {letter}"
    return f"{count:.0f} B"


def _decimals(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def plural(count: int, noun: str) -> str:
    """A count with its noun: 1 batch, 25 batches."""
    ending = "" if count == 1 else "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{ending}"
