"""GPT-NeoX checkpoints (pipe_parallel_size 0): one torch file per tensor-parallel rank, mapped, never read whole.

FOLDER/latest                                           name of the newest step folder
FOLDER/global_stepN/mp_rank_RR_model_states.pt          {"module": {name: tensor}, ...} of rank RR
FOLDER/global_stepN/configs/*.yml                       the configuration it was trained with (written by NeoX)
and, where `llemma convert` wrote it:
FOLDER/neox_model.yml                                   the NeoX keys that the weights depend on
FOLDER/hf/                                              config.json and tokenizer files of the Hugging Face model
FOLDER/conversion.json                                  the record
"""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.checkpoint.architecture import Architecture, architecture_from_neox
from llemma.checkpoint.mapping import ROTARY_BUFFER, Layout, Rule, rules_of
from llemma.checkpoint.pickles import load_pickled
from llemma.checkpoint.tensors import DTYPES, TensorFacts, check_rotary_buffer, dtype_name, refuse
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import write_text
from llemma.neox.saved_keys import MODEL_NAME, read_keys, saved_keys

if TYPE_CHECKING:
    import torch

LATEST_NAME = "latest"
HF_FOLDER = "hf"
FIRST_STEP = "global_step0"
_RANK_FILE = re.compile(r"^mp_rank_(\d{2,})_model_states\.pt$")
_STEP_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")
_MISFIT = "the tensors do not fit the configuration"
_EMBEDDING = "sequential.0.word_embeddings.weight"


def find_step(folder: Path, step: str | None) -> Path:
    """The step folder to read: `step` if given, the folder itself if it holds rank files, else what `latest` names."""
    if step is None and _rank_numbers(folder):
        return folder
    if step is None:
        latest = folder / LATEST_NAME
        if not latest.is_file():
            raise InputError(
                f"{folder}: has no file '{LATEST_NAME}' that names a step and no mp_rank_00_model_states.pt, "
                "so this is no checkpoint of GPT-NeoX"
            )
        step = latest.read_text(encoding="utf-8", errors="replace")[:200].strip()
        if not _STEP_NAME.match(step):
            raise DamagedFileError(f"{latest}: holds {step!r}, which is no name of a step folder")
    elif step.isdigit():
        step = f"global_step{step}"
    if not _STEP_NAME.match(step):
        raise InputError(f"the step {step!r} is no name of a folder, such as global_step42000")
    path = folder / step
    if not path.is_dir():
        steps = sorted(item.name for item in folder.glob("global_step*") if item.is_dir())
        raise InputError(f"{path}: there is no such folder (there is: {', '.join(steps) or 'no step at all'})")
    if not _rank_numbers(path):
        layered = any(path.glob("layer_*-model_states.pt"))
        reason = (
            "it was saved with pipe_parallel_size above 0: load and save it once with pipe_parallel_size 0"
            if layered
            else "the checkpoint is not complete"
        )
        raise InputError(f"{path}: holds no mp_rank_00_model_states.pt: {reason}")
    return path


def _rank_numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(match.group(1)) for path in folder.iterdir() if (match := _RANK_FILE.match(path.name)))


def read_neox_values(folder: Path, step: Path, config: Path | None) -> tuple[dict[str, Any], str]:
    """NeoX keys (underscores) of a checkpoint and the place they come from.

    Taken from `config` if given, else from what lies beside the weights.
    Raises InputError if there is none, or if two saved files contradict each other.
    """
    if config is not None:
        return read_keys(config), str(config)
    found = saved_keys(folder, step)
    if found is not None:
        return found
    raise InputError(
        f"{folder}: nothing tells the model's configuration (neither {step.name}/configs nor {MODEL_NAME}): "
        "name the neox.yml that it was trained with: --config neox.yml"
    )


