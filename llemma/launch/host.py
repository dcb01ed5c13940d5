"""A run on this host: one launch at a time, its attempts noted as those of a job are."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.launch.attempts import Outcome, note_begin, note_end
from llemma.launch.places import is_finished, launch_folder, quoted, saved_iteration
from llemma.launch.processes import Command, run_command
from llemma.stages import CompiledStage

LOCK = ".lock"
_STOPPED = (0, 75, 130, 143)  # asked to end: the embedded trainer, GPT-NeoX with `stop-signal`, Ctrl-C, SIGTERM


@contextlib.contextmanager
def only_launch(run: Path) -> Iterator[None]:
    """Holds the run for this process; the system lets go of it when the process ends, however it ends."""
    path = launch_folder(run) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{run}: it is launched already: look with  llemma status {quoted(run)}") from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": round(time.time())}))
        file.flush()
        yield


def launch_holder(run: Path) -> dict[str, Any] | None:
    """Process, host and start time of the launch that runs now; None where none does."""
    try:
        with open(launch_folder(run) / LOCK, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                value = json.load(file)
                return value if isinstance(value, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return None


def run_stages(run: Path, stages: Sequence[CompiledStage], command: Command, cwd: Path | None) -> int:
    """Runs the command that trains these stages, notes the attempt, and returns its exit code."""
    before = {stage.directory: saved_iteration(run, stage.directory) for stage in stages}
    for name, iteration in before.items():
        note_begin(run, name, None, 0, nodes=[socket.gethostname()], iteration=iteration)
    code = run_command(command, cwd)
    for stage in stages:
        name = stage.directory
        outcome: Outcome = "failed"
        if is_finished(run, name, stage.iterations):
            outcome = "finished"
        elif code in _STOPPED:
            outcome = "stopped"
        message = f"it ended with code {code}" if outcome == "failed" else ""
        note_end(
            run, name, None, 0, outcome, code=code, message=message, iteration=saved_iteration(run, name),
            **{"from": before[name]},
        )  # fmt: skip
    return code
