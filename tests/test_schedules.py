"""Learning rates against formulas written another way, and against GPT-NeoX's own class where a checkout is at hand."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any

import pytest
from neox_annealing import neox_annealing

from llemma.schedules import Schedule, learning_rate

LLEMMA_7B = Schedule(peak_lr=1e-4, min_lr=1e-4 / 30, warmup_iters=500, decay_iters=48_000, style="cosine")


def test_warm_up_first_and_second_iteration_run_at_the_same_rate() -> None:
    """NeoX's scheduler steps after the optimizer and counts max(1, finished)."""
    assert learning_rate(LLEMMA_7B, 0) == learning_rate(LLEMMA_7B, 1) == pytest.approx(1e-4 / 500)


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    rates = [learning_rate(LLEMMA_7B, finished) for finished in range(1, 501)]
    assert rates == pytest.approx([1e-4 * k / 500 for k in range(1, 501)])


def test_cosine_equals_the_half_angle_formula() -> None:
    for finished in range(501, 48_001, 1_000):
        share = (finished - 500) / 47_500
        wanted = 1e-4 / 30 + (1e-4 - 1e-4 / 30) * math.cos(math.pi * share / 2) ** 2
        assert learning_rate(LLEMMA_7B, finished) == pytest.approx(wanted, rel=1e-12)


def test_llemma_7b_where_it_stopped_has_the_published_schedules_rate() -> None:
    """By hand from arXiv 2310.10631: peak 1e-4, a thirtieth of it at 48,000, stopped at 42,000."""
    assert learning_rate(LLEMMA_7B, 42_000) == pytest.approx(7.09e-6, rel=1e-3)
    assert learning_rate(LLEMMA_7B, 48_000) == pytest.approx(1e-4 / 30, rel=1e-12)


@pytest.mark.parametrize("style", ["constant", "linear", "cosine", "exponential"])
def test_rate_past_the_end_of_the_decay_stays_where_it_ended(style: str) -> None:
    """NeoX's cosine is back at its peak at twice the length of the decay."""
    schedule = Schedule(peak_lr=1e-4, min_lr=1e-6, warmup_iters=10, decay_iters=100, style=style)  # type: ignore[arg-type]
    at_the_end = learning_rate(schedule, 100)
    assert {learning_rate(schedule, finished) for finished in (100, 101, 150, 200, 10**9)} == {at_the_end}


def test_linear_decay_is_cut_off_at_the_floor() -> None:
    schedule = Schedule(peak_lr=1.0, min_lr=0.25, decay_iters=100, style="linear")
    assert [learning_rate(schedule, n) for n in (0, 50, 75, 90, 100)] == pytest.approx([1.0, 0.5, 0.25, 0.25, 0.25])


def test_exponential_decay_halves_the_rate_once() -> None:
    schedule = Schedule(peak_lr=1.0, decay_iters=100, style="exponential")
    assert learning_rate(schedule, 100) == pytest.approx(0.5, rel=1e-3)


def test_warm_up_shorter_than_one_iteration_never_passes_the_peak() -> None:
    """NeoX divides by the fraction: a warm-up of half an iteration would begin at twice the peak."""
    schedule = Schedule(peak_lr=1e-3, warmup_iters=0.5, decay_iters=50)
    assert max(learning_rate(schedule, finished) for finished in range(60)) <= 1e-3


def test_warm_up_over_the_whole_decay_ends_at_the_floor() -> None:
    schedule = Schedule(peak_lr=1.0, min_lr=0.1, warmup_iters=10, decay_iters=10)
    assert [learning_rate(schedule, n) for n in (5, 10, 11)] == pytest.approx([0.5, 1.0, 0.1])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"peak_lr": 0.0}, "peak learning rate is 0.0"),
        ({"peak_lr": math.nan}, "peak learning rate is nan"),
        ({"min_lr": 2e-3}, "min_lr is 0.002"),
        ({"decay_iters": 0}, "the decay lasts 0"),
        ({"warmup_iters": 101}, "the warm-up lasts 101"),
        ({"style": "cosin"}, "the decay style is 'cosin'"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Schedule(**({"peak_lr": 1e-3, "decay_iters": 100} | changes))


@pytest.mark.parametrize("style", ["constant", "linear", "cosine", "exponential"])
def test_rates_within_the_decay_are_those_of_neox(style: str) -> None:
    annealing = neox_annealing()
    schedule = Schedule(peak_lr=3e-4, min_lr=1e-5, warmup_iters=2.5, decay_iters=250, style=style)  # type: ignore[arg-type]
    optimizer = types.SimpleNamespace(param_groups=[{"lr": 0.0}])
    theirs = annealing(optimizer, 3e-4, 2.5, 250, style, 0, min_lr=1e-5)
    for finished in range(251):
        assert learning_rate(schedule, finished) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-13)
        theirs.step()


MINICPM = Schedule(
    peak_lr=0.01, min_lr=1e-6, warmup_iters=100, decay_iters=2_000, stable_end_iters=1_800, half_life_iters=50,
    style="warmup-stable-decay",
)  # fmt: skip


def test_warmup_stable_decay_has_three_parts_of_minicpm() -> None:
    """arXiv 2404.06395: s/W · peak, then the peak, then peak · 0.5 ** ((s - stable_end) / half_life)."""
    assert [learning_rate(MINICPM, n) for n in (1, 50, 100, 101, 1_800)] == pytest.approx(
        [1e-4, 5e-3, 0.01, 0.01, 0.01]
    )
    assert [learning_rate(MINICPM, n) for n in (1_825, 1_850, 1_900, 2_000)] == pytest.approx(
        [0.01 / math.sqrt(2), 0.005, 0.0025, 0.000625]
    )


def test_warmup_stable_decay_stays_above_its_floor_and_stands_still_past_its_end() -> None:
    floored = dataclasses.replace(MINICPM, min_lr=0.002)
    assert learning_rate(floored, 1_950) == 0.002
    assert learning_rate(MINICPM, 10**7) == learning_rate(MINICPM, 2_000)


def test_decay_branch_begins_to_fall_at_once() -> None:
    branch = Schedule(peak_lr=0.01, decay_iters=200, half_life_iters=100, style="warmup-stable-decay")
    assert [learning_rate(branch, n) for n in (0, 100, 200)] == pytest.approx([0.01, 0.005, 0.0025])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"half_life_iters": None}, "half-life is None"),
        ({"half_life_iters": 0.0}, "must be above 0"),
        ({"stable_end_iters": 99}, "must end between"),
        ({"stable_end_iters": 2_001}, "must end between"),
        ({"style": "cosine"}, "are warmup-stable-decay's"),
    ],
)
def test_warmup_stable_decay_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(MINICPM, **changes)
