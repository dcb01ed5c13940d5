"""Excluded samples: what is drawn in their place, and their file."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from llemma.core.errors import DamagedFileError
from llemma.guard.exclusions import Exclusions


def test_numbers_equal_a_slow_reference() -> None:
    generator = random.Random(5)
    for _ in range(50):
        starts = [generator.randrange(300) for _ in range(generator.randrange(6))]
        ranges = [(first, first + generator.randrange(1, 30)) for first in starts]
        excluded = {number for first, end in ranges for number in range(first, end)}
        exclusions = Exclusions(ranges)
        assert len(exclusions) == len(excluded)
        kept = [number for number in range(1000) if number not in excluded]
        assert list(exclusions.numbers(0, 500)) == kept[:500]
        assert [number for first, end in exclusions.ranges_at(100, 50) for number in range(first, end)] == kept[100:150]


def test_numbers_of_several_passes_equal_a_slow_reference() -> None:
    """Past its end a data set begins anew, and what is excluded is out of every pass."""
    generator = random.Random(6)
    for _ in range(30):
        starts = [generator.randrange(40) for _ in range(generator.randrange(4))]
        exclusions = Exclusions((first, first + generator.randrange(1, 8)) for first in starts)
        excluded = {number for first, end in exclusions.ranges for number in range(first, end)}
        kept = [number for number in range(200) if number % 50 not in excluded]  # 50 samples, four passes
        assert [exclusions.number_at(position, 50) for position in range(len(kept))] == kept
        assert list(exclusions.numbers(0, len(kept), 50)) == [number % 50 for number in kept]
        places = [exclusions.position_of(number, 50) for number in range(200)]
        assert places == [sum(other < number for other in kept) for number in range(200)]


def test_exclusion_moves_nothing_before_it() -> None:
    before = Exclusions([(10, 12)])
    after = before.with_ranges([(20, 25)])
    assert [after.number_at(position) for position in range(18)] == [before.number_at(at) for at in range(18)]
    assert (before.number_at(18), after.number_at(18)) == (20, 25)


def test_exclusions_read_back_are_the_same(tmp_path: Path) -> None:
    assert len(Exclusions.read(tmp_path)) == 0
    Exclusions([(7, 9), (3, 5), (8, 12)]).write(tmp_path)
    assert Exclusions.read(tmp_path).ranges == ((3, 5), (7, 12))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"schema": 2, "samples": []},
        {"schema": 1},
        *({"schema": 1, "samples": [[4, end]]} for end in (4, "x", 6.5)),
    ],
)
def test_file_that_holds_no_ranges_is_damage(tmp_path: Path, value: object) -> None:
    (tmp_path / "excluded.json").write_text(json.dumps(value))
    with pytest.raises(DamagedFileError, match="no ranges of sample numbers"):
        Exclusions.read(tmp_path)
