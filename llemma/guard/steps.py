"""The guard's settings as people write them: a stage's `guard:`."""

from __future__ import annotations

import pydantic

from llemma.core.config import Config
from llemma.guard.ladder import LadderPolicy


class GuardPolicy(Config):
    """llemma.guard.ladder.LadderPolicy with bounds; its docstring says what each setting means."""

    skip_spikes: bool = LadderPolicy.skip_spikes
    window: int = pydantic.Field(default=LadderPolicy.window, ge=8)
    min_values: int = pydantic.Field(default=LadderPolicy.min_values, ge=8)
    loss_deviations: float = pydantic.Field(default=LadderPolicy.loss_deviations, gt=0)
    loss_floor: float = pydantic.Field(default=LadderPolicy.loss_floor, ge=0)
    grad_norm_deviations: float = pydantic.Field(default=LadderPolicy.grad_norm_deviations, gt=0)
    grad_norm_floor: float = pydantic.Field(default=LadderPolicy.grad_norm_floor, ge=0)
    max_skips_in_a_row: int = pydantic.Field(default=LadderPolicy.max_skips_in_a_row, ge=1)
    rollback_checkpoints: int = pydantic.Field(default=LadderPolicy.rollback_checkpoints, ge=1)
    max_rollbacks: int = pydantic.Field(default=LadderPolicy.max_rollbacks, ge=0)

    def ladder_policy(self) -> LadderPolicy:
        """The same without pydantic."""
        return LadderPolicy(**self.model_dump())
