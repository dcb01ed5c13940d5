"""AdamW with GPT-NeoX's two groups of parameters over one row of numbers, cut among data-parallel processes.

All weights stand behind each other in one row and their gradients in a second: the parameters of the model are views.
Each data-parallel process sums up, clips and updates one part of the row and keeps the moments of that part alone
(ZeRO-1; Rajbhandari et al. 2020). A process that is alone has all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from llemma.neox.config import NeoxConfig
from llemma.train.grid import ALONE, Grid
from llemma.train.row import MOMENTS, Place, Row, Stored, alike, cut_along, restore, snapshot

_ALIGNMENT = 64  # numbers: parameters and parts begin where vector instructions like it


@dataclass(frozen=True, kw_only=True)
class _Region:
    """A stretch of the row that is treated alike."""

    begin: int
    end: int
    weight_decay: float
    is_replicated: bool  # each tensor-parallel process has all of it: in the norm it counts once


class Optimizer:
    """The row of a model's parameters, and AdamW over this process's part of it. See llemma.train.engine."""

    needs_every_batch = False

    def __init__(self, model: nn.Module, config: NeoxConfig, grid: Grid = ALONE) -> None:
        self._grid = grid
        places, regions = _laid_out(model, config.weight_decay, grid.tensor_size)
        part = -(-places[-1].end // (grid.data_size * _ALIGNMENT)) * _ALIGNMENT
        self._begin, self._end = part * grid.data_rank, part * (grid.data_rank + 1)
        self._weights = torch.zeros(part * grid.data_size, device=next(model.parameters()).device)
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for place in places:
                place.of(self._weights).copy_(parameters[place.name])
                parameters[place.name].data = place.of(self._weights)
        # Not before the model has let go of the weights that it came with: all of it has to have room once, not twice.
        self._gradients = torch.zeros_like(self._weights)
        moments = {key: torch.zeros_like(self._my(self._weights)) for key in MOMENTS}
        self._row = Row(places=places, weights=self._weights, moments=moments, begin=self._begin, grid=grid)
        for place in places:
            parameters[place.name].grad = place.of(self._gradients)
        own = [
            (max(region.begin, self._begin), min(region.end, self._end), region)
            for region in regions
            if region.begin < self._end and region.end > self._begin
        ]
        # A part of a very small model may hold nothing but what fills it up: torch wants one parameter at least.
        own = own or [(self._begin, self._begin, regions[-1])]
        self._pieces = [(self._piece(begin, end), region) for begin, end, region in own]
        groups = [{"params": [piece], "weight_decay": region.weight_decay} for piece, region in self._pieces]
        chosen = config.optimizer.params
        self._adam = torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas, eps=chosen.eps, fused=True)
        for (piece, _), (begin, end, _) in zip(self._pieces, own, strict=True):
            stretch = slice(begin - self._begin, end - self._begin)
            self._adam.state[piece] = {key: row[stretch] for key, row in moments.items()}
            # The fused kernel wants its counter beside the parameter.
            self._adam.state[piece]["step"] = torch.zeros((), device=self._weights.device)

    def _my(self, row: torch.Tensor) -> torch.Tensor:
        return row[self._begin : self._end]

    def _piece(self, begin: int, end: int) -> nn.Parameter:
        piece = nn.Parameter(self._weights[begin:end])
        piece.grad = self._gradients[begin:end]
        return piece

    @property
    def num_parameters(self) -> int:
        """Parameters of the whole model, over all tensor-parallel processes."""
        return self._row.num_parameters

    @property
    def num_steps(self) -> int:
        """Updates made so far, over all stages that handed the state on."""
        return int(self._adam.state[self._pieces[0][0]]["step"].item())

    def backward(self, loss: torch.Tensor, *, is_last: bool) -> None:
        """Adds a loss's gradients to those of the step."""
        torch.autograd.backward(loss)

    def sum_gradients(self) -> float:
        """Sums up the data-parallel processes' gradients; returns this process's share of their squared norm."""
        self._grid.sum_gradients(self._gradients, self._my(self._gradients))
        total = torch.zeros((), dtype=torch.float64, device=self._weights.device)
        for piece, region in self._pieces:
            assert piece.grad is not None
            squared = torch.linalg.vector_norm(piece.grad, dtype=torch.float64).square()
            total += squared / self._grid.tensor_size if region.is_replicated else squared
        return total.item()

    def update(self, lr: float, scale: float = 1.0) -> None:
        """One update with the summed gradients times `scale`; then they are zero again."""
        if scale != 1.0:
            self._my(self._gradients).mul_(scale)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._grid.share_weights(self._weights, self._my(self._weights))
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Sets the gradients to zero; not by a multiplication, for NaN times zero is NaN."""
        self._gradients.zero_()

    def snapshot(self) -> Stored | None:
        """Weights by name and state by `{key}.{name}`, copied into the first process's memory: 12 bytes a parameter.

        All processes have to call it at the same step; all but the first get None.
        """
        return snapshot([self._row], self.num_steps)

    def restore(self, path: Path) -> None:
        """Takes up the state that an optimizer.safetensors holds, of whichever number of processes.

        Raises DamagedFileError where it is not the state of this model.
        """
        num_steps = restore(path, [self._row])
        for piece, _ in self._pieces if num_steps else ():
            self._adam.state[piece]["step"].fill_(num_steps)

    def close(self) -> None:
        """Nothing holds the model but who made this."""


def _laid_out(model: nn.Module, weight_decay: float, tensor_size: int) -> tuple[list[Place], list[_Region]]:
    """The places of all parameters, and the stretches of equal treatment."""
    parameters = dict(model.named_parameters())
    places: list[Place] = []
    regions: list[_Region] = []
    for group in alike(model, weight_decay, tensor_size):
        begin = at = -(-places[-1].end // _ALIGNMENT) * _ALIGNMENT if places else 0
        for name in group.names:
            axis = cut_along(name, tensor_size)
            places.append(Place(name=name, begin=at, shape=tuple(parameters[name].shape), axis=axis))
            at = -(-places[-1].end // _ALIGNMENT) * _ALIGNMENT
        regions.append(
            _Region(
                begin=begin,
                end=places[-1].end,
                weight_decay=group.weight_decay,
                is_replicated=group.is_replicated,
            )
        )
    return places, regions
