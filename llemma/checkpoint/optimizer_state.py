"""The optimizer's state of a GPT-NeoX checkpoint, joined and cut for another number of tensor-parallel ranks.

Under ZeRO 1 and 2 (DeepSpeed 0.19.8) a tensor-parallel rank keeps the fp32 weights and each of Adam's moments of one
parameter group as one row: its parameters one after the other in the order of `param_shapes`, zeros at the end up to a
multiple of 2 x data-parallel size, cut into one piece for each data-parallel rank:

STEP/[bf16_]zero_pp_rank_D_mp_rank_RR_optim_states.pt   {"optimizer_state_dict": {"base_optimizer_state": {"state":
    {id: {"exp_avg": piece, …}}, "param_groups"}, "single_partition_of_fp32_groups": [piece], …}, …}
STEP/mp_rank_RR_model_states.pt                         {"param_shapes": [{name: shape}], …}

A parameter in a row has the shape of its weight, so that what mapping.py says of the weights holds for every row. What
is written has one piece for each rank; llemma.checkpoint.repartition, which `llemma launch` calls, cuts it for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.checkpoint.mapping import Layout
from llemma.checkpoint.neox_files import NeoxSource, rank_file_name
from llemma.checkpoint.pickles import Listed, deepspeed_classes, load_pickled, make_torch_file
from llemma.checkpoint.rank_files import RankSource, places, spread
from llemma.checkpoint.repartition import (
    cut,
    keeps_no_padding,
    optimizer_files,
    refuse_what_cannot_be_cut,
    slices,
)
from llemma.checkpoint.tensors import TensorFacts
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import sync_file

if TYPE_CHECKING:
    import torch

_WEIGHTS = "single_partition_of_fp32_groups"
MASTER = "fp32 weight"
"""The row of weights among the rows of a state; the others have the names of the optimizer's own (exp_avg, …)."""


