"""proof-pile run: builds, or goes on with a build that was interrupted."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import InputError
from proof_pile.build.arguments import Order, add_build_options, read_order

if TYPE_CHECKING:
    from proof_pile.build.engine import LocalEngine
    from proof_pile.build.pipeline import Build, Stage, StageState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --recipe, --out, --tokenizer, --eod and --workers."""
    add_build_options(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="processes at work (default: one a processor)")


def run(args: argparse.Namespace) -> int:
    """Builds and prints a table of what came out."""
    from proof_pile.build.engine import LocalEngine, usable_cpus
    from proof_pile.build.lock import build_lock
    from proof_pile.build.stages import check_inputs

    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers is {args.workers}, but must be 1 or more")
    order = read_order(args)
    workers = args.workers or usable_cpus()
    print(f"building '{order.build.recipe.name}' from {order.recipe_path}")
    print(f"in {order.build.out} with {workers} {'worker' if workers == 1 else 'workers'}", flush=True)
    check_inputs(order.build)
    with build_lock(order.build.steps):
        clean(order.build.out)
        try:
            with LocalEngine(workers) as engine:
                _build(order, engine)
        finally:
            clean(order.build.out)  # workers that were ended in the middle of a task clear nothing away
    return 0


def clean(out: Path) -> None:
    """Removes what killed builds and workers left half-written."""
    from llemma.core.files import remove_leftovers

    remove_leftovers(out, recursive=True)


def _build(order: Order, engine: LocalEngine) -> None:
    from proof_pile.build.finish import finish, is_finished
    from proof_pile.build.stages import STAGES
    from proof_pile.build.summary import print_summary

    started = time.monotonic()
    build = order.build
    states: list[tuple[Stage, StageState]] = []
    complete = 0
    for stage in STAGES:
        state = build.look(stage, forget_damaged=True)
        states.append((stage, state))
        complete += state.num_tasks - state.num_missing
        _write_current(build, states)
        _run_stage(build, stage, state, engine)
        build.settle(stage, state)
        if stage.name == "read":
            build.hashes.save()
    build.hashes.save()
    done = sum(state.num_missing for _, state in states)
    if not done and is_finished(order, states):
        print(f"nothing to do: all {complete:,} tasks are complete and the files are in their places")
    else:
        finish(order, states, seconds=time.monotonic() - started)
    print_summary(build.out)
    print(f"{done:,} tasks done, {complete:,} were complete; {time.monotonic() - started:.1f} s")


def _run_stage(build: Build, stage: Stage, state: StageState, engine: LocalEngine) -> None:
    from llemma.core.progress import progress
    from llemma.core.steps import StepDirectory

    directories = [StepDirectory.create(build.steps, item.step, item.tasks) for item in state.directories]
    jobs = [
        (directory, number) for directory, numbers in zip(directories, state.missing, strict=True) for number in numbers
    ]
    if jobs:
        with progress(stage.title, total=len(jobs), unit="tasks") as bar:
            engine.run(jobs, lambda job: bar.advance())


def _write_current(build: Build, states: list[tuple[Stage, StageState]]) -> None:
    from llemma.core.files import write_json
    from proof_pile.build.status_command import CURRENT

    stages = [
        {"name": stage.name, "directories": [directory.path.name for directory in state.directories]}
        for stage, state in states
    ]
    write_json(build.steps / CURRENT, {"name": build.recipe.name, "stages": stages})
