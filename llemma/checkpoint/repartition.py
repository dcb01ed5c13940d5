"""Cuts a checkpoint's optimizer state anew for another data-parallel size, which GPT-NeoX and DeepSpeed refuse to do.

`python -m llemma.checkpoint.repartition SAVE --data-parallel D [--iteration N]`, in the Python that trains; `llemma
launch` calls it where a run goes on with other processes. A damaged checkpoint is passed over for the one before, as by
the training itself.

Under ZeRO 1 and 2 each data-parallel rank keeps one equal piece of every parameter group: all its parameters in a row,
padded with zeros to a multiple of 2 x data-parallel size (DeepSpeed 0.19.8, stage_1_and_2.py:387 and
bf16_optimizer.py:102). The pieces are joined, the padding is cut off, and the row is cut again. No number is changed,
so that cutting back gives the first files' numbers. Tensor- and pipeline-parallel sizes stay; `llemma convert
--optimizer keep` changes the former.

SAVE/global_stepN/[bf16_]zero_pp_rank_D_mp_rank_RR_optim_states.pt   {"optimizer_state_dict": {"base_optimizer_state":
    {"state": {id: {"exp_avg": row, …}}, "param_groups"}, "single_partition_of_fp32_groups": [row], "group_paddings",
    "partition_count", "param_slice_mappings", …}, …}
SAVE/global_stepN/mp_rank_RR_model_states.pt   {"param_shapes": [{name: shape}], "dp_world_size", …}
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.checkpoint.pickles import deepspeed_classes, load_pickled
from llemma.core.errors import DamagedFileError, InputError, LlemmaError
from llemma.core.files import atomic_folder
from llemma.guard.checkpoints import NEOX_NAMES, candidates
from llemma.guard.manifest import MANIFEST_NAME, check_manifest, write_manifest

_OPTIMIZER_FILE = re.compile(r"(bf16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt\Z")
_ALIGNMENT = 2  # elements a rank, DeepSpeed's nccl_start_alignment_factor


def main(argv: Sequence[str] | None = None) -> int:
    """Re-partitions one checkpoint in its place and returns the exit code."""
    parser = argparse.ArgumentParser(prog="llemma.checkpoint.repartition", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoints", type=Path, metavar="SAVE")
    parser.add_argument("--iteration", type=int, help="default: the newest checkpoint that is whole")
    parser.add_argument("--data-parallel", type=int, required=True)
    args = parser.parse_args(argv)
    try:
        if args.iteration is None:
            repartition_newest(args.checkpoints, args.data_parallel)
        else:
            repartition(args.checkpoints / f"global_step{args.iteration}", args.data_parallel)
    except LlemmaError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def repartition_newest(root: Path, dp_size: int) -> None:
    """Cuts the newest checkpoint that is whole; those that are damaged stay as they are, for the training to tell of.

    Raises DamagedFileError with what is wrong with each where none is whole.
    """
    faults = []
    for _, folder in candidates(root, NEOX_NAMES):
        try:
            repartition(folder, dp_size)
        except DamagedFileError as error:
            faults.append(str(error))
            print(f"{error}\n{folder.name} is passed over", flush=True)
        else:
            return
    raise DamagedFileError("\n".join(faults) or f"{root}: there is no checkpoint to cut")


def repartition(folder: Path, dp_size: int) -> None:
    """Replaces a checkpoint by the same one for `dp_size` data-parallel ranks, whole or not at all.

    Raises InputError where it cannot be cut (ZeRO 3, elastic checkpoints), DamagedFileError where it is not whole.
    """
    if dp_size < 1:
        raise InputError(f"--data-parallel is {dp_size}, but must be at least 1")
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such checkpoint")
    has_manifest = (folder / MANIFEST_NAME).is_file()
    if has_manifest:
        check_manifest(folder)
    files = optimizer_files(folder)
    with atomic_folder(folder, replace=True) as scratch:
        for path in folder.iterdir():
            if _OPTIMIZER_FILE.match(path.name) or path.name == MANIFEST_NAME:
                continue
            if path.is_dir():
                shutil.copytree(path, scratch / path.name)
            elif not re.match(r"mp_rank_\d+_model_states\.pt\Z", path.name):
                shutil.copyfile(path, scratch / path.name)
        for mp_rank, paths in files.items():
            _cut_rank(folder, scratch, mp_rank, paths, dp_size)
        if has_manifest:
            write_manifest(scratch)


def optimizer_files(folder: Path) -> dict[str, list[Path]]:
    """The optimizer files of each tensor-parallel rank ("00"), by data-parallel rank. Raises where some are missing."""
    found: dict[str, dict[int, Path]] = {}
    for path in folder.iterdir():
        match = _OPTIMIZER_FILE.match(path.name)
        if match:
            found.setdefault(match[3], {})[int(match[2])] = path
    if not found:
        raise InputError(f"{folder}: it holds no optimizer state of ZeRO 1 or 2, so there is nothing to cut")
    counts = {len(ranks) for ranks in found.values()}
    if len(counts) > 1 or any(sorted(ranks) != list(range(len(ranks))) for ranks in found.values()):
        raise DamagedFileError(f"{folder}: optimizer states of some data-parallel ranks are missing")
    return {mp_rank: [ranks[at] for at in range(len(ranks))] for mp_rank, ranks in sorted(found.items())}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A flat tensor that lies in pieces: the numbers of one parameter group, without the padding at its end."""

    pieces: tuple[Any, ...]
    length: int

    def part(self, start: int, size: int) -> Any:
        """Elements start to start + size as a new tensor, zeros past the end. Reads no more of the files than that."""
        import torch

        first = self.pieces[0]
        result = torch.zeros(size, dtype=first.dtype)
        offset = 0
        for piece in self.pieces:
            begin = max(start, offset)
            end = min(start + size, offset + piece.numel(), self.length)
            if begin < end:
                result[begin - start : end - start] = piece.reshape(-1)[begin - offset : end - offset]
            offset += piece.numel()
        return result


