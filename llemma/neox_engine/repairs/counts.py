"""True counts of skipped and of NaN iterations in GPT-NeoX's log.

GPT-NeoX counts a skipped step for fp16 alone (megatron/training.py:1380 at ea7aefd8), and looks for NaN only in a step
that it counted as skipped (megatron/logging.py:265): in bf16 DeepSpeed leaves a step out and the log says "skipped 0,
nan 0". Where all steps since the last line were skipped, it says that their loss was 0 (megatron/logging.py:548).
Now a step is skipped if the engine says so, every loss is looked at, and a loss that nobody has summed is not told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "counts"
_MENDED = {
    "megatron/training.py": (
        'if neox_args.precision == "fp16" and model.optimizer.overflow:',
        "return reduce_metrics, skipped_iter",
        "loss_dict, skipped_iter = train_step(",
        "report_memory_flag = training_log(",
    ),
    "megatron/logging.py": (
        'got_nan_key = "got nan"',
        "total_loss_dict.get(got_nan_key, 0) + int(got_nan)",
        "if not skipped_iter:",
        "total_loss_dict[key] = 0.0",
    ),
}


def apply(context: EngineContext) -> None:
    """Wraps the step and the log where the training loop looks them up."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training

    training.train_step = counted_step(training.train_step)
    training.training_log = counted_log(training.training_log)


def counted_step(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """A train_step that says whether DeepSpeed's engine left the step out."""

    def train_step(*args: Any, **kwargs: Any) -> Any:
        engine = kwargs["model"]
        before = engine.skipped_steps
        metrics, _ = upstream(*args, **kwargs)
        return metrics, int(engine.skipped_steps > before)

    return train_step


def counted_log(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """A training_log that counts a loss which is not finite though its step was not skipped, and tells no loss of 0."""

    def training_log(*args: Any, **kwargs: Any) -> Any:
        import torch

        totals = kwargs["total_loss_dict"]
        if kwargs["skipped_iter"]:  # upstream looks for NaN itself
            for name in kwargs["loss_dict"]:
                if isinstance(totals.get(name), float) and totals[name] == 0:  # a sum of losses is a tensor
                    del totals[name]
        else:
            losses = [torch.as_tensor(value).float().sum() for value in kwargs["loss_dict"].values()]
            if losses and not bool(torch.isfinite(torch.stack(losses)).all()):
                totals["got nan"] = totals.get("got nan", 0) + 1
        return upstream(*args, **kwargs)

    return training_log
