"""proof-pile run: builds, or goes on with a build that was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from llemma.core.logging import get_logger
from proof_pile.build.arguments import Order, add_build_options, read_order
from proof_pile.build.engine_options import add_engine_options, make_engine

if TYPE_CHECKING:
    from proof_pile.build.engines import Engine
    from proof_pile.build.engines.journal import Journal
    from proof_pile.build.pipeline import Build, Stage, StageState

log = get_logger(__name__)
MAX_REPLANS = 3  # of the reading, where input files change or go while it is at work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what to build, and who does it."""
    add_build_options(parser)
    add_engine_options(parser)


def run(args: argparse.Namespace) -> int:
    """Builds and prints a table of what came out."""
    from proof_pile.build.engines.journal import Journal
    from proof_pile.build.lock import build_lock
    from proof_pile.build.stages import check_inputs

    order = read_order(args)
    build = order.build
    engine = make_engine(args, build.out)
    print(f"building '{build.recipe.name}' from {order.recipe_path}")
    print(f"in {build.out} with {engine.description}", flush=True)
    with _ended_in_order():
        check_inputs(build)
        with build_lock(build.steps):
            try:
                with engine, Journal(build.steps, engine=args.engine) as journal:
                    clear_leftovers(build.out, engine.busy_keys())
                    _build(order, engine, journal)
            finally:
                clear_leftovers(build.out)  # workers that were ended in the middle of a task clear nothing away
    return 0


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Has SIGTERM, and the end of the terminal, end the build as Ctrl-C does: jobs on other machines are cancelled."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # what nohup ignores stays so
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def clear_leftovers(out: Path, busy_keys: Set[str] = frozenset()) -> None:
    """Removes what killed builds and workers left half-written, but for what tasks of these keys are writing.

    A process of an earlier driver may live on for a moment on another machine.  Its folder is taken from it in one move
    before anything in it is removed: it must not find a part of what it made there and publish that as the whole.
    """
    from llemma.core.files import TEMPORARY_PREFIX

    for leftover in list(out.rglob(f"{TEMPORARY_PREFIX}*")):
        names = leftover.relative_to(out).parts  # such a task's folder may hold files of this kind itself
        if any(name.startswith(f"{TEMPORARY_PREFIX}{key}") for key in busy_keys for name in names):
            continue
        with contextlib.suppress(OSError):
            if leftover.is_dir():
                aside = leftover.with_name(f"{TEMPORARY_PREFIX}old-{os.getpid()}")
                os.replace(leftover, aside)  # needs no room, of which there may be none
                shutil.rmtree(aside, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _build(order: Order, engine: Engine, journal: Journal) -> None:
    from proof_pile.build.finish import finish, is_finished
    from proof_pile.build.stages import ACTS
    from proof_pile.build.summary import print_summary

    started = time.monotonic()
    build = order.build
    states: list[tuple[Stage, StageState]] = []
    complete = 0
    for stages in ACTS:
        act = [(stage, build.look(stage, forget_damaged=True)) for stage in stages]
        complete += sum(state.num_tasks - state.num_missing for _, state in act)
        act = _run_act(build, act, states, engine, journal)
        states += act
        for stage, state in act:
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


def _run_act(
    build: Build,
    act: list[tuple[Stage, StageState]],
    before: list[tuple[Stage, StageState]],
    engine: Engine,
    journal: Journal,
) -> list[tuple[Stage, StageState]]:
    """Runs what stages have to do, at once; returns what that was, planned anew where input files changed under it."""
    from llemma.core.steps import StepDirectory
    from proof_pile.build.engines.failures import TasksFailedError

    replans = 0
    while True:
        told = []
        for stage, state in act:
            directories = [StepDirectory.create(build.steps, item.step, item.tasks) for item in state.directories]
            jobs = [
                (directory, number)
                for directory, numbers in zip(directories, state.missing, strict=True)
                for number in numbers
            ]
            if jobs:
                told.append((stage.name, stage.title, jobs))
        _write_current(build, [*before, *act])
        if not told:
            return act
        try:
            with journal.stages(*told):
                engine.run([job for _, _, jobs in told for job in jobs], journal)
        except TasksFailedError as error:
            replans += 1
            changed = all(task.failure.inputs_changed for task in error.failed)
            if act[0][0].name != "read" or not changed or replans > MAX_REPLANS:
                raise
            for task in error.failed:
                log.warning("%s: %s; the input is looked through again", task.label, task.failure.message)
            build.hashes.save()
            build.__dict__.pop("reading", None)  # what was listed and hashed before
            act = [(stage, build.look(stage)) for stage, _ in act]
        else:
            return act


def _write_current(build: Build, states: list[tuple[Stage, StageState]]) -> None:
    from llemma.core.files import write_json
    from proof_pile.build.status_command import CURRENT

    stages = [
        {"name": stage.name, "directories": [directory.path.name for directory in state.directories]}
        for stage, state in states
    ]
    write_json(build.steps / CURRENT, {"name": build.recipe.name, "stages": stages})