def cut(length: int, dp_size: int) -> int:
    """Size of each of the equal pieces of a row."""
    alignment = _ALIGNMENT * dp_size
    return math.ceil(length / alignment) * alignment // dp_size


def _cut_rank(folder: Path, scratch: Path, mp_rank: str, paths: Sequence[Path], dp_size: int) -> None:
    import torch

    model_name = f"mp_rank_{mp_rank}_model_states.pt"
    model = _load(folder / model_name)
    whole = [_load(path) for path in paths]
    states = [value.get("optimizer_state_dict") or {} for value in whole]
    shapes: Any = model.get("param_shapes")
    refuse_what_cannot_be_cut(paths[0], states, shapes)
    lengths = [sum(math.prod(shape) for shape in group.values()) for group in shapes]
    prefix = "bf16_" if paths[0].name.startswith("bf16_") else ""
    for rank in range(dp_size):
        value = {**whole[0], "optimizer_state_dict": _state_of(rank, dp_size, states, shapes, lengths, paths[0])}
        torch.save(value, scratch / f"{prefix}zero_pp_rank_{rank}_mp_rank_{mp_rank}_optim_states.pt")
    torch.save({**model, "dp_world_size": dp_size}, scratch / model_name)


def _state_of(
    rank: int,
    dp_size: int,
    states: Sequence[Mapping[str, Any]],
    shapes: Sequence[Mapping[str, Sequence[int]]],
    lengths: Sequence[int],
    path: Path,
) -> dict[str, Any]:
    """The optimizer_state_dict of one new rank."""
    first = states[0]
    base = first["base_optimizer_state"]
    sizes = [cut(length, dp_size) for length in lengths]
    paddings = [
        size * dp_size - length if rank == dp_size - 1 else 0 for size, length in zip(sizes, lengths, strict=True)
    ]
    new_base: dict[str, Any] = {**base, "state": {}}
    rows = []
    for group, length in enumerate(lengths):
        masters = [state["single_partition_of_fp32_groups"][group] for state in states]
        old_size = cut(length, len(states))
        is_unpadded = masters[-1].numel() < old_size or old_size * len(states) == length
        if any(piece.numel() != old_size for piece in masters[:-1]) or sum(map(_numel, masters)) < length:
            raise DamagedFileError(
                f"{path}: the pieces of parameter group {group} have {[_numel(piece) for piece in masters]} numbers, "
                f"but {length:,} parameters in {len(states)} pieces make {old_size:,} each"
            )
        size = sizes[group]
        own = max(0, size - paddings[group]) if is_unpadded and keeps_no_padding(first) else size
        rows.append(Row(pieces=tuple(masters), length=length).part(rank * size, own))
        for parameter in base["param_groups"][group]["params"]:
            kept = [state["base_optimizer_state"]["state"].get(parameter, {}) for state in states]
            new_base["state"][parameter] = {
                key: Row(pieces=tuple(item[key] for item in kept), length=length).part(rank * size, size)
                if _numel(value) == old_size and getattr(value, "ndim", 0) == 1
                else value
                for key, value in kept[0].items()
            }
    return {
        **first,
        "base_optimizer_state": new_base,
        "single_partition_of_fp32_groups": rows,
        "group_paddings": paddings,
        "partition_count": [dp_size] * len(lengths),
        "param_slice_mappings": [
            slices(first, group, names, rank * size, size)
            for group, (names, size) in enumerate(zip(shapes, sizes, strict=True))
        ],
    }