class Row(Mapping[str, "torch.Tensor"]):
    """One row of one rank as tensors by name; a tensor that lies in one piece is a view of it."""

    def __init__(self, groups: Sequence[tuple[Mapping[str, Sequence[int]], Sequence[torch.Tensor]]]) -> None:
        self._places: dict[str, tuple[Sequence[torch.Tensor], int, tuple[int, ...]]] = {}
        for shapes, pieces in groups:
            start = 0
            for name, shape in shapes.items():
                self._places[name] = (pieces, start, tuple(shape))
                start += math.prod(shape)

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        pieces, start, shape = self._places[name]
        stop, offset, parts = start + math.prod(shape), 0, []
        for piece in pieces:
            begin, end = max(start, offset), min(stop, offset + piece.numel())
            if begin < end:
                parts.append(piece.view(-1)[begin - offset : end - offset])
            offset += piece.numel()
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """The state of all ranks: by tensor-parallel rank, then by data-parallel rank."""

    files: list[list[Path]]
    values: list[list[dict[str, Any]]]
    shapes: list[list[dict[str, tuple[int, ...]]]]
    rows: dict[str, RankSource]
    facts: dict[str, list[TensorFacts]]

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows, padding left out."""
        return sum(fact.num_bytes for facts in self.facts.values() for fact in facts)


def read_optimizer(source: NeoxSource) -> OptimizerState:
    """The optimizer's state that lies beside a checkpoint's weights, mapped and checked against them.

    Raises InputError where it is none of ZeRO 1 or 2, DamagedFileError where pieces are missing or of wrong lengths.
    """
    files = _files(source)
    values = [[_load(path) for path in paths] for paths in files]
    shapes = []
    for rank, state in enumerate(source.rank_states):
        found = state.get("param_shapes")
        if not isinstance(found, list) or not all(isinstance(group, dict) for group in found):
            raise InputError(f"{source.place / rank_file_name(rank)}: has no 'param_shapes', which parts the rows")
        shapes.append([{name: tuple(shape) for name, shape in group.items()} for group in found])
    for rank, paths in enumerate(files):
        for path, value in zip(paths, values[rank], strict=True):
            state = value["optimizer_state_dict"]
            refuse_what_cannot_be_cut(path, [state], shapes[rank])
            groups = state["base_optimizer_state"].get("param_groups", [])
            if not len(groups) == len(state[_WEIGHTS]) == len(shapes[rank]) or any(
                len(g["params"]) != 1 for g in groups
            ):
                raise DamagedFileError(
                    f"{path}: has {len(groups)} parameter groups, but the weights beside it {len(shapes[rank])}"
                )
    names = [MASTER, *_moments(values[0][0]["optimizer_state_dict"])]
    rows = {}
    for name in names:
        modules = [
            Row([(group, _pieces(files[rank], values[rank], name, at, group)) for at, group in enumerate(shapes[rank])])
            for rank in range(len(files))
        ]
        rows[name] = RankSource(source.place, modules, source.layout, f"{source.place}: its optimizer state")
    return OptimizerState(
        files=files,
        values=values,
        shapes=shapes,
        rows=rows,
        facts={name: row.facts() for name, row in rows.items()},
    )


def _files(source: NeoxSource) -> list[list[Path]]:
    files = list(optimizer_files(source.place).values())
    if len(files) != source.layout.tensor_parallel:
        raise DamagedFileError(f"{source.place}: optimizer states of some tensor-parallel ranks are missing")
    return files


def _load(path: Path) -> dict[str, Any]:
    value = load_pickled(path, deepspeed_classes(path))
    if not isinstance(value.get("optimizer_state_dict"), dict):
        raise InputError(f"{path}: has no 'optimizer_state_dict': this is no optimizer state of DeepSpeed's")
    return value


def _moments(state: dict[str, Any]) -> list[str]:
    """Names of the optimizer's own rows, such as exp_avg."""
    base = state["base_optimizer_state"]
    first = base["state"].get(base["param_groups"][0]["params"][0], {})
    return [name for name, value in first.items() if _is_row(value)]