class NeoxSource:
    """The rank files of one step, seen as Hugging Face tensors."""

    def __init__(self, folder: Path, step: Path, values: dict[str, Any], place: str, vocab_size: int | None) -> None:
        self.place = step
        ranks = _rank_numbers(step)
        if ranks != list(range(len(ranks))):
            missing = min(set(range(max(ranks) + 1)) - set(ranks))
            raise InputError(f"{step}: mp_rank_{missing:02d}_model_states.pt is missing, but later ranks are there")
        self._modules = [self._load(rank, len(ranks)) for rank in ranks]
        if not isinstance(values.get("model_parallel_size", len(ranks)), int):
            raise InputError(f"{place}: 'model_parallel_size' is {values['model_parallel_size']!r}, not a whole number")
        if values.get("model_parallel_size", len(ranks)) != len(ranks):
            raise InputError(
                f"{place}: 'model_parallel_size' is {values['model_parallel_size']}, but {step} holds {len(ranks)} "
                "rank files: one is missing, or this is the configuration of another checkpoint"
            )
        embedding = self._modules[0].get(_EMBEDDING)
        if embedding is None or embedding.dim() != 2:
            raise InputError(
                f"{step}: rank 0 has no {_EMBEDDING}: this is no checkpoint of pipe_parallel_size 0, or one of ZeRO "
                "stage 3, which keeps the weights elsewhere"
            )
        rows = embedding.shape[0] * len(ranks)
        if vocab_size is not None and vocab_size > rows:
            raise InputError(f"{step}: has {rows} vocabulary rows, fewer than the vocabulary's {vocab_size}")
        self.architecture: Architecture = architecture_from_neox(values, place, vocab_size or rows)
        self.layout = Layout(architecture=self.architecture, tensor_parallel=len(ranks), rows=rows)
        refuse(step, "the configuration cannot be that of this checkpoint", self.layout.problems(), f"Check {place}.")
        self._rules: dict[str, tuple[Rule, int]] = {}
        self.averaged: dict[str, float] = {}
        """Tensors that every rank has whole and that differ among the ranks, and by how much; they are averaged."""

    def facts(self) -> list[TensorFacts]:
        """All tensors in the model's order. Raises InputError listing all that are missing, extra or misshapen."""
        problems: list[str] = []
        facts: list[TensorFacts] = []
        left = [set(module) for module in self._modules]
        for rule in rules_of(self.architecture):
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
                    found = list(tensor.shape)
                    problems.append(f"{where}: shape {found}, but the configuration makes it {list(shape)}")
            if len(dtypes) > 1 or not dtypes <= set(DTYPES):
                problems.append(
                    f"{rule.name}: of type {' and '.join(sorted(dtypes))}, but only one of {DTYPES} is read"
                )
            if problems:
                continue
            for number, part in enumerate(rule.parts):
                self._rules[part.name] = (rule, number)
                facts.append(TensorFacts(name=part.name, shape=self.layout.hf_shape(part), dtype=next(iter(dtypes))))
        for rank, names in enumerate(left):
            for name in sorted(names):
                if ROTARY_BUFFER.search(name):
                    check_rotary_buffer(self._modules[rank][name], self.architecture, f"{self.place}: {name}")
                else:
                    problems.append(f"{name} of rank {rank}: not a tensor of this model")
        refuse(self.place, _MISFIT, problems, "Check the configuration (--config), or take another step (--step).")
        return facts

    def read(self, name: str) -> torch.Tensor:
        """One whole tensor, put together from all ranks."""
        import torch

        rule, number = self._rules[name]
        shards = [module[rule.name] for module in self._modules]
        if rule.split is None:
            return self._common(name, shards)
        whole = torch.empty(self.layout.hf_shape(rule.parts[number]), dtype=shards[0].dtype)
        for rank, shard in enumerate(shards):
            theirs, ours = self.layout.pairs(rule, number, rank, whole, shard)
            theirs.copy_(ours)
        return whole

    def _common(self, name: str, shards: list[torch.Tensor]) -> torch.Tensor:
        """A tensor that every rank has whole: rank 0's, or the mean where training let them drift apart."""
        import torch

        if all(torch.equal(shards[0], shard) for shard in shards[1:]):
            return shards[0]
        stacked = torch.stack([shard.float() for shard in shards])
        mean = stacked.mean(dim=0)
        self.averaged[name] = float((stacked - mean).abs().max())
        return mean.to(shards[0].dtype)

    def _load(self, rank: int, num_ranks: int) -> dict[str, torch.Tensor]:
        import torch

        path = self.place / f"mp_rank_{rank:02d}_model_states.pt"
        value = load_pickled(path)
        module = value.get("module")
        size = value.get("mp_world_size")
        if isinstance(size, int) and size != num_ranks:
            raise InputError(
                f"{path}: was saved with {size} tensor-parallel ranks, but {num_ranks} rank files are here"
            )
        if not isinstance(module, dict) or not module:
            raise InputError(
                f"{path}: has no weights under 'module' (a checkpoint of ZeRO stage 3 keeps them elsewhere)"
            )
        for name, tensor in module.items():
            if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
                raise DamagedFileError(f"{path}: 'module' holds {name!r}, which is no tensor")
        return {name: tensor.contiguous() for name, tensor in module.items()}


