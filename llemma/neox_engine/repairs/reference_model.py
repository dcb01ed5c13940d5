"""DPO and KTO compare with the model that the stage began with, also when the stage goes on.

GPT-NeoX loads the reference model from `load` (megatron/training.py:1243 at ea7aefd8), which on a resume is the stage's
own checkpoint: the optimizer's states in it do not fit the reference's, and without them the model would be compared
with itself as it was when the run was interrupted. Here the reference always gets the weights of the stage's start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "reference-model"
_MENDED = {
    "megatron/training.py": (
        "        neox_args.iteration = load_checkpoint(",
        "            _ = load_checkpoint(\n",
        "                model=reference_model,\n                optimizer=ref_optimizer,\n",
    ),
    "megatron/checkpointing.py": ("        if neox_args.finetune:\n            load_optim_and_scheduler = False",),
}


def apply(context: EngineContext) -> None:
    """Wraps the loading of a checkpoint, for a stage of DPO or KTO that starts from one."""
    if context.values.get("train_impl") not in ("dpo", "kto") or context.start is None:
        return
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training

    training.load_checkpoint = from_the_start(training.load_checkpoint, context)


def from_the_start(upstream: Callable[..., int], context: EngineContext) -> Callable[..., int]:
    """A load_checkpoint that knows the trained model, the first to come, from the other one."""
    trained: list[Any] = []

    def load_checkpoint(*, neox_args: Any, model: Any, iteration: int | None = None, **kwargs: Any) -> int:
        if not trained:
            trained.append(model)
        if model is trained[0]:
            return upstream(neox_args=neox_args, model=model, iteration=iteration, **kwargs)
        before = neox_args.load, neox_args.finetune
        neox_args.load, neox_args.finetune = context.start, True
        try:
            return upstream(neox_args=neox_args, model=model, iteration=context.start_iteration, **kwargs)
        finally:
            neox_args.load, neox_args.finetune = before

    return load_checkpoint
