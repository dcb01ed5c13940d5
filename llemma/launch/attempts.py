"""attempts.jsonl: what became of each attempt at a stage, on this host or in a Slurm job.

{"time", "stage", "event": "begin", "job", "start", "nodes", "processes", "iteration"}
{"time", "stage", "event": "end",   "job", "start", "outcome", "code", "from", "iteration", "message"}

outcome: finished | stopped (on request, everything saved) | failed | refused (by the preflight) | interrupted
(Slurm ended the job). `start` counts Slurm's restarts of one job. A line that a kill left half is passed over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from llemma.launch.places import launch_folder

FILE = "attempts.jsonl"
Outcome = Literal["finished", "stopped", "failed", "refused", "interrupted"]


def note_begin(run: Path, stage: str, job: str | None, start: int, **facts: Any) -> None:
    """Notes that an attempt begins."""
    _append(run, {"stage": stage, "event": "begin", "job": job, "start": start, **facts})


def note_end(run: Path, stage: str, job: str | None, start: int, outcome: Outcome, **facts: Any) -> None:
    """Notes what became of it."""
    _append(run, {"stage": stage, "event": "end", "job": job, "start": start, "outcome": outcome, **facts})


def read_attempts(run: Path) -> Iterator[dict[str, Any]]:
    """The whole lines, oldest first."""
    try:
        data = (launch_folder(run) / FILE).read_bytes()
    except FileNotFoundError:
        return
    for raw in data.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict) and {"time", "stage", "event"} <= line.keys():
            yield line


def fruitless_attempts(run: Path, stage: str, job: str | None) -> int:
    """How many attempts of a job have ended since the last one that brought the stage further."""
    count = 0
    for line in read_attempts(run):
        if line["stage"] == stage and line["event"] == "end" and line.get("job") == job:
            if line.get("iteration", 0) > line.get("from", 0):
                count = 0
            elif line.get("outcome") != "interrupted":
                count += 1
    return count


def _append(run: Path, line: dict[str, Any]) -> None:
    path = launch_folder(run) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"time": round(time.time(), 3), **line}, ensure_ascii=False) + "\n"
    with open(path, "ab") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
