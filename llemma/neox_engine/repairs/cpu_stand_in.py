"""Lets GPT-NeoX train on a CPU: stand-ins for the parts of torch.cuda that it calls, and for DeepSpeed's fused Adam.

GPT-NeoX asserts CUDA (megatron/initialize.py:44 at ea7aefd8), counts and sets devices (124), seeds and reads CUDA's
random state, makes `torch.cuda.LongTensor`s and moves tensors and modules by `.cuda()`. All of that is answered for
one device that is the CPU. The fused Adam is a function that returns torch.optim.AdamW: a subclass would trip
DeepSpeed's list of optimizers allowed under ZeRO.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "cpu-stand-in"

_DEVICE_COUNT_VARIABLE = "LOCAL_WORLD_SIZE"  # set by torchrun; NeoX wants local_rank == rank % device_count
_CALLED_BY_NEOX = {
    "megatron/initialize.py": ("torch.cuda.is_available()", "torch.cuda.set_device(", "torch.cuda.device_count()"),
    "megatron/training.py": ("from deepspeed.ops.adam import FusedAdam as Adam",),
}


def apply(context: EngineContext) -> None:
    """Puts the stand-ins in place. Must run before anything of NeoX's is imported."""
    require_text(NAME, context.neox_dir, _CALLED_BY_NEOX)
    os.environ["DS_ACCELERATOR"] = "cpu"
    # DeepSpeed looks for a compiler at its first use of an operator; on a CPU none is needed.
    os.environ.setdefault("DS_SKIP_CUDA_CHECK", "1")
    # DeepSpeed decides by its own means which accelerator it runs on, so it must see the true torch.cuda.
    import deepspeed
    import deepspeed.ops.adam
    import torch

    stand_in_for_cuda(torch)
    deepspeed.ops.adam.FusedAdam = adamw


def adamw(parameters: Any, **settings: Any) -> Any:
    """torch's AdamW under the arguments that NeoX gives to a fused Adam (which decouples weight decay, too)."""
    import torch

    if not settings.pop("adam_w_mode", True):
        return torch.optim.Adam(parameters, **settings)
    return torch.optim.AdamW(parameters, **settings)


def stand_in_for_cuda(torch: Any) -> None:
    """Replaces what NeoX calls of torch.cuda, and `.cuda()`, by answers for the CPU."""
    cuda = torch.cuda
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "device_count": lambda: int(os.environ.get(_DEVICE_COUNT_VARIABLE, "1")),
        "set_device": lambda device: None,
        "current_device": lambda: torch.device("cpu"),
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
    }
    for name in ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"):
        answers[name] = lambda device=None: 0
    for name, answer in answers.items():
        setattr(cuda, name, answer)
    for name in ("Byte", "Long", "Int", "Float", "Half", "BFloat16", "Bool", "Double"):
        setattr(cuda, f"{name}Tensor", getattr(torch, f"{name}Tensor"))
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    torch.nn.Module.cuda = lambda self, *args, **kwargs: self