class NeoxSink:
    """Rank files made at their full size first and then filled in place, tensor by tensor, through a shared mapping.

    Nothing but the tensor at hand is in the process's own memory. The trick: `torch.save` inside
    `torch.serialization.skip_data` leaves room for the values, `torch.load(mmap=True)` with MAP_SHARED maps them.
    """

    def __init__(
        self, folder: Path, facts: list[TensorFacts], layout: Layout, values: dict[str, Any], step: str = FIRST_STEP
    ) -> None:
        import torch

        self._layout = layout
        self._rules = {
            part.name: (rule, number)
            for rule in rules_of(layout.architecture)
            for number, part in enumerate(rule.parts)
        }
        dtypes = {fact.name: getattr(torch, fact.dtype) for fact in facts}
        problems = [
            f"{rule.name}: made of tensors of different types"
            for rule in rules_of(layout.architecture)
            if len({dtypes[part.name] for part in rule.parts}) > 1
        ]
        refuse(folder, "tensors of several types", problems, "GPT-NeoX keeps each of these as one: convert the model.")
        self._step = folder / step
        self._step.mkdir(parents=True)
        self._paths = [self._step / f"mp_rank_{rank:02d}_model_states.pt" for rank in range(layout.tensor_parallel)]
        self._modules = [self._make_room(path, dtypes, values) for path in self._paths]
        self._folder = folder
        for rule in rules_of(layout.architecture):
            for rank, module in enumerate(self._modules):
                layout.padding(rule, rank, module[rule.name]).zero_()

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Copies one tensor to its places on all ranks."""
        rule, number = self._rules[name]
        for rank, module in enumerate(self._modules):
            ours, theirs = self._layout.pairs(rule, number, rank, tensor, module[rule.name])
            theirs.copy_(ours)

    def close(self) -> None:
        """Puts the files on the disk; `latest` comes last."""
        self._modules = []
        for path in self._paths:
            with open(path, "r+b") as file:
                os.fsync(file.fileno())
        write_text(self._folder / LATEST_NAME, self._step.name)

    def _make_room(self, path: Path, dtypes: dict[str, Any], values: dict[str, Any]) -> dict[str, torch.Tensor]:
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode():
            module = {
                rule.name: torch.empty(self._layout.rank_shape(rule), dtype=dtypes[rule.parts[0].name])
                for rule in rules_of(self._layout.architecture)
            }
        state = {
            "module": module,
            "dp_world_size": 1,
            "mp_world_size": self._layout.tensor_parallel,
            "optimizer": {},
            "global_steps": 0,
            "global_samples": 0,
            "skipped_steps": 0,
            "iteration": 0,
            # NeoX refuses to load where these differ from its own configuration; the RoPE base it would not miss.
            "args": {key: values[key] for key in _CHECKED_BY_NEOX if key in values},
        }
        with torch.serialization.skip_data(materialize_fake_tensors=True):
            torch.save(state, path)
        # A write into a hole of a mapped file on a full disk kills the process; taking the room now is an error.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
            mapped: dict[str, torch.Tensor] = torch.load(path, mmap=True, weights_only=True)["module"]
        return mapped


_CHECKED_BY_NEOX = (
    "num_layers",
    "hidden_size",
    "num_attention_heads",
    "num_kv_heads",
    "intermediate_size",
    "rotary_emb_base",
    "rms_norm_epsilon",
    "no_weight_tying",
    "padded_vocab_size",
    "model_parallel_size",
)
