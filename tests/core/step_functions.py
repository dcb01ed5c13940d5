"""Step functions that the tests of llemma.core.steps run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from llemma.core.steps import StepDirectory, Task


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


def copy_slowly(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    source = Path(task.inputs[0].path)
    source.with_name(f"begun-{os.getpid()}").touch()
    while len(list(source.parent.glob("begun-*"))) < 2:  # until the other copy has begun too
        time.sleep(0.01)
    with open(out / "text.txt", "w") as file:
        for letter in source.read_text() * 10:
            file.write(letter)
            file.flush()
            time.sleep(params["seconds"] / 100)
    return {}


def fail_after_the_other(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    StepDirectory.open(params["step"]).run_task(0)
    raise FileNotFoundError(2, "our scratch folder was cleared away", str(out))


def take_memory(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    return {"taken": len(os.urandom(1 << 20) * task.args["mb"])}
