"""Learning-rate schedules as GPT-NeoX runs them, as plain functions of the number of finished iterations.

Source: GPT-NeoX `megatron/learning_rates.py` and `megatron/training.py` at ea7aefd8, from which we depart twice:
the rate stays at its floor past the end of the decay (NeoX's cosine climbs again: at twice `lr_decay_iters` it is
back at its peak), and a warm-up shorter than one iteration never lifts the rate over its peak. NeoX has no
warm-up–stable–decay; ours is MiniCPM's (arXiv 2404.06395).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

DecayStyle = Literal["constant", "linear", "cosine", "exponential"]  # those that NeoX knows
Style = Literal[DecayStyle, "warmup-stable-decay"]
_HALVING = 0.693  # NeoX's own rounding of ln 2: its exponential decay halves the rate once over the run


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A warm-up to `peak_lr`, then a decay that ends at iteration `decay_iters` and never falls below `min_lr`.

    `warmup_iters` may be a fraction of an iteration, for NeoX multiplies a share by `decay_iters` without rounding.
    "warmup-stable-decay" stays at the peak until `stable_end_iters` (left out: the end of the warm-up) and then halves
    every `half_life_iters`; the other styles take neither.
    """

    peak_lr: float
    min_lr: float = 0.0
    warmup_iters: float = 0.0
    decay_iters: int
    style: Style = "cosine"
    stable_end_iters: int | None = None
    half_life_iters: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak_lr) and self.peak_lr > 0):
            raise ValueError(f"the peak learning rate is {self.peak_lr}, but must be above 0")
        if not 0 <= self.min_lr <= self.peak_lr:
            raise ValueError(f"min_lr is {self.min_lr}, but must lie between 0 and the peak rate ({self.peak_lr})")
        if self.decay_iters < 1:
            raise ValueError(f"the decay lasts {self.decay_iters} iterations, but must last at least 1")
        if not 0 <= self.warmup_iters <= self.decay_iters:
            raise ValueError(
                f"the warm-up lasts {self.warmup_iters} iterations, but must lie between 0 and the end of the decay "
                f"({self.decay_iters})"
            )
        if self.style not in get_args(Style):
            raise ValueError(f"the decay style is {self.style!r}, but must be one of {', '.join(get_args(Style))}")
        self._check_stable_part()

    def _check_stable_part(self) -> None:
        if self.style != "warmup-stable-decay":
            if self.stable_end_iters is not None or self.half_life_iters is not None:
                raise ValueError(f"stable_end_iters and half_life_iters are warmup-stable-decay's, not {self.style}'s")
            return
        if self.half_life_iters is None or not self.half_life_iters > 0:
            raise ValueError(f"the half-life is {self.half_life_iters} iterations, but must be above 0")
        if not self.warmup_iters <= self.stable_end <= self.decay_iters:
            raise ValueError(
                f"the stable part ends at iteration {self.stable_end:g}, but must end between the warm-up's end "
                f"({self.warmup_iters:g}) and the schedule's ({self.decay_iters})"
            )

    @property
    def stable_end(self) -> float:
        """The iteration at which warmup-stable-decay begins to decay."""
        return self.warmup_iters if self.stable_end_iters is None else self.stable_end_iters


def learning_rate(schedule: Schedule, finished_iters: int) -> float:
    """The rate after `finished_iters` iterations: the one that the next iteration is run with.

    So the first iteration runs at `learning_rate(schedule, 0)`, as in NeoX, whose scheduler steps after the optimizer.
    """
    if finished_iters < 0:
        raise ValueError(f"finished_iters is {finished_iters}, but must not be negative")
    warmup = schedule.warmup_iters
    if warmup > 0 and finished_iters <= warmup:
        return schedule.peak_lr * min(1.0, max(1, finished_iters) / warmup)
    return max(_decayed(schedule, min(finished_iters, schedule.decay_iters)), schedule.min_lr)


def _decayed(schedule: Schedule, finished: int) -> float:
    """The rate after the warm-up, before the floor is put under it; `finished` is at most `decay_iters`."""
    decay = schedule.decay_iters - schedule.warmup_iters
    progress = (finished - schedule.warmup_iters) / decay if decay else 1.0
    match schedule.style:
        case "constant":
            return schedule.peak_lr
        case "linear":  # towards 0, not towards the floor: NeoX cuts it off there
            return schedule.peak_lr * (1 - progress)
        case "exponential":
            return schedule.peak_lr * math.exp(-_HALVING * progress)
        case "cosine":
            return schedule.min_lr + (schedule.peak_lr - schedule.min_lr) / 2 * (math.cos(math.pi * progress) + 1)
        case "warmup-stable-decay":
            assert schedule.half_life_iters is not None  # checked when it was made
            num_halvings = max(0.0, finished - schedule.stable_end) / schedule.half_life_iters
            return schedule.peak_lr * math.exp2(-num_halvings)
