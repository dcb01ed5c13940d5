"""Running one task: the same few lines in a worker of the pool, on a Ray node and in a Slurm job."""

from __future__ import annotations

import importlib
import os
from functools import lru_cache

from llemma.core.errors import WorkError
from llemma.core.steps import StepDirectory, TaskRecord
from proof_pile.build.engines.failures import Failure, failure_of


def run_task(path: str, number: int) -> TaskRecord:
    """Runs one task of a step folder: all that an engine, of whatever kind, asks of a machine."""
    directory = open_step(path)
    check_version(directory)
    return directory.run_task(number)


def try_task(path: str, number: int) -> Failure | None:
    """Runs one task and returns why it failed, None if it did not."""
    try:
        run_task(path, number)
    except Exception as error:
        return failure_of(error)
    return None


def open_step(path: str) -> StepDirectory:
    """A step folder, read once for all of its tasks: tasks.json of a large step holds thousands of them."""
    status = os.stat(os.path.join(path, "tasks.json"))
    # A file that is replaced is another inode with another time of change, also where a clock has gone back.
    return _open_step(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=4)
def _open_step(path: str, stamp: tuple[int, ...]) -> StepDirectory:
    return StepDirectory.open(path)


def check_version(directory: StepDirectory) -> None:
    """Raises WorkError where this machine has the step in another version than the build was planned with."""
    module = importlib.import_module(directory.step.function.partition(":")[0])
    version = getattr(module, "VERSION", directory.step.version)
    if version != directory.step.version:
        raise WorkError(
            f"{directory.step.name}: the build was planned with version {directory.step.version} of this step, but "
            f"version {version} is installed on {os.uname().nodename} ({module.__file__}): install the same llemma on "
            "all machines"
        )
