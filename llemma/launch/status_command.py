"""`llemma status`: how far a run has come, stage by stage, and what Slurm says of its jobs."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llemma.launch.state import StageState

_CLEAR = "\033[H\033[2J"
_WATCH_S = 5.0
_HEAD = ("stage", "state", "iteration", "loss", "tokens/s", "saved at", "job")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma status`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--lines", type=int, default=5, metavar="N", help="show so many lines of the newest log (default: 5)"
    )
    parser.add_argument("--watch", action="store_true", help="show it again every five seconds until nothing runs")


def run(args: argparse.Namespace) -> int:
    """Prints the table; 1 where a stage has failed, else 0."""
    with contextlib.suppress(KeyboardInterrupt) if args.watch else contextlib.nullcontext():
        while True:
            states = _show(args.run, max(0, args.lines), _CLEAR if args.watch else "")
            if not args.watch or not any(state.word in ("running", "queued") for state in states):
                return int(any(state.word == "failed" for state in states))
            time.sleep(_WATCH_S)
    return 0


def _show(run: Path, num_lines: int, before: str) -> Sequence[StageState]:
    from llemma.core.errors import LlemmaError
    from llemma.core.schemas import RunRecord
    from llemma.launch import slurm_commands as slurm
    from llemma.launch.host import launch_holder
    from llemma.launch.preflight import read_run
    from llemma.launch.state import log_tail, newest_log, stage_states
    from llemma.launch.submission import read_submission

    stages, record, submission, holder = read_run(run), RunRecord.read(run), read_submission(run), launch_holder(run)
    jobs, silence = {}, ""
    try:
        jobs = slurm.job_states(job.job for job in submission.jobs) if submission else {}
    except LlemmaError as error:
        silence = str(error)
    states = stage_states(run, stages, submission, jobs, is_launched_here=holder is not None)
    num_finished = sum(state.word == "finished" for state in states)
    lines = [f"{record.name}: {num_finished} of {len(states)} stages finished ({run})"]
    if holder:
        lines.append(f"launched by process {holder.get('pid')} on {holder.get('host')}")
    if silence:
        lines.append(f"what its jobs do is not known: {silence}")
    lines += _table([_HEAD, *(_row(state) for state in states)])
    for state in states:
        lines += [f"{state.stage}: {text}" for text in _remarks(state)]
    log = newest_log(run)
    tail = log_tail(log, num_lines) if log else []
    if log and tail:
        lines += ["", f"the end of {log}:", *(f"  {line}" for line in tail)]
    print(before + "\n".join(_cut(lines)), flush=True)
    return states


def _row(state: StageState) -> tuple[str, ...]:
    progress = state.progress
    iteration = state.iterations if state.word == "finished" else progress.iteration
    return (
        state.stage,
        state.word,
        f"{iteration:,}/{state.iterations:,}",
        "" if progress.loss is None else f"{progress.loss:.4f}",
        "" if progress.tokens_per_s is None else f"{progress.tokens_per_s:,.0f}",
        f"{state.saved:,}" if state.saved else "",
        state.job or "",
    )


def _cut(lines: Sequence[str]) -> list[str]:
    """The lines as long as a terminal is wide; whole where no terminal shows them."""
    if not sys.stdout.isatty():
        return list(lines)
    width = max(60, shutil.get_terminal_size().columns)
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _remarks(state: StageState) -> list[str]:
    """What Slurm, the notes of the attempts and the ledger tell beyond the table."""
    totals = state.totals
    counts = {
        "steps left out": totals.skipped_steps,
        "returns to a checkpoint": totals.rollbacks,
        "damaged checkpoints passed over": totals.fall_backs,
        "samples excluded": totals.excluded_samples,
        "steps made again": totals.repeated_steps,
    }
    told = [f"{number:,} {what}" for what, number in counts.items() if number]
    spent = totals.useful_seconds + totals.lost_seconds + totals.pause_seconds
    if told and spent:
        seconds = {
            "useful": totals.useful_seconds,
            "made again": totals.lost_seconds,
            "between attempts": totals.pause_seconds,
        }
        shares = ", ".join(f"{100 * value / spent:.0f} % {what}" for what, value in seconds.items())
        told.append(f"of {spent:,.0f} s {shares}")
    if totals.attempts > 1:
        told.insert(0, f"{totals.attempts} attempts")
    progress = state.progress
    if progress.mfu is not None:
        told.insert(0, f"MFU {100 * progress.mfu:.1f} %")
    if progress.validation is not None:
        told.insert(0, f"validation {progress.validation[0]:.4f} after {progress.validation[1]:,}")
    return [*([state.detail] if state.detail else []), *([", ".join(told)] if told else [])]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    is_text = (True, True, False, False, False, False, True)
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_text, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
