"""GPT-NeoX checkpoints (pipe_parallel_size 0): their folders and what their rank files hold.

FOLDER/latest                                           name of the newest step folder
FOLDER/global_stepN/mp_rank_RR_model_states.pt          {"module": {name: tensor}, ...} of rank RR
FOLDER/global_stepN/configs/*.yml                       the configuration it was trained with (written by NeoX)
and, where `llemma convert` wrote it:
FOLDER/neox_model.yml                                   the NeoX keys that the weights depend on
FOLDER/hf/                                              config.json and tokenizer files of the Hugging Face model
FOLDER/conversion.json                                  the record
FOLDER/global_stepN/manifest.json                       size and SHA-256 of the step's files (llemma.guard.manifest)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llemma.checkpoint.architecture import architecture_from_neox
from llemma.checkpoint.mapping import Layout
from llemma.checkpoint.pickles import load_pickled
from llemma.checkpoint.rank_files import RankSink, RankSource, load_module
from llemma.checkpoint.tensors import TensorFacts
from llemma.core.errors import DamagedFileError, InputError
from llemma.neox.saved_keys import MODEL_NAME, read_keys, saved_keys

if TYPE_CHECKING:
    import torch

LATEST_NAME = "latest"
HF_FOLDER = "hf"
FIRST_STEP = "global_step0"
_RANK_FILE = re.compile(r"^mp_rank_(\d{2,})_model_states\.pt$")
_STEP_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")
_EMBEDDING = "sequential.0.word_embeddings.weight"


def find_step(folder: Path, step: str | None) -> Path:
    """The step folder to read: `step` if given, the folder itself if it holds rank files, else what `latest` names."""
    if step is None and _rank_numbers(folder):
        return folder
    if step is None:
        latest = folder / LATEST_NAME
        steps = _steps(folder)
        if not latest.is_file() and steps:
            raise InputError(f"{latest}: there is no such file: name the step with --step (there is: {steps})")
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
        raise InputError(f"{path}: there is no such folder (there is: {_steps(folder) or 'no step at all'})")
    if not _rank_numbers(path):
        layered = any(path.glob("layer_*-model_states.pt"))
        reason = (
            "it was saved with pipe_parallel_size above 0: load and save it once with pipe_parallel_size 0"
            if layered
            else "the checkpoint is not complete"
        )
        raise InputError(f"{path}: holds no mp_rank_00_model_states.pt: {reason}")
    return path


def _steps(folder: Path) -> str:
    """Names of the step folders, for a person."""
    return ", ".join(sorted(item.name for item in folder.glob("global_step*") if item.is_dir()))


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


class NeoxSource(RankSource):
    """The rank files of one step, seen as Hugging Face tensors."""

    layout_name: Literal["neox"] = "neox"

    def __init__(self, folder: Path, step: Path, values: dict[str, Any], place: str, vocab_size: int | None) -> None:
        ranks = _rank_numbers(step)
        if ranks != list(range(len(ranks))):
            missing = min(set(range(max(ranks) + 1)) - set(ranks))
            raise InputError(f"{step}: mp_rank_{missing:02d}_model_states.pt is missing, but later ranks are there")
        loaded = [_load(step / rank_file_name(rank), len(ranks)) for rank in ranks]
        modules = [module for module, _ in loaded]
        self.values = values
        """NeoX's keys of the checkpoint."""
        self.rank_states = [state for _, state in loaded]
        """What the rank files hold besides the weights."""
        self.optimizer_files = _optimizer_files(step, self.rank_states)
        """The files that hold the optimizer's state: ZeRO's own, or the rank files themselves."""
        if not isinstance(values.get("model_parallel_size", len(ranks)), int):
            raise InputError(f"{place}: 'model_parallel_size' is {values['model_parallel_size']!r}, not a whole number")
        if values.get("model_parallel_size", len(ranks)) != len(ranks):
            raise InputError(
                f"{place}: 'model_parallel_size' is {values['model_parallel_size']}, but {step} holds {len(ranks)} "
                "rank files: one is missing, or this is the configuration of another checkpoint"
            )
        embedding = modules[0].get(_EMBEDDING)
        if embedding is None or embedding.dim() != 2:
            raise InputError(
                f"{step}: rank 0 has no {_EMBEDDING}: this is no checkpoint of pipe_parallel_size 0, or one of ZeRO "
                "stage 3, which keeps the weights elsewhere"
            )
        rows = embedding.shape[0] * len(ranks)
        if vocab_size is not None and vocab_size > rows:
            raise InputError(f"{step}: has {rows} vocabulary rows, fewer than the vocabulary's {vocab_size}")
        architecture = architecture_from_neox(values, place, vocab_size or rows)
        super().__init__(step, modules, Layout(architecture=architecture, tensor_parallel=len(ranks), rows=rows), place)


def _optimizer_files(step: Path, rank_states: list[dict[str, Any]]) -> list[Path]:
    inside = [step / rank_file_name(rank) for rank, state in enumerate(rank_states) if state.get("optimizer")]
    return sorted(step.glob("*optim_states.pt")) or inside


def rank_file_name(rank: int) -> str:
    """Name of the file of one tensor-parallel rank."""
    return f"mp_rank_{rank:02d}_model_states.pt"


def _load(path: Path, num_ranks: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights of one rank, and what lies with them."""
    value = load_pickled(path)
    module = value.get("module")
    size = value.get("mp_world_size")
    if isinstance(size, int) and size != num_ranks:
        raise InputError(f"{path}: was saved with {size} tensor-parallel ranks, but {num_ranks} rank files are here")
    if not isinstance(module, dict) or not module:
        raise InputError(f"{path}: has no weights under 'module' (a checkpoint of ZeRO stage 3 keeps them elsewhere)")
    return load_module(path, module, "'module'"), {key: item for key, item in value.items() if key != "module"}


def neox_sink(
    folder: Path, facts: list[TensorFacts], layout: Layout, values: dict[str, Any], around: list[dict[str, Any]]
) -> RankSink:
    """The rank files of a checkpoint, in its step's folder."""
    paths = [folder / rank_file_name(rank) for rank in range(layout.tensor_parallel)]
    return RankSink(paths, facts, layout, around or [_untrained(layout, values)] * len(paths), "module")


def _untrained(layout: Layout, values: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the weights of a checkpoint that has seen no training here."""
    return {
        "dp_world_size": 1,
        "mp_world_size": layout.tensor_parallel,
        "optimizer": {},
        "global_steps": 0,
        "global_samples": 0,
        "skipped_steps": 0,
        "iteration": 0,
        # NeoX refuses to load where these differ from its own configuration; the RoPE base it would not miss.
        "args": {key: values[key] for key in _CHECKED_BY_NEOX if key in values},
    }


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
