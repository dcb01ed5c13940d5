"""Job arrays of a build: their options, their scripts, and what is written down of those that were submitted.

OUT/steps/slurm/<job id>.json    {step: folder name, numbers: [[task numbers] of each element], keys: [[task keys]]}
                                 while the job lives: a driver that is begun again finds its jobs by it
<step>/logs/<job id>_<index>.log what an element printed
<step>/logs/<task key>.failure.json   why a task failed, until the driver has read it
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.errors import LlemmaError
from llemma.core.files import read_json, stable_hash, write_json
from llemma.core.steps import LOGS, StepDirectory
from proof_pile.build.engines.failures import Failure

MAX_ELEMENTS = 1000  # of one array, where Slurm would take more: a script stays small
AUTO_ELEMENTS = 1000  # a stage is cut into about so many jobs where --slurm-tasks-per-job is not given
TAIL_BYTES = 4000
TAIL_LINES = 8


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What Slurm is asked for, for each job; None leaves it to the cluster."""

    partition: str | None = None
    account: str | None = None
    time: str | None = None
    memory: str | None = None
    cpus: int = 1
    tasks_per_job: int | None = None
    max_running: int | None = None
    setup: str = ""
    extra: str = ""
    poll_s: float | None = None

    def arguments(self) -> list[str]:
        """As options of sbatch."""
        named = {"partition": self.partition, "account": self.account, "time": self.time, "mem": self.memory}
        arguments = [f"--{name}={value}" for name, value in named.items() if value is not None]
        return [*arguments, f"--cpus-per-task={self.cpus}", *shlex.split(self.extra)]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """An array that was submitted: its step, and the numbers and keys of the tasks of each of its elements."""

    step: str
    numbers: tuple[tuple[int, ...], ...]
    keys: tuple[tuple[str, ...], ...]

    def write(self, folder: Path, job_id: str) -> None:
        """Writes it down, for a later driver."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{job_id}.json", {"step": self.step, "numbers": self.numbers, "keys": self.keys})

    @classmethod
    def read(cls, folder: Path, job_id: str) -> Submission | None:
        """What was written down of a job, None where nothing (or nonsense) was."""
        try:
            value: Any = read_json(folder / f"{job_id}.json")
            return cls(
                step=str(value["step"]),
                numbers=tuple(tuple(int(number) for number in element) for element in value["numbers"]),
                keys=tuple(tuple(str(key) for key in element) for element in value["keys"]),
            )
        except (LlemmaError, OSError, TypeError, KeyError, ValueError):
            return None


def job_name(out: Path) -> str:
    """The name of all Slurm jobs of a build: by it a later driver finds them."""
    return f"proof-pile-{stable_hash(str(out))[:12]}"


def split_tasks(numbers: Sequence[int], options: SlurmOptions, max_elements: int) -> Iterator[list[tuple[int, ...]]]:
    """The tasks in arrays of elements of one or several tasks each."""
    per_job = options.tasks_per_job or -(-len(numbers) // AUTO_ELEMENTS)
    elements = [tuple(numbers[first : first + per_job]) for first in range(0, len(numbers), per_job)]
    size = min(max_elements, MAX_ELEMENTS)
    for first in range(0, len(elements), size):
        yield elements[first : first + size]


def array_script(directory: StepDirectory, elements: Sequence[Sequence[int]], setup: str) -> str:
    """The script of an array: one command line, whose task numbers follow from the element's index.

    The numbers stand in the script, which Slurm brings to the node itself: no file has to become visible there.
    """
    words = [sys.executable, "-m", "proof_pile.build", "task", str(directory.path)]
    numbers = " ".join(f'"{" ".join(map(str, element))}"' for element in elements)
    lines = [
        "#!/bin/bash",
        f"numbers=({numbers})",
        *([setup] if setup else []),
        f"exec {' '.join(map(shlex.quote, words))} ${{numbers[$SLURM_ARRAY_TASK_ID]}}",
    ]
    return "\n".join(lines) + "\n"


def array_arguments(
    directory: StepDirectory, elements: Sequence[Sequence[int]], options: SlurmOptions, name: str
) -> list[str]:
    """The options of sbatch for an array.  What a person gives comes last, and so wins."""
    limit = f"%{options.max_running}" if options.max_running else ""
    folder = str(directory.path / LOGS).replace("%", "%%")
    return [
        f"--job-name={name}",
        f"--array=0-{len(elements) - 1}{limit}",
        f"--output={folder}/%A_%a.log",
        "--open-mode=append",
        "--export=ALL",
        f"--comment={directory.step.name}",
        "--no-requeue",  # what is lost is submitted again by us, at once: Slurm lets it wait for two minutes
        *options.arguments(),
    ]


def failure_file(directory: StepDirectory, number: int) -> Path:
    """Where a task that runs elsewhere says why it failed."""
    return directory.path / LOGS / f"{directory.tasks[number].key}.failure.json"


def take_failure(directory: StepDirectory, number: int) -> Failure | None:
    """What a task said of its failure, which is taken away; None where it said nothing."""
    path = failure_file(directory, number)
    if not path.exists():
        return None
    with contextlib.suppress(LlemmaError, OSError):
        failure = Failure.from_json(read_json(path))
        path.unlink(missing_ok=True)
        return failure
    return None


def log_tail(directory: StepDirectory, job_id: str, index: int) -> str:
    """The last lines that an element printed, for a message; empty where there are none."""
    path = directory.path / LOGS / f"{job_id}_{index}.log"
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    shown = [f"    {line[:200]}" for line in lines[-TAIL_LINES:] if line.strip()]
    return "\n".join([f"  the end of {path}:", *shown]) if shown else ""


def look_anew(folder: Path) -> None:
    """Has a network file system read the folder again: its client keeps names for up to a minute, unless it writes."""
    probe = folder / f".partial-look-{stable_hash(str(folder))[:8]}"
    with contextlib.suppress(OSError):
        probe.touch()
        probe.unlink()
