"""Checkpoints in one torch file per tensor-parallel rank, as GPT-NeoX and Meta write them: mapped, never read whole.

What stands where in them is mapping.py's; what else the files hold is told by neox_files.py and meta_files.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.checkpoint.mapping import ROTARY_BUFFER, Layout, Rule
from llemma.checkpoint.pickles import load_pickled, make_torch_file
from llemma.checkpoint.tensors import DTYPES, TensorFacts, check_rotary_buffer, dtype_name, refuse
from llemma.core.errors import DamagedFileError

if TYPE_CHECKING:
    import torch

_MISFIT = "the tensors do not fit the configuration"
_CHUNK_ROWS = 4096


class RankSource:
    """The rank files of one checkpoint, seen as Hugging Face tensors."""

    def __init__(self, place: Path, modules: Sequence[Mapping[str, torch.Tensor]], layout: Layout, config: str) -> None:
        self.place = place
        self.layout = layout
        self.architecture = layout.architecture
        self.averaged: dict[str, float] = {}
        """Tensors that every rank has whole and that differ among the ranks, and by how much; they are averaged."""
        self._modules = modules
        refuse(place, "the configuration cannot be that of this checkpoint", layout.problems(), f"Check {config}.")
        self._rules: dict[str, tuple[Rule, int]] = {}

    def facts(self) -> list[TensorFacts]:
        """All tensors in the model's order. Raises InputError listing all that are missing, extra or misshapen."""
        problems: list[str] = []
        facts: list[TensorFacts] = []
        again: list[tuple[str, Rule]] = []
        left = [set(module) for module in self._modules]
        for rule in self.layout.rules():
            dtypes = self._check(rule, left, problems)
            if problems:
                continue
            for number, part in enumerate(rule.parts):
                if part.name in self._rules:
                    again.append((part.name, rule))
                    continue
                self._rules[part.name] = (rule, number)
                facts.append(TensorFacts(name=part.name, shape=self.layout.hf_shape(part), dtype=next(iter(dtypes))))
        for rank, names in enumerate(left):
            for name in sorted(names):
                if ROTARY_BUFFER.search(name):
                    check_rotary_buffer(self._modules[rank][name], self.architecture, f"{self.place}: {name}")
                else:
                    problems.append(f"{name} of rank {rank}: not a tensor of this model")
        for name, rule in again if not problems else ():
            self._check_tied(name, rule, problems)
        refuse(self.place, _MISFIT, problems, "Check the configuration (--config), or take another step (--step).")
        return facts

    def read(self, name: str, room: torch.Tensor) -> torch.Tensor:
        """One whole tensor, put together from all ranks in `room`."""
        rule, number = self._rules[name]
        if rule.split is None:
            return self._common(name, [module[rule.name] for module in self._modules])
        for rank, module in enumerate(self._modules):
            theirs, ours = self.layout.pairs(rule, number, rank, room, module[rule.name])
            theirs.copy_(ours)
        return room

    def _check(self, rule: Rule, left: list[set[str]], problems: list[str]) -> set[str]:
        """Types of one tensor's parts on the ranks; what is wrong with it goes to `problems`."""
        shape = self.layout.rank_shape(rule)
        dtypes = set()
        for rank, module in enumerate(self._modules):
            where = rule.name if len(self._modules) == 1 else f"{rule.name} of rank {rank}"
            if rule.name not in module:
                problems.append(f"{where}: missing")
                continue
            left[rank].discard(rule.name)
            tensor = module[rule.name]
            dtypes.add(dtype_name(tensor.dtype))
            if tuple(tensor.shape) != shape:
                problems.append(f"{where}: shape {list(tensor.shape)}, but the configuration makes it {list(shape)}")
        if len(dtypes) > 1 or not dtypes <= set(DTYPES):
            problems.append(f"{rule.name}: of type {' and '.join(sorted(dtypes))}, but only one of {DTYPES} is read")
        return dtypes

    def _check_tied(self, name: str, rule: Rule, problems: list[str]) -> None:
        """Meta's files hold an output layer also where it is the embedding; it must be the same then."""
        import torch

        first, _ = self._rules[name]
        for start in range(0, self.architecture.vocab_size, _CHUNK_ROWS):
            pieces = [self._rows(some, [m[some.name] for m in self._modules], start) for some in (first, rule)]
            if not torch.equal(*pieces):
                problems.append(f"{rule.name}: differs from {first.name}, but the model is said to be tied")
                return

    @staticmethod
    def _rows(rule: Rule, shards: list[torch.Tensor], start: int) -> torch.Tensor:
        import torch

        if rule.split == 1:
            return torch.cat([shard[start : start + _CHUNK_ROWS] for shard in shards], dim=1)
        length = shards[0].shape[0]
        wanted = range(start, min(start + _CHUNK_ROWS, length * len(shards)))
        pieces = [
            shard[max(wanted.start - rank * length, 0) : max(wanted.stop - rank * length, 0)]
            for rank, shard in enumerate(shards)
        ]
        return torch.cat(pieces)

    def _common(self, name: str, shards: list[torch.Tensor]) -> torch.Tensor:
        """A tensor that every rank has whole: rank 0's, or the mean where training let them drift apart."""
        import torch

        if all(torch.equal(shards[0], shard) for shard in shards[1:]):
            return shards[0]
        stacked = torch.stack([shard.float() for shard in shards])
        mean = stacked.mean(dim=0)
        self.averaged[name] = float((stacked - mean).abs().max())
        return mean.to(shards[0].dtype)


