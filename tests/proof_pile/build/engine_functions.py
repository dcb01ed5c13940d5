"""Step functions for tests of the engine; imported by its workers."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.core.steps import Task


def act(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Does what the task's `how` says."""
    how = task.args["how"]
    if how == "complain":
        raise InputError("this input is wrong")
    if how == "break":
        raise KeyError("a fault of ours")
    if how == "fill":
        raise OSError(errno.ENOSPC, "No space left on device", "/some/.partial-file")
    if how == "fill quietly":
        raise OSError("1024 requested and 12 written")  # numpy's tofile on a full disk
    if how == "die" and not Path(params["marker"]).exists():
        Path(params["marker"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        Path(params["marker"]).write_text(str(os.getpid()))
        time.sleep(600)
    (out / "file").write_text(how)
    return {"pid": os.getpid()}
