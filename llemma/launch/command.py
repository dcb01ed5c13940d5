"""`llemma launch`: starts a planned run on the embedded trainer or, on this host, on GPT-NeoX."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.neox.repair_table import REPAIRS

if TYPE_CHECKING:
    from llemma.launch.preflight import LaunchStage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma launch`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, written by llemma plan --out")
    parser.add_argument(
        "--engine", choices=("embedded", "neox"), default="embedded", help="what trains (default: embedded)"
    )
    parser.add_argument("--neox-dir", type=Path, metavar="D", help="a clone of GPT-NeoX (default: $NEOX_DIR)")
    parser.add_argument(
        "--python", metavar="P", help="the Python that has GPT-NeoX's packages (default: $NEOX_PYTHON, else this one)"
    )
    parser.add_argument(
        "--without-repair",
        action="append",
        default=[],
        choices=tuple(REPAIRS),
        help="leave GPT-NeoX unrepaired in this point (may be given several times)",
    )
    parser.add_argument("--dry-run", action="store_true", help="check the run and print the commands, start nothing")


def run(args: argparse.Namespace) -> int:
    """Checks the run, then starts its stages one after the other; ends with the first exit code that is not 0."""
    from llemma.launch.preflight import (
        embedded_problems,
        engine_of,
        launch_problems,
        neox_problems,
        read_run,
        refuse,
    )
    from llemma.launch.processes import embedded_command, neox_command, run_command

    stages = read_run(args.run)
    problems = launch_problems(stages, args.run)
    for stage in stages:
        other = engine_of(args.run, stage.compiled)
        if other not in (None, args.engine):
            problems.append(f"{stage.compiled.directory}: it holds checkpoints of the engine '{other}', go on with it")
    neox_dir = args.neox_dir or _path_from("NEOX_DIR")
    python = args.python or os.environ.get("NEOX_PYTHON") or sys.executable
    if args.engine == "embedded":
        problems += embedded_problems(stages, args.run)
    else:
        problems += neox_problems(stages, args.run, neox_dir, python)
    refuse(problems)
    if args.engine == "embedded" or neox_dir is None:
        neox_dir, commands = None, [embedded_command(args.run)]
    else:
        commands = [
            neox_command(stage, neox_dir, python, _repairs(stage, args.without_repair), before)
            for stage, before in zip(stages, [None, *stages], strict=False)
        ]
    for command in commands:
        if args.dry_run:
            print(command)
            continue
        print(f"running: {command}", file=sys.stderr, flush=True)
        code = run_command(command, neox_dir)
        if code:
            return code
    return 0


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _repairs(stage: LaunchStage, without: list[str]) -> list[str]:
    """The repairs of a stage: those that its back end asks for, but the ones that were declined."""
    backend = stage.config.distributed_backend
    return [name for name, item in REPAIRS.items() if item.backend in (None, backend) and name not in without]
