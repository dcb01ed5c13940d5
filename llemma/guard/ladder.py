"""The judge of training steps and the ladder that its verdicts climb: skip, roll back, stop.

A step that is left out is never applied: its gradients are thrown away. (Multiplying an update by zero instead
poisons the parameters, for 0 x NaN is NaN.) Only steps that were taken enter the statistics. After
`max_skips_in_a_row` steps the run goes back `rollback_checkpoints` checkpoints and leaves the samples of those steps
out for good, at most `max_rollbacks` times; then, or where an engine cannot go back, it stops.

Plain Python: the entry inside GPT-NeoX's process runs where pydantic may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from llemma.core.errors import DamagedFileError, InputError
from llemma.guard.statistics import RobustWindow

Action = Literal["take", "skip", "roll-back", "stop"]


@dataclass(frozen=True, kw_only=True)
class LadderPolicy:
    """When a step is left out and what follows. The numbers are chosen by us: far beyond healthy noise.

    A value is a spike if it lies more than `deviations` above the window's median, counted in its robust standard
    deviation, or in `floor` x the median where that is larger (a flat series must not make every ripple a spike).
    """

    skip_spikes: bool = True
    window: int = 128
    min_values: int = 32
    loss_deviations: float = 10.0
    loss_floor: float = 0.02
    grad_norm_deviations: float = 20.0
    grad_norm_floor: float = 0.25
    max_skips_in_a_row: int = 10
    rollback_checkpoints: int = 1
    max_rollbacks: int = 3

    @classmethod
    def read(cls, values: Mapping[str, Any], place: str) -> LadderPolicy:
        """The policy of a stage.json's `guard`, which the planner has checked. Raises InputError for another key."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"{place}: 'guard' has no setting '{unknown[0]}'; there are: {', '.join(sorted(known))}")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be done with a step, and why in words (empty where it is taken)."""

    action: Action
    reason: str = ""


class Ladder:
    """Judges each step by its loss and gradient norm against the steps taken before it."""

    def __init__(self, policy: LadderPolicy, *, can_roll_back: bool) -> None:
        self.policy = policy
        self.can_roll_back = can_roll_back
        self.num_skipped = 0
        self.num_rollbacks = 0
        self.num_in_a_row = 0
        self._losses = RobustWindow(policy.window)
        self._grad_norms = RobustWindow(policy.window)

    def judge(self, loss: float, grad_norm: float) -> Verdict:
        """The verdict on a step whose gradients have been computed but not applied."""
        reason = self._objection(loss, grad_norm)
        if reason is None:
            self.num_in_a_row = 0
            self._losses.add(loss)
            self._grad_norms.add(grad_norm)
            return Verdict(action="take")
        self.num_skipped += 1
        self.num_in_a_row += 1
        if self.num_in_a_row < self.policy.max_skips_in_a_row:
            return Verdict(action="skip", reason=reason)
        reason += f"; {self.num_in_a_row} steps in a row were left out"
        if self.can_roll_back and self.num_rollbacks < self.policy.max_rollbacks:
            return Verdict(action="roll-back", reason=reason)
        if self.num_rollbacks:
            reason += " after going back " + ("once" if self.num_rollbacks == 1 else f"{self.num_rollbacks} times")
        return Verdict(action="stop", reason=reason)

    def went_back(self, state: Any, num_rollbacks: int) -> None:
        """Takes up the state of the checkpoint that the run went back to; the returns are counted on."""
        skipped = self.num_skipped
        self.restore(state)
        self.num_skipped = skipped
        self.num_rollbacks = num_rollbacks
        self.num_in_a_row = 0

    def _objection(self, loss: float, grad_norm: float) -> str | None:
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(grad_norm):
            return f"the gradient norm is {grad_norm}"
        if not self.policy.skip_spikes or len(self._losses) < self.policy.min_values:
            return None
        policy = self.policy
        return _spike("loss", loss, self._losses, policy.loss_deviations, policy.loss_floor) or _spike(
            "gradient norm", grad_norm, self._grad_norms, policy.grad_norm_deviations, policy.grad_norm_floor
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the guard, as JSON values."""
        return {
            "num_skipped": self.num_skipped,
            "in_a_row": self.num_in_a_row,
            "losses": self._losses.values(),
            "grad_norms": self._grad_norms.values(),
        }

    def restore(self, state: Any) -> None:
        """Takes up a checkpoint's state. Raises DamagedFileError if it is not one."""
        try:
            self.num_skipped = int(state["num_skipped"])
            self.num_in_a_row = int(state["in_a_row"])
            self._losses = RobustWindow(self.policy.window, (float(value) for value in state["losses"]))
            self._grad_norms = RobustWindow(self.policy.window, (float(value) for value in state["grad_norms"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(f"the checkpoint's guard state cannot be read ({error!r})") from None


def _spike(name: str, value: float, window: RobustWindow, deviations: float, floor: float) -> str | None:
    middle = window.median()
    bound = middle + deviations * max(window.sigma(), floor * abs(middle))
    if value <= bound:
        return None
    return (
        f"the {name} is {value:.4g}, but the last {len(window)} steps had a median of {middle:.4g} (bound {bound:.4g})"
    )
