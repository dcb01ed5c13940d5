"""The processes that train one model together on one host, and what they tell each other.

Process r has the data-parallel rank r // T and the tensor-parallel rank r % T, as in GPT-NeoX: T processes hold one
model in slices, and all of these work on other samples. Numbers that decide something are summed up in the order of
the ranks by every process for itself, so that all of them find the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from llemma.train.model import tensor_parallel
from llemma.train.model.tensor_parallel import TensorParallel

_PIECE = 1 << 24  # numbers sent at once, 64 MB
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where this process stands among those that train; made without arguments it is alone."""

    rank: int = 0
    size: int = 1
    tensor_size: int = 1
    data_group: dist.ProcessGroup | None = None  # the processes with the same slices
    tensor_group: dist.ProcessGroup | None = None  # the processes with the same samples

    @property
    def is_first(self) -> bool:
        """True in the one process that writes files and talks to people."""
        return self.rank == 0

    @property
    def data_size(self) -> int:
        """Processes, or groups of them, with other samples."""
        return self.size // self.tensor_size

    @property
    def data_rank(self) -> int:
        """Which of them this one is."""
        return self.rank // self.tensor_size

    @property
    def tensor(self) -> TensorParallel:
        """The same, as the model wants to know it."""
        if self.tensor_size == 1:
            return tensor_parallel.ALONE
        return TensorParallel(rank=self.tensor_rank, size=self.tensor_size, group=self.tensor_group)

    @property
    def tensor_rank(self) -> int:
        """Which slices this process holds."""
        return self.rank % self.tensor_size

    def gathered(self, values: Sequence[float]) -> list[list[float]]:
        """The values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64, device=_device())
        everyone = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(everyone, mine)
        rows: list[list[float]] = torch.stack(everyone).tolist()
        return rows

    def gathered_facts(self, facts: Value) -> list[Value]:
        """Anything small of all processes, in the order of their ranks."""
        if self.size == 1:
            return [facts]
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, facts)
        return everyone

    def from_first(self, find: Callable[[], Value]) -> Value:
        """What the first process finds, in all of them; the others do not look."""
        if self.size == 1:
            return find()
        held: list[Any] = [find() if self.is_first else None]
        dist.broadcast_object_list(held, src=0, device=_device())
        return held[0]  # type: ignore[no-any-return]

    def add_up(self, tensor: torch.Tensor) -> None:
        """Sums a tensor over the data-parallel processes; all of them get the sum."""
        if self.data_size > 1:
            dist.all_reduce(tensor, group=self.data_group)

    def sum_gradients(self, flat: torch.Tensor, mine: torch.Tensor) -> None:
        """Sums a flat tensor over the data-parallel processes; each gets its own part of the sum, in `mine`.

        `mine` lies in `flat`.
        """
        if self.data_size > 1:
            dist.reduce_scatter_single(mine, flat, group=self.data_group)

    def share_weights(self, flat: torch.Tensor, mine: torch.Tensor) -> None:
        """Fills a flat tensor with the parts of all data-parallel processes. `mine` lies in `flat`."""
        if self.data_size > 1:
            dist.all_gather_single(flat, mine, group=self.data_group)

    def to_first(self, tensor: torch.Tensor, senders: Sequence[int]) -> list[torch.Tensor] | None:
        """Copies of a flat tensor of some processes in the first one's memory, in their order; None in the others.

        The tensors are equally long, on a GPU or not. One piece after the other: no second tensor stands on a GPU.
        """
        if not self.is_first:
            if self.rank in senders:
                for piece in torch.split(tensor, _PIECE):
                    dist.send(piece.to(_device()), 0)
            return None
        found = []
        for sender in senders:
            if sender == 0:
                found.append(tensor.detach().to("cpu", copy=True))
                continue
            copy = torch.empty(tensor.shape, dtype=tensor.dtype)
            for piece in torch.split(copy, _PIECE):
                received = piece.to(_device())  # on a processor it is the piece itself
                dist.recv(received, sender)
                if received is not piece:
                    piece.copy_(received)
            found.append(copy)
        return found


ALONE = Grid()


def _device() -> torch.device:
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def joined_grid(
    rank: int, size: int, tensor_size: int, init_method: str, device: torch.device, hang_timeout_s: float
) -> Grid:
    """Joins the other processes, over NCCL on GPUs and gloo on a processor. Blocks until all of them are there.

    The watchdog is to end a run that hangs, not a time limit of a single exchange, which is set beyond it.
    """
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=init_method,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=2 * hang_timeout_s + 600 if hang_timeout_s else 10**6),
    )
    groups = {}
    for kind, members in (
        *(("tensor", list(range(first, first + tensor_size))) for first in range(0, size, tensor_size)),
        *(("data", list(range(first, size, tensor_size))) for first in range(tensor_size)),
    ):
        group = dist.new_group(members)  # every process has to make every group
        if rank in members:
            groups[kind] = group
    return Grid(
        rank=rank,
        size=size,
        tensor_size=tensor_size,
        data_group=groups["data"],
        tensor_group=groups["tensor"],
    )
