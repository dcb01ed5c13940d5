"""Step functions for tests of the engines; imported by their workers."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.core.steps import Task

KEPT: list[bytes] = []  # as a library's cache would


def BETWEEN() -> None:  # noqa: N802
    """Is called by the task that makes two files, when they are there: for a test to replace."""


def act(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Does what the task's `how` says; `folder` is for marks that outlive a try."""
    how = task.args["how"]
    tries = _count_try(Path(params["folder"]), task)
    if how == "complain":
        raise InputError("this input is wrong")
    if how == "break":
        raise KeyError("a fault of ours")
    if how == "fill":
        raise OSError(errno.ENOSPC, "No space left on device", "/some/.partial-file")
    if how == "fill quietly":
        raise OSError("1024 requested and 12 written")  # numpy's tofile on a full disk
    if how == "hang up once" and tries == 1:
        raise OSError(errno.ETIMEDOUT, "Connection timed out")
    if how == "die" or (how == "die once" and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang" or (how == "hang once" and tries == 1):
        time.sleep(600)
    if how == "grow":
        ballast = bytearray(os.urandom(1 << 20)) * (task.args.get("mb", 600))
        time.sleep(1.5)
        del ballast
    if how == "keep":
        KEPT.append(os.urandom(task.args["mb"] << 20))
    if how == "gate":
        deadline = time.monotonic() + 60
        while not (Path(params["folder"]) / "open").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    if how == "wait":
        time.sleep(task.args.get("seconds", 0.5))
    (out / "file").write_text(how)
    if how == "two files":
        (out / "a").write_text("a")
        (out / ".partial-b").write_text("b")
        BETWEEN()
        (out / ".partial-b").rename(out / "b")
    return {"pid": os.getpid(), "tries": tries}


def _count_try(folder: Path, task: Task) -> int:
    """Leaves a mark that this task is being run, and says how often it has been."""
    tries = 1
    while True:
        try:
            handle = os.open(folder / f"{task.key}.{tries}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            tries += 1
            continue
        os.write(handle, str(os.getpid()).encode())
        os.close(handle)
        return tries
