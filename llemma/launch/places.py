"""Where a launch keeps its files, and how far a stage has come by what lies on the disk.

RUN/launch/jobs.json             what was submitted to Slurm, see llemma.launch.submission
RUN/launch/NN-name.json          the ticket of a stage: all that its job needs to know (Ticket below)
RUN/launch/NN-name.sbatch        its batch script
RUN/launch/attempts.jsonl        a line when an attempt at a stage begins and one when it ends (llemma.launch.attempts)
RUN/launch/logs/NN-name-JOB.log  what a job printed
RUN/launch/checks/NN-name-JOB-R/ what each node found before the job's start number R, one JSON file a node
RUN/launch/layouts/NN-name-P/    neox.yml and stage.json for P processes, where fewer nodes came than were planned
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Literal

import pydantic

from llemma.core.config import Config
from llemma.core.schemas import read_model, write_model
from llemma.guard.checkpoints import EMBEDDED_NAMES, NEOX_NAMES, candidates

Engine = Literal["embedded", "neox"]
DataCheck = Literal["sizes", "sampled", "full"]


class Ticket(Config):
    """All that a stage's job needs to know; absolute paths."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    run: str
    stage: str  # "01-math"
    engine: Engine
    python: str  # the one that trains
    neox_dir: str | None = None
    repairs: tuple[str, ...] = ()
    start_from: str | None = None  # the folder of checkpoints of the stage that it starts from
    backend: str  # nccl | gloo
    nodes: int
    min_nodes: int  # with so few it goes on
    processes_per_node: int
    cpus_per_process: int | None = None
    requeue: bool = True
    preflight_only: bool = False
    data_check: DataCheck = "sampled"
    network_timeout_s: int = 120
    save_within_s: int = 570  # after the signal before the job's time is over

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, path: str | Path) -> Ticket:
        """Reads and checks a ticket."""
        return read_model(path, cls)

    def write(self, path: str | Path) -> None:
        """Writes a ticket."""
        write_model(path, self)


def quoted(run: Path) -> str:
    """A path as a shell wants it, for commands that a message shows."""
    return shlex.quote(os.fspath(run))


def launch_folder(run: Path) -> Path:
    """The folder of a run's launches."""
    return run / "launch"


def checkpoints_folder(run: Path, stage: str) -> Path:
    """The folder of a stage's checkpoints."""
    return run / "train" / stage / "checkpoints"


def saved_checkpoint(run: Path, stage: str) -> tuple[int, Path] | None:
    """Iteration and folder of the checkpoint that a stage would go on from, None where there is none.

    Its bytes are not looked at.
    """
    root = checkpoints_folder(run, stage)
    for names in (NEOX_NAMES, EMBEDDED_NAMES):
        # NeoX's `latest` is the only word for a checkpoint that is whole: a folder without it may be half written.
        if names is NEOX_NAMES and not (root / "latest").is_file():
            continue
        found = candidates(root, names)
        if found:
            return found[0]
    return None


def saved_iteration(run: Path, stage: str) -> int:
    """The iteration that a stage would go on from; 0 at its beginning."""
    found = saved_checkpoint(run, stage)
    return found[0] if found else 0


def is_finished(run: Path, stage: str, iterations: int) -> bool:
    """Whether a stage has come to its end: its last checkpoint is there, and the trainer has said so."""
    found = saved_checkpoint(run, stage)
    if found is None or found[0] < iterations:
        return False
    is_embedded = EMBEDDED_NAMES.match(found[1].name) is not None
    return not is_embedded or (run / "train" / stage / "record.json").is_file()
