"""Step functions that the tests of llemma.core.steps run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llemma.core.steps import Task


def copy_upper(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    text = "".join(Path(item.path).read_text() for item in task.inputs)
    (out / "text.txt").write_text(params["prefix"] + text.upper())
    (out / "length.txt").write_text(str(len(text)))
    return {"characters": len(text)}


def fail_half_way(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    (out / "text.txt").write_text("half")
    if params["how"] == "kill":
        os.kill(os.getpid(), 9)
    raise RuntimeError("half way")


def fail_on_bad(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    if "bad" in Path(task.inputs[0].path).read_text():
        raise RuntimeError("cannot read this")
    return {}
