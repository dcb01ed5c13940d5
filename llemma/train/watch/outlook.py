"""How long a stage, and the stages after it, will still take: from what steps, validations and samples took so far."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

from llemma.plan.estimate import flops_per_token
from llemma.train.settings import Settings

_REMEMBERED_STEPS = 32  # their median is the time of a step: a hitch does not count. Chosen by us


class Outlook:
    """Times of one stage, and what they mean for the work that is left. All times in seconds."""

    def __init__(self, settings: Settings, ahead: Sequence[Settings], sample_every: int) -> None:
        """`ahead` are the stages that will follow; sample_every 0 means no samples."""
        self._settings, self._sample_every = settings, sample_every
        self._step_flops = settings.tokens_per_iteration * flops_per_token(settings.config).square
        self._flops_ahead = sum(_stage_flops(stage) for stage in ahead)
        self._steps: deque[float] = deque(maxlen=_REMEMBERED_STEPS)
        self._validation_s = 0.0
        self._sample_s = 0.0

    def step_took(self, seconds: float) -> None:
        """Notes the time of a step."""
        self._steps.append(seconds)

    def validation_took(self, seconds: float) -> None:
        """Notes the time of a validation."""
        self._validation_s = seconds

    def samples_took(self, seconds: float) -> None:
        """Notes the time of one round of samples."""
        self._sample_s = seconds

    @property
    def step_s(self) -> float | None:
        """The time of a step, None before the first."""
        return statistics.median(self._steps) if self._steps else None

    def stage_left_s(self, iteration: int) -> float | None:
        """Seconds until the stage's last iteration is done; None before the first step."""
        if self.step_s is None:
            return None
        last = self._settings.last_iteration
        seconds = self.step_s * (last - iteration)
        if self._settings.num_validation_samples:
            seconds += self._validation_s * _times(self._settings.config.eval_interval, iteration, last)
        if self._sample_every:
            seconds += self._sample_s * _times(self._sample_every, iteration, last)
        return seconds

    def all_left_s(self, iteration: int) -> float | None:
        """The same for this stage and those ahead, whose steps are taken to be as fast by the FLOP."""
        left = self.stage_left_s(iteration)
        if left is None or self.step_s is None:
            return None
        return left + self._flops_ahead / self._step_flops * self.step_s


def _times(interval: int, after: int, last: int) -> int:
    """How many of the iterations behind `after` up to `last` are multiples of an interval, or the last."""
    if after >= last:
        return 0
    return last // interval - after // interval + (1 if last % interval else 0)


def _stage_flops(settings: Settings) -> float:
    """All FLOPs of a stage; a validation goes only forward, which is a third."""
    config = settings.config
    num_validations = (
        _times(config.eval_interval, -1, settings.last_iteration) if settings.num_validation_samples else 0
    )
    validated = num_validations * settings.num_validation_samples * config.seq_length
    trained = settings.last_iteration * settings.tokens_per_iteration
    return (trained + validated / 3) * flops_per_token(config).square
