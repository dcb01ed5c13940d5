"""proof-pile task STEP_DIR N: runs one task, as an engine on another machine would."""

from __future__ import annotations

import argparse

from llemma.core.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the step's folder and the task's number."""
    parser.add_argument("step", metavar="STEP_DIR", help="folder of the step, below OUT/steps")
    parser.add_argument("number", metavar="N", type=int, help="number of the task, from 0")


def run(args: argparse.Namespace) -> int:
    """Runs the task, unless it is complete."""
    from llemma.core.steps import StepDirectory

    directory = StepDirectory.open(args.step)
    if not 0 <= args.number < len(directory.tasks):
        raise InputError(f"{args.step}: there is no task {args.number}, they go from 0 to {len(directory.tasks) - 1}")
    record = directory.run_task(args.number)
    print(f"{directory.step.name} {args.number}: {record.label}: {record.counts}")
    return 0
