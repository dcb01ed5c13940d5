"""Runs one stage in GPT-NeoX with a fault planted in its losses: a repair of its own, which only tests know.

    torchrun … planted_faults.py PLAN <arguments of llemma.neox_engine.entry>

PLAN is JSON: {"nan": [[iteration, micro-batch], …], "spike": […], "infinite_gradient": […],
"poisoned": [sample number, …], "kill": iteration, "usr1": iteration}. In the last data-parallel rank alone, the loss of
a planted micro-batch (counted from 1 and 0) is multiplied by NaN or 1,000, or its gradients are infinite; a micro-batch
with a poisoned sample is NaN whenever it is drawn. The rank that torchrun calls last is killed when it begins the step
`kill`, or gets SIGUSR1. It notes the sample numbers that each step drew in PLAN's "drawn", a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from llemma.neox.repair_table import REPAIRS, Repair
from llemma.neox_engine.context import EngineContext

PLAN: dict[str, Any] = {}


def apply(context: EngineContext) -> None:
    """Wraps the reading of samples and the forward step; with pipeline parallelism the loss of the last stage."""
    from megatron import mpu, training
    from megatron.data.blendable_dataset import BlendableDataset
    from megatron.model import gpt2_model

    plan = PLAN
    upstream_step, upstream_item = training.forward_step, BlendableDataset.__getitem__
    upstream_pipe, upstream_loss = training.train_step_pipe, gpt2_model.cross_entropy
    drawn: list[int] = []
    state = {"iteration": -1, "micro_batch": 0, "is_in_pipe": 0}

    def read_item(self: Any, idx: int) -> Any:
        drawn.append(int(idx))
        return upstream_item(self, idx)

    def begin_step(iteration: int) -> None:
        state["iteration"], state["micro_batch"] = iteration, -1
        if os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1):
            for name, number in (("kill", signal.SIGKILL), ("usr1", signal.SIGUSR1)):
                if plan.get(name) == iteration:
                    os.kill(os.getpid(), number)

    def plant(loss: Any) -> Any:
        here = [state["iteration"], state["micro_batch"]]
        if "drawn" in plan and mpu.get_model_parallel_rank() == 0:
            with open(f"{plan['drawn']}.{mpu.get_data_parallel_rank()}", "a") as file:
                file.write(json.dumps([*here, drawn]) + "\n")
        is_last = mpu.get_data_parallel_rank() == mpu.get_data_parallel_world_size() - 1
        if (is_last and here in plan.get("nan", [])) or set(drawn) & set(plan.get("poisoned", [])):
            loss = loss * float("nan")
        if is_last and here in plan.get("spike", []):
            loss = loss * 1000
        if is_last and here in plan.get("infinite_gradient", []):
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    def forward_step(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.get("is_train"):
            outcome = upstream_step(*args, **kwargs)
            drawn.clear()
            return outcome
        neox_args = kwargs["neox_args"]
        iteration, num_micro_batches = neox_args.iteration + 1, neox_args.gradient_accumulation_steps
        if iteration != state["iteration"] or state["micro_batch"] + 1 == num_micro_batches:
            begin_step(iteration)
        state["micro_batch"] += 1
        drawn.clear()
        loss, metrics = upstream_step(*args, **kwargs)
        return plant(loss), metrics

    def train_step_pipe(*args: Any, **kwargs: Any) -> Any:
        begin_step(kwargs["neox_args"].iteration + 1)
        drawn.clear()
        state["is_in_pipe"] = 1
        try:
            return upstream_pipe(*args, **kwargs)
        finally:
            state["is_in_pipe"] = 0

    def cross_entropy(*args: Any, **kwargs: Any) -> Any:
        loss = upstream_loss(*args, **kwargs)
        if not state["is_in_pipe"]:
            return loss
        state["micro_batch"] += 1
        loss = plant(loss)
        drawn.clear()
        return loss

    training.forward_step, BlendableDataset.__getitem__ = forward_step, read_item
    training.train_step_pipe, gpt2_model.cross_entropy = train_step_pipe, cross_entropy


def main() -> int:
    """Adds the fault to the table of repairs, then runs the entry."""
    import planted_faults  # this file, as the module that the table of repairs names

    from llemma.neox_engine.entry import main as run

    planted_faults.PLAN.update(json.loads(Path(sys.argv[1]).read_text()))
    REPAIRS["planted"] = Repair(module="planted_faults", what="a fault for a test")
    # Before the guard, which must see the fault as it would see a true one.
    order = {"cpu-stand-in": REPAIRS["cpu-stand-in"], "planted": REPAIRS["planted"]}
    for name in [name for name in REPAIRS if name not in order]:
        order[name] = REPAIRS.pop(name)
    REPAIRS.clear()
    REPAIRS.update(order)
    return run([*sys.argv[2:], "--repair", "planted"])


if __name__ == "__main__":
    sys.exit(main())
