"""The judge of steps: wild values are left out, and do not spoil the statistics they are judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llemma.core.errors import DamagedFileError
from llemma.guard.ladder import Ladder
from llemma.guard.statistics import RobustWindow
from llemma.guard.steps import GuardPolicy

POLICY = GuardPolicy(window=64, min_values=16, max_skips_in_a_row=3)


def guard_without_return(policy: GuardPolicy) -> Ladder:
    return Ladder(policy.ladder_policy(), can_roll_back=False)


def healthy(guard: Ladder, count: int, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for step in range(count):
        verdict = guard.judge(3.0 - step / 1000 + 0.05 * random.standard_normal(), 1.0 + 0.2 * random.random())
        assert verdict.action == "take", verdict.reason


def test_window_equals_numpy_over_the_last_finite_values() -> None:
    values = [*np.random.default_rng(1).normal(5, 2, 300), math.nan, math.inf, -math.inf]
    window = RobustWindow(100, values)
    last = np.array(values[200:300])
    assert len(window) == 100
    assert window.median() == pytest.approx(np.median(last))
    assert window.sigma() == pytest.approx(1.4826 * np.median(np.abs(last - np.median(last))))


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_non_finite_loss_is_left_out_from_the_first_step_on(wild: float) -> None:
    verdict = guard_without_return(POLICY).judge(wild, 1.0)
    assert verdict.action == "skip"
    assert "the loss is" in verdict.reason


def test_non_finite_gradient_is_left_out_though_the_loss_is_healthy() -> None:
    verdict = guard_without_return(POLICY).judge(3.0, math.inf)
    assert (verdict.action, verdict.reason) == ("skip", "the gradient norm is inf")


def test_one_nan_does_not_poison_the_statistics() -> None:
    """OLMo-core's skip-step optimizer left out 129 steps after a single NaN: mean and deviation over all values."""
    guard = guard_without_return(POLICY)
    healthy(guard, 50)
    assert guard.judge(math.nan, math.nan).action == "skip"
    healthy(guard, 50, seed=1)
    assert guard.num_skipped == 1
    window, left_out = [3.0 + step % 5 / 100 for step in range(64)], 0
    for loss in [math.nan] + [3.0] * 50:
        left_out += not loss <= np.mean(window) + 6 * np.std(window)
        window = [*window[1:], loss]
    assert left_out == 51


@pytest.mark.parametrize(("loss", "norm", "named"), [(9.0, 1.0, "loss"), (3.0, 100.0, "gradient norm")])
def test_spike_is_left_out_with_its_bound(loss: float, norm: float, named: str) -> None:
    guard = guard_without_return(POLICY)
    healthy(guard, 50)
    verdict = guard.judge(loss, norm)
    assert verdict.action == "skip"
    assert verdict.reason.startswith(f"the {named} is ")
    assert "bound" in verdict.reason


def test_spike_before_there_are_statistics_is_taken() -> None:
    guard = guard_without_return(POLICY)
    healthy(guard, 15)
    assert guard.judge(50.0, 500.0).action == "take"


def test_flat_series_does_not_make_a_ripple_a_spike() -> None:
    guard = guard_without_return(POLICY)
    for _ in range(64):
        guard.judge(2.0, 1.0)
    assert guard.judge(2.3, 2.0).action == "take"


def test_spikes_can_be_let_through() -> None:
    guard = guard_without_return(POLICY.model_copy(update={"skip_spikes": False}))
    healthy(guard, 50)
    assert guard.judge(9.0, 100.0).action == "take"
    assert guard.judge(math.nan, 1.0).action == "skip"


def test_too_many_skips_in_a_row_stop_the_run() -> None:
    guard = guard_without_return(POLICY)
    assert [guard.judge(math.nan, 1.0).action for _ in range(3)] == ["skip", "skip", "stop"]


def test_healthy_step_between_skips_starts_the_count_anew() -> None:
    guard = guard_without_return(POLICY)
    actions = [guard.judge(loss, 1.0).action for loss in (math.nan, math.nan, 3.0, math.nan, math.nan)]
    assert actions == ["skip", "skip", "take", "skip", "skip"]


def test_restored_guard_judges_as_the_unbroken_one() -> None:
    unbroken, resumed = guard_without_return(POLICY), guard_without_return(POLICY)
    healthy(unbroken, 40)
    unbroken.judge(math.nan, 1.0)
    resumed.restore(unbroken.state())
    for loss, norm in ((9.0, 1.0), (3.0, 1.1), (3.0, 100.0)):
        assert resumed.judge(loss, norm) == unbroken.judge(loss, norm)
    assert resumed.state() == unbroken.state()


@pytest.mark.parametrize("state", [None, {}, {"num_skipped": 1}, {"num_skipped": "x", "in_a_row": 0}])
def test_state_that_cannot_be_read_is_damage(state: object) -> None:
    with pytest.raises(DamagedFileError):
        guard_without_return(POLICY).restore(state)
