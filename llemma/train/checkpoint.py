"""What the trainer saves, and how a run goes on from it.

step_00000100/model.safetensors       the weights, fp32, by Hugging Face's names
step_00000100/config.json             their Hugging Face configuration: the folder can be loaded as a model
step_00000100/optimizer.safetensors   `exp_avg.NAME`, `exp_avg_sq.NAME`, `step.NAME`; `rng.cpu` (and `rng.cuda`)
step_00000100/trainer.json            CheckpointFacts below
step_00000100/manifest.json           sizes and SHA-256 of all of these
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, write_json
from llemma.core.records import installed_versions
from llemma.train.engine import Engine, EngineName
from llemma.train.model.config import ModelConfig
from llemma.train.model.llama import Llama
from llemma.train.model.weights import write_model_config, write_tensors

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """trainer.json: where the run stood, and what it must be gone on with to give the same numbers."""

    stage: str
    iteration: int
    consumed_samples: int
    tokens: int
    seconds: float
    num_threads: int
    processes: list[int]  # data parallel, tensor parallel
    device: str
    data_fingerprint: str
    identity: dict[str, Any]
    guard: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that a checkpoint holds, copied: the run may go on while it is written."""

    weights: dict[str, torch.Tensor]
    config: ModelConfig
    optimizer: dict[str, torch.Tensor]
    facts: CheckpointFacts


def take_snapshot(model: Llama, optimizer: Engine, facts: CheckpointFacts) -> Snapshot | None:
    """A copy in the first process's memory, 12 bytes a parameter. All processes have to call it; others get None."""
    copied = optimizer.snapshot()
    if copied is None:
        return None
    weights, state = copied
    return Snapshot(weights=weights, config=model.config, optimizer=state | _random_states(), facts=facts)


def save_checkpoint(folder: Path, snapshot: Snapshot) -> None:
    """Writes all files of a checkpoint but its manifest into an empty folder."""
    write_tensors(snapshot.weights, folder / "model.safetensors")
    write_model_config(snapshot.config, folder)
    write_tensors(snapshot.optimizer, folder / "optimizer.safetensors")
    write_json(folder / "trainer.json", {"schema": SCHEMA, **dataclasses.asdict(snapshot.facts)})


def read_facts(folder: Path) -> CheckpointFacts:
    """The facts of a checkpoint. Raises DamagedFileError where they are not what this version writes."""
    path = folder / "trainer.json"
    value = read_json(path)
    fields = {field.name for field in dataclasses.fields(CheckpointFacts)}
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or value.keys() != fields | {"schema"}:
        raise DamagedFileError(f"{path}: this is not a checkpoint of this version of the trainer")
    return CheckpointFacts(**{name: value[name] for name in fields})


def restore_state(folder: Path, optimizer: Engine, *, with_random_state: bool = True) -> None:
    """Takes up the optimizer's state and the random numbers' of a checkpoint; the weights are already in the model."""
    path = folder / "optimizer.safetensors"
    optimizer.restore(path)
    if not with_random_state:
        return
    with safe_open(path, framework="pt") as file:
        torch.set_rng_state(file.get_tensor("rng.cpu"))
        if "rng.cuda" in file.keys() and torch.cuda.is_available():  # noqa: SIM118 - no mapping
            torch.cuda.set_rng_state(file.get_tensor("rng.cuda"))


def _random_states() -> dict[str, torch.Tensor]:
    states = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["rng.cuda"] = torch.cuda.get_rng_state()
    return states


def check_same_run(folder: Path, facts: CheckpointFacts, identity: dict[str, Any], fingerprint: str) -> None:
    """Raises InputError where a checkpoint was made with other settings or other data than are asked for now."""
    stored = facts.identity
    changed = [
        f"{key} was {stored.get(key)!r}, is now {identity.get(key)!r}"
        for key in sorted(stored.keys() | identity.keys())
        if stored.get(key) != identity.get(key)
    ]
    if facts.data_fingerprint != fingerprint:
        changed.append("the training data (paths aside: their contents, weights, order or number of samples)")
    if changed:
        listed = "\n".join(f"  {item}" for item in changed)
        raise InputError(
            f"{folder}: was made with other settings, so that going on from it would not be the same run:\n{listed}\n"
            "put them back, or plan a new run that begins with this checkpoint"
        )


def this_version(engine: EngineName) -> dict[str, str]:
    """Versions that the numbers of a run depend on."""
    packages = ("torch", "safetensors", "numpy", "llemma")
    return installed_versions((*packages, "deepspeed") if engine == "deepspeed" else packages)