def load_module(path: Path, value: dict[str, Any], what: str) -> dict[str, torch.Tensor]:
    """The tensors by name in a loaded torch file. Raises DamagedFileError where something else stands among them."""
    import torch

    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise DamagedFileError(f"{path}: {what} holds {name!r}, which is no tensor")
    return {name: tensor.contiguous() for name, tensor in value.items()}


def places(layout: Layout) -> dict[str, list[tuple[Rule, int]]]:
    """Each Hugging Face tensor's places in the rank files: the rule, and which part of it the tensor is."""
    found: dict[str, list[tuple[Rule, int]]] = {}
    for rule in layout.rules():
        for number, part in enumerate(rule.parts):
            found.setdefault(part.name, []).append((rule, number))
    return found


def spread(
    layout: Layout, where: list[tuple[Rule, int]], tensor: torch.Tensor, modules: Sequence[Mapping[str, torch.Tensor]]
) -> None:
    """Copies one Hugging Face tensor to its places on all ranks."""
    for rule, number in where:
        for rank, module in enumerate(modules):
            ours, theirs = layout.pairs(rule, number, rank, tensor, module[rule.name])
            theirs.copy_(ours)


class RankSink:
    """Rank files made at their full size first and then filled in place, tensor by tensor, through a shared mapping.

    Nothing of the tensors is in the process's own memory. The trick: `torch.save` in `torch.serialization.skip_data`
    leaves room for the values, `torch.load(mmap=True)` with MAP_SHARED maps them. `around` gives what each file holds
    besides the weights; with `key` the weights are one entry of it, without they are the whole file.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        facts: list[TensorFacts],
        layout: Layout,
        around: Sequence[dict[str, Any]],
        key: str | None,
    ) -> None:
        import torch

        self._layout = layout
        self._paths = list(paths)
        self._around, self._key = around, key
        self._rules = places(layout)
        self._dtypes = {fact.name: getattr(torch, fact.dtype) for fact in facts}
        self._modules: list[dict[str, torch.Tensor]] = []

    def problems(self) -> list[str]:
        """Tensors that the target keeps as one but that come in several types, in words."""
        return [
            f"{rule.name}: made of tensors of different types"
            for rule in self._layout.rules()
            if len({self._dtypes[part.name] for part in rule.parts}) > 1
        ]

    def make_room(self) -> None:
        """Makes the files, at their full size, with rows of padding as zeros."""
        import torch

        module = {
            rule.name: torch.empty(self._layout.rank_shape(rule), dtype=self._dtypes[rule.parts[0].name], device="meta")
            for rule in self._layout.rules()
        }
        for path, around in zip(self._paths, self._around, strict=True):
            make_torch_file(path, module if self._key is None else {self._key: module, **around})

    def open(self) -> None:
        """Maps the files that make_room made."""
        loaded = [load_pickled(path, is_shared=True) for path in self._paths]
        self._modules = [value[self._key] if self._key is not None else value for value in loaded]

    def place(self, fact: TensorFacts) -> torch.Tensor | None:
        """None: a tensor lies in these files in several pieces."""
        return None

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Copies one tensor to its places on all ranks."""
        spread(self._layout, self._rules[name], tensor, self._modules)

    def sync(self) -> None:
        """Puts what was written so far on the disk."""
        for path in self._paths:
            with open(path, "r+b") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """Completes the files, on the disk."""
        self._modules = []
        self.sync()
