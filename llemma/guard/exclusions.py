"""Samples that a run leaves out, and the numbers that are drawn in their place.

    STATE/excluded.json     {"schema": 1, "samples": [[first, end], …]}: half-open ranges of sample numbers

A run's p-th position draws the p-th sample number that is not excluded: those behind an excluded range move up, and
nothing before it moves. With `total`, the number of samples that there are, a run that has drawn them all begins anew:
the numbers from `total` on stand for the same samples in its next pass, and those excluded are out of every pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from llemma.core.errors import DamagedFileError
from llemma.core.files import read_json, write_json

EXCLUSIONS_NAME = "excluded.json"
Range = tuple[int, int]


class Exclusions:
    """Sorted, disjoint, half-open ranges of sample numbers."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        merged: list[list[int]] = []
        for first, end in sorted(ranges):
            if not 0 <= first < end:
                raise ValueError(f"[{first}, {end}) is no range of sample numbers")
            if merged and first <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([first, end])
        self.ranges: tuple[Range, ...] = tuple((first, end) for first, end in merged)

    def __len__(self) -> int:
        return sum(end - first for first, end in self.ranges)

    def number_at(self, position: int, total: int | None = None) -> int:
        """The sample number that a position draws."""
        past = 0
        if total is not None:
            num_passes, position = divmod(position, self.position_of(total))
            past = num_passes * total
        number = position
        for first, end in self.ranges:
            if number < first:
                break
            number += end - first
        return past + number

    def position_of(self, number: int, total: int | None = None) -> int:
        """The position that draws a sample number; of an excluded one, the position that draws the next after it."""
        if total is not None:
            num_passes, number = divmod(number, total)
            return num_passes * self.position_of(total) + self.position_of(number)
        return number - sum(min(end, number) - first for first, end in self.ranges if first < number)

    def numbers(self, position: int, count: int, total: int | None = None) -> Iterator[int]:
        """The samples of `count` positions from one on, each below `total`."""
        found = (self.number_at(position + offset, total) for offset in range(count))
        return found if total is None else (number % total for number in found)

    def ranges_at(self, position: int, count: int, total: int | None = None) -> tuple[Range, ...]:
        """The samples of `count` positions from one on, as ranges."""
        return Exclusions((number, number + 1) for number in self.numbers(position, count, total)).ranges

    def with_ranges(self, ranges: Iterable[Range]) -> Exclusions:
        """These and more."""
        return Exclusions([*self.ranges, *ranges])

    @classmethod
    def read(cls, folder: Path) -> Exclusions:
        """Those of a stage's folder, none where there is no file. Raises DamagedFileError where it cannot be read."""
        path = folder / EXCLUSIONS_NAME
        if not path.is_file():
            return cls()
        value = read_json(path)
        try:
            if value["schema"] != 1:
                raise ValueError(f"schema {value['schema']}")
            return cls((_whole(first), _whole(end)) for first, end in value["samples"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(f"{path}: these are no ranges of sample numbers ({error})") from None

    def write(self, folder: Path) -> None:
        """Writes excluded.json whole or not at all."""
        write_json(folder / EXCLUSIONS_NAME, {"schema": 1, "samples": [list(item) for item in self.ranges]})


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no sample number")
    return value
