"""What the trainer asks of whatever keeps the gradients and the optimizer's state: our own ZeRO-1, or DeepSpeed's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import torch

from llemma.neox.config import NeoxConfig
from llemma.train.grid import Grid
from llemma.train.model.llama import Llama
from llemma.train.row import Stored

EngineName = Literal["own", "deepspeed"]
ENGINES: tuple[EngineName, ...] = ("own", "deepspeed")


class Engine(Protocol):
    """Between sum_gradients and the next backward stands either update or drop_gradients, in all processes alike."""

    needs_every_batch: bool
    """Whether each process has to go backward equally often, also where nothing of a micro-batch counts."""

    @property
    def num_parameters(self) -> int:
        """Parameters of the whole model, over all tensor-parallel processes."""
        ...

    @property
    def num_steps(self) -> int:
        """Updates made so far, over all stages that handed the state on."""
        ...

    def backward(self, loss: torch.Tensor, *, is_last: bool) -> None:
        """Adds a loss's gradients to those of the step; `is_last` says that no other comes before their sum."""
        ...

    def sum_gradients(self) -> float:
        """Sums up the data-parallel processes' gradients; returns this process's share of their squared norm."""
        ...

    def update(self, lr: float, scale: float = 1.0) -> None:
        """One update with the summed gradients times `scale`, which then are gone."""
        ...

    def drop_gradients(self) -> None:
        """Forgets the gradients, whatever they hold, and changes nothing else."""
        ...

    def snapshot(self) -> Stored | None:
        """Weights by name and state by `{key}.{name}`, copied into the first process's memory: 12 bytes a parameter.

        All processes have to call it at the same step; all but the first get None.
        """
        ...

    def restore(self, path: Path) -> None:
        """Takes up the state that an optimizer.safetensors holds, of whichever engine and number of processes.

        Raises DamagedFileError where it is not the state of this model.
        """
        ...

    def close(self) -> None:
        """Lets go of the model, which nothing is asked of any more: its memory can be had again."""
        ...


def make_engine(name: EngineName, model: Llama, config: NeoxConfig, grid: Grid) -> Engine:
    """The engine of a model, which from then on holds its weights."""
    if name == "deepspeed":
        from llemma.train.deepspeed_engine import DeepSpeedEngine

        return DeepSpeedEngine(model, config, grid)
    from llemma.train.optimizer import Optimizer

    return Optimizer(model, config, grid)
