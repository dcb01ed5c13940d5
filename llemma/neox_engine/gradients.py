"""The gradients of a step inside DeepSpeed's engine, between the last backward pass and the optimizer.

Covered: plain optimizers (fp32), fp16/bf16 without ZeRO, BF16_Optimizer (bf16, ZeRO 1, fp32 accumulation) and ZeRO 1/2,
with tensor, data and pipeline parallelism. All processes call these functions together.
"""

from __future__ import annotations

import math
from typing import Any


def gradient_norm(engine: Any) -> float:
    """The L2 norm of the whole model's gradients, before clipping and without loss scale; not finite is NaN."""
    optimizer = engine.optimizer
    if hasattr(optimizer, "scaled_global_norm"):  # ZeRO 1 and 2
        norm = float(optimizer.scaled_global_norm()) / float(optimizer.loss_scale)
    elif hasattr(optimizer, "get_grads_for_norm"):  # BF16_Optimizer
        norm = _norm_of([grad for grad in optimizer.get_grads_for_norm()[0] if grad is not None], engine)
    else:
        scale = float(getattr(optimizer, "cur_scale", 1.0))
        norm = _norm_of(_own_gradients(engine), engine) / scale
    return norm if math.isfinite(norm) and norm >= 0 else math.nan  # DeepSpeed writes -1 for what is not finite


def _own_gradients(engine: Any) -> list[Any]:
    """Gradients of the parameters that this process answers for: those that all tensor ranks hold count once."""
    from deepspeed.runtime.utils import is_model_parallel_parameter
    from deepspeed.utils.bwc import bwc_tensor_model_parallel_rank

    # Not get_model_parallel_rank: with pipeline parallelism that one counts over the pipeline's stages, too.
    is_first = bwc_tensor_model_parallel_rank(engine.mpu) == 0
    return [
        parameter.grad
        for parameter in engine.module.parameters()
        if parameter.grad is not None
        and (is_first or is_model_parallel_parameter(parameter))
        and not getattr(parameter, "ds_pipe_replicated", False)
    ]


def _norm_of(gradients: list[Any], engine: Any) -> float:
    """The norm over this process's gradients and those of the other tensor and pipeline ranks."""
    import torch

    total = torch.zeros((), dtype=torch.float32, device=engine.device)
    for gradient in gradients:
        total += gradient.detach().float().norm() ** 2
    if engine.mpu is not None:
        torch.distributed.all_reduce(total, group=engine.mpu.get_model_parallel_group())
    return math.sqrt(value) if (value := float(total)) >= 0 else math.nan


def is_scaled(engine: Any) -> bool:
    """Whether a loss scaler searches its scale here: gradients that overflow are then its daily work."""
    return bool(engine.fp16_enabled())


def leave_step_out(engine: Any, take_step: Any) -> None:
    """Runs the engine's own end of a step with its gradients thrown away and its parameters untouched.

    The learning rate moves on with the iteration, as in the embedded trainer; the engine's count of skipped steps too.
    """
    optimizer = engine.optimizer
    if hasattr(optimizer, "scaled_global_norm"):
        # DeepSpeed's own way out of an overflow clears all that ZeRO keeps of the gradients.
        replaced = {"check_overflow": lambda *args, **kwargs: setattr(optimizer, "overflow", True)}
        replaced["_update_scale"] = lambda has_overflow=False: None  # type: ignore[misc]
        checks = getattr(optimizer, "check_grad_overflow", None)
        optimizer.check_grad_overflow = True
        own = optimizer.step

        def step(*args: Any, **kwargs: Any) -> None:
            own(*args, **kwargs)
            optimizer.overflow = False  # else the learning rate would stand still

        replaced["step"] = step
    else:
        checks = None
        replaced = {"step": lambda *args, **kwargs: _clear(optimizer)}
    for name, function in replaced.items():
        setattr(optimizer, name, function)
    try:
        take_step()
    finally:
        for name in replaced:
            delattr(optimizer, name)
        if checks is not None:
            optimizer.check_grad_overflow = checks
    engine.skipped_steps += 1


def _clear(optimizer: Any) -> None:
    if hasattr(optimizer, "overflow"):
        optimizer.overflow = False
    if hasattr(optimizer, "clear_hp_grads"):
        optimizer.clear_hp_grads()
        optimizer.clear_lp_grads()
    else:
        optimizer.zero_grad(set_to_none=True)
