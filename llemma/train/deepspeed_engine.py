"""DeepSpeed in the place of our own optimizer: ZeRO 1 and 2, and the optimizer's state in the host's memory.

The weights stay in fp32 and the model multiplies as it does without: DeepSpeed sums up the gradients, keeps the state
and makes the update. Clipping, the learning rate and the guard's judgement are ours, checkpoints are the same files.
Written against DeepSpeed 0.19.8. What is not in its documentation, and read here: where the weights and gradients of
ZeRO 1 and 2 lie (`bit16_groups_flat`, `averaged_gradients`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from llemma.core.errors import InputError, MissingPackageError, WorkError
from llemma.core.logging import get_logger
from llemma.neox.config import NeoxConfig
from llemma.train.grid import Grid
from llemma.train.row import MOMENTS, Place, Row, Stored, alike, cut_along, restore, snapshot
from llemma.train.settings import Settings

# Keys of zero_optimization that are given to DeepSpeed as they stand; the stage and the offload are read here.
_PASSED_ON = (
    "allgather_bucket_size", "allgather_partitions", "contiguous_gradients", "overlap_comm", "reduce_bucket_size",
    "reduce_scatter", "round_robin_gradients",
)  # fmt: skip
# These concern checkpoints of DeepSpeed's own, which are not written, or say what follows from the model.
_IDLE = ("elastic_checkpoint", "ignore_unused_parameters", "load_from_fp32_weights")
_READ = ("stage", "offload_optimizer", "cpu_offload")
# ZeRO 2 of 0.17.6 was found to give other losses without a word, by 15 %.
_OLDEST = (0, 19, 8)
_COMPILING = (
    "DeepSpeed's optimizer for the host's memory is being compiled, once on each machine: some minutes. If this was "
    "interrupted before, remove the file `lock` in ~/.cache/torch_extensions/*/cpu_adam, which is waited for"
)
_log = get_logger(__name__)


def check_deepspeed(stages: Sequence[Settings], device: str) -> None:
    """Raises InputError where DeepSpeed cannot train these stages here; compiles what it needs, once for a machine."""
    problems = [f"{settings.stage}: {problem}" for settings in stages for problem in zero_problems(settings.config)]
    if problems:
        raise InputError("\n".join(problems))
    deepspeed = _load(device)
    if all(_offload_device(settings.config) == "none" for settings in stages):
        return
    long_wait = threading.Timer(3.0, _log.warning, [_COMPILING])
    long_wait.start()
    try:
        deepspeed.ops.op_builder.CPUAdamBuilder().load(verbose=False)
    except Exception as error:
        why = str(error.__cause__ or error).strip().splitlines()
        raise InputError(
            "zero_optimization.offload_optimizer: DeepSpeed compiles the optimizer for the host's memory once on each "
            f"machine, which failed here: {why[0] if why else type(error).__name__}\n"
            "install a C++ compiler (g++) and ninja, or leave offload_optimizer out"
        ) from None
    finally:
        long_wait.cancel()


def zero_problems(config: NeoxConfig) -> list[str]:
    """What a configuration asks of ZeRO that is not to be had here."""
    asked = config.zero_optimization or {}
    found = []
    if config.zero_stage not in (0, 1, 2):
        found.append(
            f"'zero_optimization.stage' is {config.zero_stage}, but --zero deepspeed takes 0, 1 or 2: where the memory "
            "is too small take 2 with offload_optimizer: {device: cpu}, or --tensor-parallel"
        )
    device = _offload_device(config)
    if device not in ("cpu", "none"):
        found.append(
            f"'zero_optimization.offload_optimizer.device' is {device!r}, but --zero deepspeed takes cpu or none"
        )
    for key in sorted(asked.keys() - {*_PASSED_ON, *_IDLE, *_READ}):
        if asked[key] and asked[key] != {"device": "none"} and not key.startswith("stage3_"):
            found.append(
                f"'zero_optimization.{key}' is {asked[key]!r}, which --zero deepspeed does not honour: leave it out, "
                "or train without --zero deepspeed"
            )
    return found


def _offload_device(config: NeoxConfig) -> Any:
    """Where the optimizer's state is asked to be kept: cpu, none (beside the weights), or what is not to be had."""
    asked = config.zero_optimization or {}
    told = asked.get("offload_optimizer") or {"device": "cpu" if asked.get("cpu_offload") else "none"}
    return told.get("device", "none") if isinstance(told, dict) else told


