"""Runs `llemma train` with faults planted in it: what only tests and benchmarks/train_faults.py know.

    python benchmarks/planted_train_faults.py PLAN train RUN …

PLAN is JSON: {"nan": [step, …], "spike": […], "infinite_gradient": […], "poisoned": [sample, …], "broken_weight": step,
"hang": step, "hang_loader": step, "kill": step, "stop": step, "kill_in_write": [checkpoint, file operation],
"signal": [place, call, [signal, …]], "clock": [[step, seconds], …], "rename": [step, from, to], "fill": [step, file],
"damage": [step, file, "cut" | "tokens"]}.  Steps count from 1.  Planted in the losses: times NaN, times 1,000, or with
infinite gradients; a step with a poisoned sample is NaN whenever it is drawn; one weight of the model becomes NaN.
`kill_in_write` ends the process with SIGKILL at a file operation (open, fsync, rename, …) of the thread that writes the
n-th checkpoint.  Places of a signal: load, validation, write, export.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PLAN: dict[str, Any] = {}
STEP = {"now": 0}
DRAWN: list[int] = []


def main() -> int:
    """Plants the faults and runs the program."""
    PLAN.update(json.loads(Path(sys.argv[1]).read_text()))
    plant()
    from llemma.cli import main as run

    return run(sys.argv[2:])


def plant() -> None:
    """Wraps the functions of the trainer that the plan names."""
    from llemma.train import objective, stage_run, start, writer
    from llemma.train.data import loading

    real_take, real_loss, real_step = loading.MicroBatches.take, objective.mean_loss, stage_run.compute_gradients

    def take(self: Any, position: int) -> Any:
        found = real_take(self, position)
        STEP["now"] = 1 + position // len(found.numbers)
        DRAWN[:] = found.numbers
        return found

    def mean_loss(*args: Any, **options: Any) -> Any:
        loss = real_loss(*args, **options)
        if STEP["now"] in PLAN.get("nan", ()) or set(DRAWN) & set(PLAN.get("poisoned", ())):
            loss = loss * float("nan")
        if STEP["now"] in PLAN.get("spike", ()):
            loss = loss * 1000
        if STEP["now"] in PLAN.get("infinite_gradient", ()):
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    def compute_gradients(model: Any, *args: Any, **options: Any) -> Any:
        happen(model)
        return real_step(model, *args, **options)

    loading.MicroBatches.take = take  # type: ignore[method-assign]
    objective.mean_loss = mean_loss
    stage_run.compute_gradients = compute_gradients
    if "hang_loader" in PLAN:
        real_draw = loading.MicroBatches._step

        def draw(self: Any, samples: Any, position: int) -> Any:
            if 1 + position // self._batch_size == PLAN["hang_loader"]:
                time.sleep(3600)
            return real_draw(self, samples, position)

        loading.MicroBatches._step = draw  # type: ignore[method-assign]
    if "kill_in_write" in PLAN:
        plant_kill_in_write(writer)
    if "clock" in PLAN:
        real_time = time.time
        time.time = lambda: real_time() + sum(by for step, by in PLAN["clock"] if STEP["now"] >= step)
    if "signal" in PLAN:
        import llemma.train.export as export

        place, call, _ = PLAN["signal"]
        module, name = {
            "load": (start.Start, "load"), "validation": (stage_run, "validation_loss"),
            "write": (writer, "save_checkpoint"), "export": (export, "export_model"),
        }[place]  # fmt: skip
        setattr(module, name, sending(getattr(module, name), call))


def happen(model: Any) -> None:
    """What the plan has for this step besides its loss."""
    import torch

    now = STEP["now"]
    if PLAN.get("kill") == now:
        os.kill(os.getpid(), signal.SIGKILL)
    if PLAN.get("stop") == now:
        del PLAN["stop"]
        os.kill(os.getpid(), signal.SIGSTOP)
    if PLAN.get("hang") == now:
        time.sleep(3600)
    if PLAN.get("broken_weight") == now:
        del PLAN["broken_weight"]
        with torch.no_grad():
            dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"].view(-1)[5] = float("nan")
    for name, act in (("rename", rename), ("fill", fill), ("damage", damage)):
        if PLAN.get(name, [None])[0] == now:
            act(*PLAN.pop(name)[1:])


def rename(source: str, target: str) -> None:
    os.rename(source, target)


def fill(path: str) -> None:
    """Takes all room that is left on a file system."""
    with open(path, "wb") as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)):
                    file.flush()
            except OSError:
                continue


def damage(path: str, how: str) -> None:
    """Cuts a shard's file in its middle, or makes every token of its middle one that no model has."""
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if how == "cut":
            file.truncate(size // 2)
        else:
            file.seek(size // 4 * 2)
            file.write(b"\xff" * (size // 4 * 2))


def sending(real: Callable[..., Any], call: int) -> Callable[..., Any]:
    """Sends the plan's signals when a function is called for the n-th time."""
    calls: list[int] = []

    def wrapped(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            for number in PLAN["signal"][2]:
                os.kill(os.getpid(), number)
                time.sleep(0.05)
        return real(*args, **options)

    return wrapped


def plant_kill_in_write(writer: Any) -> None:
    """Counts the file operations of the thread that writes checkpoints, and ends the process at one of them."""
    import builtins

    wanted_write, wanted_operation = PLAN["kill_in_write"]
    writes: list[int] = []
    operations: list[int] = []
    real_write = writer.CheckpointWriter._write

    def write(self: Any, *args: Any) -> None:
        writes.append(1)
        real_write(self, *args)

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if threading.current_thread().name == writer.THREAD_NAME and len(writes) == wanted_write:
                operations.append(1)
                if len(operations) == wanted_operation:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return wrapped

    writer.CheckpointWriter._write = write
    for module, names in ((os, ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")), (builtins, ("open",))):
        for name in names:
            setattr(module, name, counting(getattr(module, name)))


if __name__ == "__main__":
    sys.exit(main())
