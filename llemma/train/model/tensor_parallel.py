"""Tensor parallel: one model over several processes, each with a slice of every matrix.

Queries, keys, values, gate and up are cut by rows (a process has whole heads), what comes behind them by columns, the
embedding and the output layer by rows of the vocabulary. Source: Megatron-LM, arXiv 1909.08053, section 3. Two
functions say where processes meet: what all read is copied in (its gradient is the sum of theirs), what each has
a part of is summed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from llemma.checkpoint.architecture import Architecture
from llemma.checkpoint.mapping import Layout
from llemma.core.errors import InputError

_SPLIT_AXES = {
    "embed_tokens": 0, "lm_head": 0, "q_proj": 0, "k_proj": 0, "v_proj": 0, "gate_proj": 0, "up_proj": 0,
    "o_proj": 1, "down_proj": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorParallel:
    """The place of a process among those that hold one model together."""

    rank: int
    size: int
    group: dist.ProcessGroup | None = None


ALONE = TensorParallel(rank=0, size=1)


def split_axis(name: str) -> int | None:
    """The axis along which a weight of this (Hugging Face) name is cut: 0 rows, 1 columns; None: each has it whole."""
    return _SPLIT_AXES.get(name.split(".")[-2])


def slice_of(name: str, whole: torch.Tensor, parallel: TensorParallel) -> torch.Tensor:
    """The view of a whole weight that one process holds."""
    axis = split_axis(name)
    if axis is None or parallel.size == 1:
        return whole
    length = whole.shape[axis] // parallel.size
    return whole.narrow(axis, parallel.rank * length, length)


def check_divisible(architecture: Architecture, parallel: TensorParallel, place: str) -> None:
    """Raises InputError where a model cannot be cut into so many equal parts."""
    layout = Layout(architecture=architecture, tensor_parallel=parallel.size, rows=architecture.vocab_size)
    problems = layout.problems()
    if problems:
        listed = "\n  ".join(problems)
        raise InputError(
            f"{place}: tensor parallel {parallel.size} cannot hold this model:\n  {listed}\n"
            "take a size that divides all of them (1 always does), or pad the vocabulary"
        )


class _CopyIn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _summed(grads[0], ctx.group), None


class _SumOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        return _summed(tensor, group)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


def _summed(tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
    summed = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(summed, group=group)
    return summed


def copy_in(tensor: torch.Tensor, parallel: TensorParallel) -> torch.Tensor:
    """The same tensor, where all processes begin to work on it each in its part: its gradient is summed over them."""
    return tensor if parallel.group is None else _CopyIn.apply(tensor, parallel.group)  # type: ignore[no-untyped-call]


def sum_out(tensor: torch.Tensor, parallel: TensorParallel) -> torch.Tensor:
    """The sum of the processes' parts; the gradient of the sum is that of each part."""
    return tensor if parallel.group is None else _SumOut.apply(tensor, parallel.group)  # type: ignore[no-untyped-call]