def keeps_no_padding(state: Mapping[str, Any]) -> bool:
    """Whether the master weights are kept without their padding: so by ZeRO's optimizer, not by the one for bf16."""
    return "zero_stage" in state


def slices(
    state: Mapping[str, Any], group: int, names: Mapping[str, Sequence[int]], start: int, size: int
) -> dict[str, Any]:
    """Where each parameter's numbers lie in a piece, as DeepSpeed's tools read it."""
    kind = next((type(value) for found in state["param_slice_mappings"] for value in found.values()), None)
    result: dict[str, Any] = type(state["param_slice_mappings"][group])()
    offset = 0
    for name, shape in names.items():
        numel = math.prod(shape)
        begin, end = max(offset, start), min(offset + numel, start + size)
        if begin < end and kind is not None:
            result[name] = kind(numel=end - begin, start=begin - start)
        offset += numel
    return result


def refuse_what_cannot_be_cut(path: Path, states: Sequence[Mapping[str, Any]], shapes: Any) -> None:
    """Raises InputError where one rank's state is none of ZeRO 1 or 2, or is laid out in another way."""
    first = states[0]
    if int(first.get("zero_stage", 1)) > 2:
        raise InputError(f"{path}: ZeRO 3 keeps its parameters in pieces too, which this cannot cut")
    wanted = ("base_optimizer_state", "single_partition_of_fp32_groups", "param_slice_mappings")
    missing = [key for state in states for key in wanted if key not in state]
    if missing or not isinstance(shapes, list):
        raise InputError(f"{path}: this is no optimizer state of DeepSpeed's ZeRO 1 or 2 ({missing or 'param_shapes'})")
    if not isinstance(first["base_optimizer_state"], dict) or "state" not in first["base_optimizer_state"]:
        raise InputError(f"{path}: an elastic checkpoint: DeepSpeed loads it for any size itself (elastic_checkpoint)")
    if any(any(paddings) for paddings in first.get("param_alignment_paddings") or ()):
        raise InputError(f"{path}: its parameters are padded one by one (parameter_alignment), which this cannot cut")


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedFileError(f"{path}: this file of the checkpoint is missing")
    return load_pickled(path, deepspeed_classes(path))


def _numel(value: Any) -> int:
    return int(value.numel()) if hasattr(value, "numel") else -1


if __name__ == "__main__":
    sys.exit(main())
