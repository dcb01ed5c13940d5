"""Numbers as the report writes them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from llemma.core.pages.numbers import (
    format_bytes,
    format_count,
    format_flops,
    format_seconds,
    format_small,
    ticks,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (9999, "9,999"), (12_345, "12.3 k"), (4_194_304, "4.19 M"), (55_300_000_000, "55.3 B"),
     (2e13, "20 T"), (0.25, "0.25"), (2_000_000, "2 M")],
)  # fmt: skip
def test_counts_are_short_and_keep_three_digits(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.2, "4.2 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (270_000, "3.1 days"),
        (59.97, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
    ],
)
def test_times_are_in_units_that_people_read(value: float, text: str) -> None:
    assert format_seconds(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_of_a_run_that_diverged_are_shown_as_they_are(value: float) -> None:
    """An infinite learning rate in metrics.jsonl ended `llemma report` with a traceback."""
    for show in (format_bytes, format_count, format_flops, format_seconds, format_small):
        assert show(value).split()[0] == str(value)


def test_small_numbers_have_a_power_of_ten() -> None:
    assert [format_small(value) for value in (0, 1e-4, 3.3e-6, 0.05)] == ["0", "10⁻⁴", "3.3 × 10⁻⁶", "0.05"]
    assert format_bytes(3 << 29) == "1.5 GiB"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (2.93, 8.4), (-3, 17), (1, 48_000), (0, 3e-4), (5, 5)])
def test_ticks_are_round_inside_the_range_and_few(low: float, high: float) -> None:
    places = ticks(low, high, 5)
    assert 1 <= len(places) <= 8
    assert all(low - 1e-9 <= place <= high + 1e-9 for place in places)
    steps = {f"{b - a:.9g}" for a, b in pairwise(places)}
    assert len(steps) <= 1
