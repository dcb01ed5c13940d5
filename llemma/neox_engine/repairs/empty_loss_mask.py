"""Makes a micro-batch without one unmasked position count as nothing.

GPT-NeoX divides by the sum of the loss mask (megatron/model/gpt2_model.py:77 at ea7aefd8): 0 / 0, and the whole step
is NaN. Such a micro-batch now adds a loss and gradients of 0, as in the embedded trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "empty-loss-mask"
_MENDED = {
    "megatron/model/gpt2_model.py": (
        "def cross_entropy(output, labels, _fp16=False):",
        "loss = torch.sum(losses.view(-1) * loss_mask) / loss_mask.sum()",
        "loss_fn=partial(cross_entropy,",
    ),
    "megatron/training.py": ("from megatron.model.gpt2_model import cross_entropy", "loss = cross_entropy("),
}


def apply(context: EngineContext) -> None:
    """Replaces the loss where it is defined and where it is imported by name."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training
    from megatron.model import gpt2_model

    gpt2_model.cross_entropy = training.cross_entropy = safe_loss(gpt2_model.cross_entropy)


def safe_loss(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """The upstream loss with 0 where its mask is empty; no value is brought from the device to decide it."""

    def cross_entropy(output: Any, labels: Any, _fp16: bool = False) -> Any:
        import torch

        targets, mask = labels[0], labels[1]
        is_empty = mask.sum() == 0
        # Over all positions instead of none the loss is finite, and so is its gradient before it is multiplied by 0.
        loss = upstream(output, (targets, torch.where(is_empty, torch.ones_like(mask), mask)), _fp16=_fp16)
        return loss * (~is_empty).to(loss.dtype)

    return cross_entropy
