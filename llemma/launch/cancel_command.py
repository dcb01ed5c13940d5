"""`llemma cancel`: ends a run's jobs on Slurm, or its launch on this host."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma cancel`."""
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="a run directory; its processes are asked to end (SIGTERM), and save if their step ends in time",
    )


def run(args: argparse.Namespace) -> int:
    """Ends what runs or waits, and says what that was."""
    from llemma.core.errors import WorkError
    from llemma.core.schemas import RunRecord
    from llemma.launch import slurm_commands as slurm
    from llemma.launch.host import launch_holder
    from llemma.launch.places import quoted
    from llemma.launch.submission import living_jobs

    RunRecord.read(args.run)
    jobs = living_jobs(args.run)
    if jobs:
        slurm.cancel(jobs)
        print(f"cancelled: {'job' if len(jobs) == 1 else 'jobs'} {', '.join(jobs)}")
    holder = launch_holder(args.run)
    if holder is not None:
        if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
            raise WorkError(
                f"{args.run}: it is launched by process {holder.get('pid')} on {holder.get('host')}: cancel it there"
            )
        os.kill(holder["pid"], signal.SIGTERM)
        print(f"asked to end: process {holder['pid']}, which saves first; see  llemma status {quoted(args.run)}")
    if not jobs and holder is None:
        print(f"nothing of {args.run} runs or waits")
    else:
        print(f"go on with the same  llemma launch {quoted(args.run)} …")
    return 0
