"""How layers are computed: compiled or eager, and how much is kept for the way back. No number depends on it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llemma.core.errors import InputError
from llemma.core.logging import get_logger

if TYPE_CHECKING:
    from llemma.neox.config import NeoxConfig
    from llemma.train.grid import Grid
    from llemma.train.model.llama import Llama

_COMPILERS = ("g++", "clang++")
_MARGIN = 0.08  # of a GPU's memory: the allocator's gaps and the kernels' own needs; chosen by us
_CHUNKS_AT_ONCE = 3  # of logits: in bf16, in fp32, and their shares
_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """What the command line says; None leaves it to the device."""

    compile: bool | None = None
    activation_bytes: int | None = None

    def apply(self, model: Llama, config: NeoxConfig, grid: Grid) -> None:
        """Sets a model up whose optimizer is in memory already. Raises InputError where it cannot be done."""
        device = model.device.type
        if self._is_compiled(device, model.tensor_parallel.size):
            model.compile_layers()
        budget = self.activation_bytes
        if budget is None and device == "cuda":
            budget = _free_bytes(model, config)
        if budget is not None:
            from llemma.train.model.recomputation import plan_recomputation

            room = budget
            # One plan for all: tensor-parallel processes compute the same things again, together.
            modes = grid.from_first(lambda: plan_recomputation(config, room, grid.tensor_size))
            model.recompute(modes)
            if grid.is_first and set(modes) != {"none"}:
                told = ", ".join(f"{modes.count(mode)} {mode}" for mode in ("none", "selective", "full"))
                _log.info("recomputation of %d layers: %s", len(modes), told)

    def _is_compiled(self, device: str, tensor_parallel: int) -> bool:
        if tensor_parallel > 1:
            if self.compile:
                raise InputError("--compile does not go with tensor parallel, whose layers run eager: leave one out")
            return False
        if device == "cuda":
            return self.compile is not False and importlib.util.find_spec("triton") is not None
        if self.compile and not has_compiler():
            raise InputError(
                f"--compile needs a C++ compiler on a processor, but there is none ({', '.join(_COMPILERS)}, or what "
                "CXX names): install g++, or leave --compile out"
            )
        return bool(self.compile)


def has_compiler() -> bool:
    """True where torch.compile finds a C++ compiler for the processor."""
    named = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([named] if named else _COMPILERS))


def _free_bytes(model: Llama, config: NeoxConfig) -> int:
    """What a GPU has left for activations."""
    import torch

    from llemma.train.model.loss import CHUNK_BYTES

    free, total = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    casts = 2 * sum(parameter.numel() for parameter in model.parameters()) if config.precision == "bfloat16" else 0
    output = 4 * model.output_weight.numel()
    return int(free - casts - output - _CHUNKS_AT_ONCE * CHUNK_BYTES["cuda"] - _MARGIN * total)


def add_acceleration_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma train` about speed and memory."""
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compile the layers (default: on a GPU yes, on a processor no; there it needs a C++ compiler and about a "
        "minute at the first start)",
    )
    parser.add_argument(
        "--activation-memory",
        type=float,
        metavar="GIB",
        help="memory for what layers keep of a micro-batch: where it is too little, some are computed again on the way "
        "back (default: on a GPU what is left of it, on a processor no bound)",
    )


def read_acceleration(args: argparse.Namespace) -> Acceleration:
    """The options, checked."""
    memory = args.activation_memory
    if memory is not None and not 0 < memory < 1e6:
        raise InputError(f"--activation-memory is {memory:g}, but must be a number of GiB above 0")
    return Acceleration(compile=args.compile, activation_bytes=None if memory is None else int(memory * 2**30))
