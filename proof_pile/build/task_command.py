"""proof-pile task STEP_DIR N [N ...]: runs tasks of one step, as an engine on another machine does."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.core.errors import InputError, LlemmaError

if TYPE_CHECKING:
    from llemma.core.steps import StepDirectory

VISIBLE_S = 60.0  # how long a step's folder, just made on another machine, may take to be seen here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the step's folder and the tasks' numbers."""
    parser.add_argument("step", metavar="STEP_DIR", help="folder of the step, below OUT/steps")
    parser.add_argument("numbers", metavar="N", type=int, nargs="+", help="numbers of the tasks, from 0")


def run(args: argparse.Namespace) -> int:
    """Runs the tasks that are not complete; one that fails does not stop the others."""
    from llemma.core.steps import LOGS
    from proof_pile.build.engines.failures import FailedTask, TasksFailedError, failure_of
    from proof_pile.build.engines.slurm_jobs import failure_file
    from proof_pile.build.engines.task import check_version

    directory = _open(args.step, wait_s=VISIBLE_S if "SLURM_JOB_ID" in os.environ else 0)
    last = len(directory.tasks) - 1
    for number in args.numbers:
        if not 0 <= number <= last:
            raise InputError(f"{args.step}: there is no task {number}, they go from 0 to {last}")
    failed = []
    for number in args.numbers:
        try:
            check_version(directory)
            record = directory.run_task(number)
        except Exception as error:
            failure = failure_of(error)
            failed.append(FailedTask(directory=directory, number=number, failure=failure))
            if (directory.path / LOGS).is_dir():  # made by the engine that asked for us
                _write(failure_file(directory, number), failure.as_json())
            if failure.is_fatal:
                break
        else:
            print(f"{directory.step.name} {number}: {record.label}: {record.counts}", flush=True)
    if failed:
        raise TasksFailedError(failed)
    return 0


def _open(path: str, wait_s: float) -> StepDirectory:
    """The step's folder, which on a network file system may be seen a little later than it was made."""
    from llemma.core.steps import StepDirectory

    deadline = time.monotonic() + wait_s
    while True:
        try:
            return StepDirectory.open(path)
        except (LlemmaError, OSError):
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)


def _write(path: Path, value: Any) -> None:
    """Says why a task failed, if the disk lets us."""
    from llemma.core.files import write_json

    with contextlib.suppress(OSError):
        write_json(path, value)
