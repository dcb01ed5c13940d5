"""The repair of GPT-NeoX's learning rate: the fault without it, and its absence with it."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Any

import pytest
from neox_annealing import neox_annealing

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import RepairRefusedError
from llemma.neox_engine.repairs.schedule import apply, rate_function
from llemma.schedules import Schedule, learning_rate

PLANNED = Schedule(
    peak_lr=0.01, warmup_iters=10, decay_iters=200, stable_end_iters=150, half_life_iters=25,
    style="warmup-stable-decay",
)  # fmt: skip


def rates(annealing: Any, upto: int, style: str = "cosine") -> list[float]:
    optimizer = types.SimpleNamespace(param_groups=[{"lr": 0.0}])
    scheduler = annealing(optimizer, 1e-4, 10, 100, style, 0, min_lr=1e-6)
    found = []
    for _ in range(upto + 1):
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return found


def test_neox_cosine_climbs_back_past_its_end_and_with_the_repair_stays() -> None:
    """At ea7aefd8 a run of twice lr_decay_iters ends at nearly its peak rate again."""
    annealing = neox_annealing()
    assert rates(annealing, 190)[190] > 90 * rates(annealing, 190)[100]
    mended = type("Mended", (annealing,), {"get_lr": rate_function(None)})
    assert rates(mended, 100) == pytest.approx(rates(annealing, 100), rel=1e-13)
    assert set(rates(mended, 190)[100:]) == {1e-6}


def test_neox_scheduler_with_the_repair_follows_the_planned_warmup_stable_decay() -> None:
    mended = type("Mended", (neox_annealing(),), {"get_lr": rate_function(PLANNED)})
    assert rates(mended, 200, "constant") == [learning_rate(PLANNED, finished) for finished in range(201)]


def test_rate_function_takes_the_schedulers_own_numbers() -> None:
    """A stand-in of the same attributes, so that this is checked where there is no checkout."""
    state = types.SimpleNamespace(
        start_lr=1e-4, min_lr=1e-6, warmup_iter=10.0, end_iter=100, decay_style="cosine", num_iters=190
    )
    assert rate_function(None)(state) == 1e-6
    planned = rate_function(Schedule(**dataclasses.asdict(PLANNED)))
    state.num_iters = 175
    assert planned(state) == pytest.approx(0.005)


def test_repair_of_a_checkout_that_has_changed_refuses_loudly(tmp_path: Path) -> None:
    (tmp_path / "megatron").mkdir()
    (tmp_path / "megatron/learning_rates.py").write_text("class AnnealingLR(object):\n    def rate(self): ...\n")
    context = EngineContext(neox_dir=tmp_path, config_path=tmp_path / "neox.yml", values={}, stage={})
    with pytest.raises(RepairRefusedError, match=r"has no 'def get_lr\(self\):'.*--without-repair schedule"):
        apply(context)