def _is_row(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 1


def _pieces(
    paths: Sequence[Path], values: Sequence[dict[str, Any]], name: str, group: int, shapes: Mapping[str, Sequence[int]]
) -> list[torch.Tensor]:
    """One group's row. Raises DamagedFileError where the pieces do not make it."""
    length = sum(math.prod(shape) for shape in shapes.values())
    size = cut(length, len(values))
    pieces = []
    for path, value in zip(paths, values, strict=True):
        state = value["optimizer_state_dict"]
        if name == MASTER:
            pieces.append(state[_WEIGHTS][group])
        else:
            base = state["base_optimizer_state"]
            pieces.append(base["state"].get(base["param_groups"][group]["params"][0], {}).get(name))
        if not _is_row(pieces[-1]):
            raise DamagedFileError(f"{path}: {name} of parameter group {group} is missing")
    found = [piece.numel() for piece in pieces]
    if any(count != size for count in found[:-1]) or not length <= sum(found) <= size * len(found):
        raise DamagedFileError(
            f"{paths[0]}: the pieces of {name} of parameter group {group} have {found} numbers, but {length:,} "
            f"parameters in {len(values)} pieces make {size:,} each"
        )
    return pieces


def states_around(
    source: NeoxSource, state: OptimizerState, layout: Layout, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What the new rank files hold besides the weights: what the old ones held, for the new number of ranks."""
    import torch

    shapes = [{name: torch.Size(shape) for name, shape in group.items()} for group in _new_shapes(state, layout)]
    around = []
    for rank in range(layout.tensor_parallel):
        old = source.rank_states[rank % len(source.rank_states)]
        args = old["args"] if isinstance(old.get("args"), dict) else {}
        around.append(
            {
                **old,
                "param_shapes": shapes,
                "dp_world_size": 1,
                "mp_world_size": layout.tensor_parallel,
                "args": {**args, **{key: values[key] for key in args if key in values}},
            }
        )
    return around


def _new_shapes(state: OptimizerState, layout: Layout) -> list[dict[str, tuple[int, ...]]]:
    shapes = {rule.name: layout.rank_shape(rule) for rule in layout.rules()}
    return [{name: shapes[name] for name in group} for group in state.shapes[0]]


class OptimizerSink:
    """The optimizer's state of all new ranks, in files made at their full size first and then filled in place."""

    def __init__(self, folder: Path, state: OptimizerState, layout: Layout) -> None:
        self._state = state
        self._layout = layout
        self._shapes = _new_shapes(state, layout)
        self._where = places(layout)
        prefix = "bf16_" if state.files[0][0].name.startswith("bf16_") else ""
        self._paths = [
            folder / f"{prefix}zero_pp_rank_0_mp_rank_{rank:02d}_optim_states.pt"
            for rank in range(layout.tensor_parallel)
        ]
        self._rows: dict[str, list[Row]] = {}

    def make_room(self) -> None:
        """Makes the files, at their full size, with zeros in all rows."""
        for rank, path in enumerate(self._paths):
            make_torch_file(path, self._new_value(rank), self._classes(rank))

    def open(self) -> None:
        """Maps the files that make_room made."""
        loaded = [[load_pickled(path, self._classes(rank), is_shared=True)] for rank, path in enumerate(self._paths)]
        for name in self._state.rows:
            self._rows[name] = [
                Row([(g, _pieces([path], value, name, at, g)) for at, g in enumerate(self._shapes)])
                for path, value in zip(self._paths, loaded, strict=True)
            ]

    def write(self, row: str, name: str, tensor: torch.Tensor) -> None:
        """Copies one tensor of a row to its places on all ranks."""
        spread(self._layout, self._where[name], tensor, self._rows[row])

    def sync(self) -> None:
        """Puts what was written so far on the disk."""
        for path in self._paths:
            sync_file(path)

    def close(self) -> None:
        """Completes the files, on the disk."""
        self._rows = {}
        self.sync()

    def _old(self, rank: int) -> int:
        """The old rank whose small values (learning rate, step count, loss scale: the same on all) a new one takes."""
        return rank % len(self._state.files)

    def _classes(self, rank: int) -> list[Listed]:
        return deepspeed_classes(self._state.files[self._old(rank)][0])

    def _new_value(self, rank: int) -> dict[str, Any]:
        """What one file holds, its rows as meta tensors."""
        import torch

        value = self._state.values[self._old(rank)][0]
        old = value["optimizer_state_dict"]
        base = old["base_optimizer_state"]
        lengths = [sum(math.prod(shape) for shape in group.values()) for group in self._shapes]
        paddings = [cut(length, 1) - length for length in lengths]
        # ZeRO's own optimizer keeps the weights without their padding, the one for bf16 with it.
        kept = [0] * len(lengths) if keeps_no_padding(old) else paddings
        masters = [
            torch.empty(length + padding, dtype=row.dtype, device="meta")
            for length, padding, row in zip(lengths, kept, old[_WEIGHTS], strict=True)
        ]
        moments = {
            group["params"][0]: {
                name: torch.empty(length + padding, dtype=item.dtype, device="meta") if _is_row(item) else item
                for name, item in base["state"].get(group["params"][0], {}).items()
            }
            for group, length, padding in zip(base["param_groups"], lengths, paddings, strict=True)
        }
        state = {
            **old,
            "base_optimizer_state": {**base, "state": moments},
            _WEIGHTS: masters,
            "group_paddings": paddings,
            "partition_count": [1] * len(lengths),
            "param_slice_mappings": [
                slices(old, at, group, 0, cut(lengths[at], 1)) for at, group in enumerate(self._shapes)
            ],
        }
        return {**value, "optimizer_state_dict": state}
