"""Makes GPT-NeoX's learning rate the one of llemma.schedules.

NeoX's cosine has no clamp: past `lr_decay_iters` the rate climbs back (megatron/learning_rates.py:72 at ea7aefd8), and
there is no warm-up-stable-decay. `AnnealingLR.get_lr` is replaced by a function of the same state: the scheduler's own
numbers, which a checkpoint may have brought, and for warm-up-stable-decay the schedule of stage.json.
"""

from __future__ import annotations

from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text
from llemma.schedules import Schedule, learning_rate

NAME = "schedule"
_MENDED = {
    "megatron/learning_rates.py": (
        "class AnnealingLR(object):",
        "def get_lr(self):",
        "self.num_iters <= self.warmup_iter",
        "return max(lr, self.min_lr)",
    ),
}


def apply(context: EngineContext) -> None:
    """Replaces AnnealingLR.get_lr. Imports the module of NeoX that holds it."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron.learning_rates import AnnealingLR

    planned = context.stage.get("schedule")
    AnnealingLR.get_lr = rate_function(Schedule(**planned) if planned else None)


def rate_function(planned: Schedule | None) -> Any:
    """A get_lr for NeoX's AnnealingLR: of the planned schedule, or of the scheduler's own numbers."""

    def get_lr(self: Any) -> float:
        schedule = planned or Schedule(
            peak_lr=self.start_lr,
            min_lr=self.min_lr,
            warmup_iters=self.warmup_iter,
            decay_iters=self.end_iter,
            style=self.decay_style,
        )
        return learning_rate(schedule, self.num_iters)

    return get_lr
