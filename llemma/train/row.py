"""Parameters behind each other in one row of numbers, of whose state each data-parallel process holds a part.

What is stored goes by the parameters' names, so that a run can go on in another number of processes or with another
optimizer: `exp_avg.NAME`, `exp_avg_sq.NAME` and `step.NAME`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from llemma.core.errors import DamagedFileError
from llemma.train.grid import Grid
from llemma.train.model.tensor_parallel import split_axis

MOMENTS = ("exp_avg", "exp_avg_sq")
Stored = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]


def weight_decay_groups(model: nn.Module, weight_decay: float) -> tuple[list[str], list[str]]:
    """Names of the parameters with and without weight decay: norms and biases have none, embeddings do.

    Source: GPT-NeoX megatron/model/utils.py, get_params_for_weight_decay_optimization, at ea7aefd8. With a weight
    decay of 0 all parameters stand in the second group, as there.
    """
    decayed: list[str] = []
    free: list[str] = []
    seen: set[int] = set()
    for module_name, module in model.named_modules():
        is_norm = "Norm" in type(module).__name__
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            full_name = f"{module_name}.{name}" if module_name else name
            (free if is_norm or name == "bias" or weight_decay == 0 else decayed).append(full_name)
    return decayed, free


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Parameters that are treated alike."""

    names: list[str]
    weight_decay: float
    is_replicated: bool  # each tensor-parallel process has all of them: in the norm they count once


def alike(model: nn.Module, weight_decay: float, tensor_size: int) -> list[Alike]:
    """All parameters of a model, or of a tensor-parallel process's slice, by how they are treated."""
    found = []
    decayed, free = weight_decay_groups(model, weight_decay)
    for names, decay in ((decayed, weight_decay), (free, 0.0)):
        for is_replicated in (False, True):
            chosen = [name for name in names if (cut_along(name, tensor_size) is None) == is_replicated]
            if chosen:
                found.append(Alike(names=chosen, weight_decay=decay, is_replicated=is_replicated))
    return found


def cut_along(name: str, tensor_size: int) -> int | None:
    """The axis along which a parameter is cut among tensor-parallel processes; None: each has all of it."""
    return split_axis(name) if tensor_size > 1 else None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a parameter, or this tensor-parallel process's slice of it, stands in the row."""

    name: str
    begin: int
    shape: tuple[int, ...]
    axis: int | None  # as cut_along says

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.begin + math.prod(self.shape)

    def of(self, row: torch.Tensor) -> torch.Tensor:
        """This parameter's part of a row."""
        return row[self.begin : self.end].view(self.shape)

    def whole_shape(self, tensor_size: int) -> list[int]:
        """The shape of the parameter over all tensor-parallel processes."""
        return [length * (tensor_size if axis == self.axis else 1) for axis, length in enumerate(self.shape)]

    def slice_of(self, stored: Any, tensor_rank: int) -> torch.Tensor:
        """A tensor-parallel process's slice of a stored tensor."""
        index = [slice(None)] * len(self.shape)
        if self.axis is not None:
            length = self.shape[self.axis]
            index[self.axis] = slice(tensor_rank * length, (tensor_rank + 1) * length)
        found: torch.Tensor = stored[tuple(index)]
        return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """The weights of some parameters, and this data-parallel process's part of their moments.

    All parts are equally long. They may reach beyond the last parameter: what stands there means nothing.
    """

    places: Sequence[Place]
    weights: torch.Tensor
    moments: dict[str, torch.Tensor]
    begin: int  # of the part
    grid: Grid

    @property
    def num_parameters(self) -> int:
        """Over all tensor-parallel processes."""
        return sum(math.prod(place.whole_shape(self.grid.tensor_size)) for place in self.places)

    def collected(self, part: torch.Tensor, holders: range) -> dict[str, torch.Tensor] | None:
        """Copies by name, in the first process, of what some processes hold in equal parts; None in the others."""
        parts = self.grid.to_first(part, holders)
        if parts is None:
            return None
        size = self.grid.tensor_size
        rows = [parts[rank] if len(parts) == size else torch.cat(parts[rank::size]) for rank in range(size)]
        return {
            place.name: place.of(rows[0])
            if place.axis is None
            else torch.cat([place.of(row) for row in rows], dim=place.axis)
            for place in self.places
        }

    def take_up(self, file: Any) -> None:
        """Reads this process's part of the moments."""
        for place in self.places:
            for key, part in self.moments.items():
                begin, end = max(place.begin, self.begin), min(place.end, self.begin + len(part))
                if begin < end:
                    stored = place.slice_of(file.get_slice(f"{key}.{place.name}"), self.grid.tensor_rank).flatten()
                    part[begin - self.begin : end - self.begin] = stored[begin - place.begin : end - place.begin]


def snapshot(rows: Sequence[Row], num_steps: int) -> Stored | None:
    """Weights by name and state by `{key}.{name}`, copied into the first process's memory: 12 bytes a parameter.

    All processes have to call it at the same step; all but the first get None.
    """
    weights: dict[str, torch.Tensor] = {}
    state: dict[str, torch.Tensor] = {}
    for row in rows:
        found = row.collected(row.weights, range(row.grid.tensor_size))
        weights |= found or {}
        for key, part in row.moments.items() if num_steps else ():
            moments = row.collected(part, range(row.grid.size)) or {}
            state |= {f"{key}.{name}": tensor for name, tensor in moments.items()}
    if not weights:
        return None
    if num_steps:
        state |= {f"step.{name}": torch.tensor(float(num_steps)) for name in weights}
    return weights, state


def restore(path: Path, rows: Sequence[Row]) -> int:
    """Takes up the moments that an optimizer.safetensors holds, and returns after how many updates they stood so.

    0: it holds none. Raises DamagedFileError where they are not those of these parameters.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = {name for name in file.keys() if not name.startswith("rng.")}  # noqa: SIM118 - no mapping
            if not names:
                return 0
            num_steps = _checked(path, file, names, rows)
            for row in rows:
                row.take_up(file)
            return num_steps
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error})") from None


def _checked(path: Path, file: Any, names: set[str], rows: Sequence[Row]) -> int:
    places = [place for row in rows for place in row.places]
    size = rows[0].grid.tensor_size
    differing = names ^ {f"{key}.{place.name}" for place in places for key in (*MOMENTS, "step")}
    if not differing:
        differing = {
            name
            for place in places
            for name in (f"{key}.{place.name}" for key in MOMENTS)
            if file.get_slice(name).get_shape() != place.whole_shape(size)
        }
    if differing:
        listed = ", ".join(sorted(differing)[:5])
        raise DamagedFileError(f"{path}: the optimizer's state does not fit the model: {listed}")
    counts = {int(file.get_tensor(f"step.{place.name}").item()) for place in places}
    if len(counts) > 1:
        raise DamagedFileError(f"{path}: its parameters have been updated unequally often: {sorted(counts)}")
    return counts.pop()