def _load(device: str) -> ModuleType:
    """The package, told which device it is for before it looks for itself, and quiet."""
    chosen = os.environ.get("DS_ACCELERATOR")
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    try:
        import deepspeed
    except ImportError as error:
        raise MissingPackageError(str(error.name or "deepspeed"), "deepspeed") from None
    finally:
        if chosen is None:
            os.environ.pop("DS_ACCELERATOR", None)
    if (deepspeed.__version_major__, deepspeed.__version_minor__, deepspeed.__version_patch__) < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        raise InputError(
            f"--zero deepspeed wants DeepSpeed {wanted} or newer, but {deepspeed.__version__} is installed: older ones "
            f"sum gradients up otherwise. Install it with  pip install 'deepspeed>={wanted}', or leave --zero out"
        )
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)  # it warns of every step that we leave out
    # Sums on a processor through memory that two runs on one machine would share, in pieces that it has to compile.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    found: ModuleType = deepspeed
    return found


class DeepSpeedEngine:
    """A model's weights, gradients and optimizer state in DeepSpeed's hands. See llemma.train.engine."""

    needs_every_batch = True
    """Under ZeRO 2 processes meet within every backward pass."""

    def __init__(self, model: nn.Module, config: NeoxConfig, grid: Grid) -> None:
        device = next(model.parameters()).device
        deepspeed = _load(device.type)
        self._grid, self._is_offloaded = grid, _offload_device(config) == "cpu"
        if grid.size == 1 and not dist.is_initialized():  # DeepSpeed wants a group even of one
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
        os.environ["LOCAL_RANK"] = str(device.index or 0)  # which GPU DeepSpeed takes
        groups = alike(model, config.weight_decay, grid.tensor_size)
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            parameter.tensor_model_parallel = cut_along(name, grid.tensor_size) is not None  # type: ignore[attr-defined]
        self._adam = self._make_adam(
            [
                {"params": [parameters[name] for name in group.names], "weight_decay": group.weight_decay}
                for group in groups
            ],
            config,
        )
        self._engine, self._zero, *_ = deepspeed.initialize(
            model=model,
            optimizer=self._adam,
            config=self._settings(config),
            mpu=_Mpu(grid) if grid.tensor_size > 1 else None,
            dist_init_required=False,
        )
        self._is_replicated = [group.is_replicated for group in groups]
        self._rows = [
            self._row(number, {name: parameters[name] for name in group.names}) for number, group in enumerate(groups)
        ]

    def _make_adam(self, groups: list[dict[str, Any]], config: NeoxConfig) -> torch.optim.Optimizer:
        chosen = config.optimizer.params
        if not self._is_offloaded:
            return torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas, eps=chosen.eps, fused=True)
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        found: torch.optim.Optimizer = DeepSpeedCPUAdam(groups, lr=chosen.lr, betas=chosen.betas, eps=chosen.eps)
        return found

    def _settings(self, config: NeoxConfig) -> dict[str, Any]:
        asked = config.zero_optimization or {}
        zero = {key: asked[key] for key in _PASSED_ON if key in asked}
        zero["stage"] = 2 if config.zero_stage == 2 else 1  # 0 keeps the same numbers in more places
        if self._is_offloaded:
            zero["offload_optimizer"] = {"device": "cpu"} | (asked.get("offload_optimizer") or {})
        return {
            "train_micro_batch_size_per_gpu": 1,  # what a step consists of is said by backward
            "gradient_accumulation_steps": 1,
            "gradient_clipping": 0.0,
            "zero_optimization": zero,
            "timers": {"throughput": {"enabled": False}},  # it would wait for the GPU in every forward pass
        }

    def _row(self, number: int, parameters: dict[str, nn.Parameter]) -> Row:
        """A group as DeepSpeed laid it out, with a state of zeros."""
        weights = self._zero.bit16_groups_flat[number]
        mine = self._adam.param_groups[number]["params"][0]
        moments = {key: torch.zeros_like(mine, requires_grad=False) for key in MOMENTS}
        step = 0 if self._is_offloaded else torch.zeros((), device=mine.device)
        self._adam.state[mine] = {"step": step, **moments}
        places = [
            Place(
                name=name,
                begin=(parameter.data_ptr() - weights.data_ptr()) // weights.element_size(),
                shape=tuple(parameter.shape),
                axis=cut_along(name, self._grid.tensor_size),
            )
            for name, parameter in parameters.items()
        ]
        assert len(mine) * self._grid.data_size == len(weights) and max(place.end for place in places) <= len(weights)
        return Row(
            places=places, weights=weights, moments=moments, begin=len(mine) * self._grid.data_rank, grid=self._grid
        )

    @property
    def num_parameters(self) -> int:
        """See Engine."""
        return sum(row.num_parameters for row in self._rows)

    @property
    def num_steps(self) -> int:
        """See Engine."""
        return int(next(iter(self._adam.state.values()))["step"])

    def backward(self, loss: torch.Tensor, *, is_last: bool) -> None:
        """See Engine. DeepSpeed takes the mean over data-parallel processes, where the sum is wanted."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        self._engine.backward(loss * self._grid.data_size)

    def _gradients(self) -> Iterator[tuple[bool, torch.Tensor]]:
        """This process's parts of the summed gradients, and whether all tensor-parallel processes hold the same."""
        for number, is_replicated in enumerate(self._is_replicated):
            mine = self._adam.param_groups[number]["params"][0]
            for part in [mine.grad] if self._is_offloaded else self._zero.averaged_gradients[number]:
                yield is_replicated, part

    def sum_gradients(self) -> float:
        """See Engine. They are summed up at the end of the last backward pass."""
        total = 0.0
        for is_replicated, part in self._gradients():
            squared = torch.linalg.vector_norm(part, dtype=torch.float64).square().item()
            total += squared / self._grid.tensor_size if is_replicated else squared
        return total

    def update(self, lr: float, scale: float = 1.0) -> None:
        """See Engine. Raises WorkError where DeepSpeed, which computes a norm of its own in fp32, leaves it out."""
        for _, part in self._gradients() if scale != 1.0 else ():
            part.mul_(scale)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._engine.step()
        if not self._engine.was_step_applied():
            raise WorkError("DeepSpeed left an update out: the norm of the gradients has no room in fp32")

    def drop_gradients(self) -> None:
        """See Engine. As DeepSpeed does after an overflow: it knows all places where it keeps gradients."""
        with self._overflow():
            self._engine.step()

    @contextlib.contextmanager
    def _overflow(self) -> Iterator[None]:
        """Within it DeepSpeed finds an overflow, whatever the gradients are."""
        self._zero.check_overflow = lambda **_: setattr(self._zero, "overflow", True)
        self._zero.check_grad_overflow = True
        try:
            yield
        finally:
            self._zero.check_grad_overflow = False
            del self._zero.check_overflow

    def snapshot(self) -> Stored | None:
        """See Engine."""
        return snapshot(self._rows, self.num_steps)

    def restore(self, path: Path) -> None:
        """See Engine."""
        num_steps = restore(path, self._rows)
        for state in self._adam.state.values() if num_steps else ():
            state["step"] = num_steps if self._is_offloaded else state["step"].fill_(num_steps)

    def close(self) -> None:
        """See Engine. The hooks on the parameters would keep all of it for ever: Python does not find that circle."""
        self._engine.destroy()


class _Mpu:
    """The grid as DeepSpeed asks for it."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def get_model_parallel_rank(self) -> int:
        return self._grid.tensor_rank

    def get_model_parallel_world_size(self) -> int:
        return self._grid.tensor_size

    def get_model_parallel_group(self) -> dist.ProcessGroup | None:
        return self._grid.tensor_group

    def get_data_parallel_rank(self) -> int:
        return self._grid.data_rank

    def get_data_parallel_world_size(self) -> int:
        return self._grid.data_size

    def get_data_parallel_group(self) -> dist.ProcessGroup | None:
        return self._grid.data_group
