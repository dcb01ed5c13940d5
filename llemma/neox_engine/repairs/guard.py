"""Leaves out steps that are not finite or spike, before the optimizer runs; goes back; stops.

At ea7aefd8 GPT-NeoX in fp32 trains on with NaN for ever; in bf16 DeepSpeed skips the step and GPT-NeoX neither counts
nor ends it (megatron/utils.py:369); nothing goes back, and a spike is taken as it comes. Here the ladder of
llemma.guard stands between the gradients and the optimizer: skip, return to a checkpoint of this stage without those
samples (needs the repairs `data-position` and `checkpoints`), stop. Its settings are the stage's `guard:`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from llemma.guard.ladder import LadderPolicy
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import RepairRefusedError, require_text
from llemma.neox_engine.step_guard import EngineGuard, RollBackError

NAME = "guard"
_MENDED = {
    "megatron/training.py": (
        "loss_dict, skipped_iter = train_step(",
        "iteration = train(\n",
        "model, optimizer, lr_scheduler, reference_model = setup_model_and_optimizer(",
        "            backward_step(\n",
        "                model.step()\n",
        'timers("interval time").start()',
    ),
}
_DEEPSPEED = {
    "runtime/engine.py": ("def _take_model_step(self, lr_kwargs", "self.optimizer.step()", "self.skipped_steps"),
    "runtime/pipe/engine.py": ("self._take_model_step(lr_kwargs)", "self.total_loss = add_to_total_loss("),
    "runtime/zero/stage_1_and_2.py": (
        "def scaled_global_norm(self",
        "if self.check_grad_overflow:",
        "self.check_overflow(",
        "self._update_scale(",
    ),
    "runtime/bf16_optimizer.py": ("def get_grads_for_norm(self", "def clear_hp_grads(self", "def clear_lp_grads(self"),
}


def apply(context: EngineContext) -> None:
    """Puts the guard around GPT-NeoX's step and loop. Refuses ZeRO 3 and experts, whose gradients it cannot judge."""
    require_text(NAME, context.neox_dir, _MENDED)
    found = importlib.util.find_spec("deepspeed")
    if found is None or found.origin is None:
        raise RepairRefusedError(f"the repair '{NAME}' finds no DeepSpeed in this Python")
    require_text(NAME, Path(found.origin).parent, _DEEPSPEED, "DeepSpeed 0.19.8")
    stage = (context.values.get("zero_optimization") or {}).get("stage", 0)
    num_experts = context.values.get("moe_num_experts") or 1
    if stage > 2 or num_experts > 1:
        raise RepairRefusedError(
            f"the repair '{NAME}' judges gradients under ZeRO 0, 1 and 2 without experts, but {context.config_path} "
            f"has ZeRO {stage} and experts {num_experts}: leave it out with  --without-repair {NAME}"
        )
    from megatron import training

    place = str(context.config_path.parent / "stage.json")
    guard = EngineGuard(context, LadderPolicy.read(context.stage.get("guard") or {}, place))
    context.saved.keep(NAME, lambda iteration: guard.state())
    _wrap_setup(training, guard)
    _wrap_steps(training, guard)
    _wrap_loop(training, guard)


def _wrap_setup(training: Any, guard: EngineGuard) -> None:
    upstream = training.setup_model_and_optimizer

    def setup_model_and_optimizer(neox_args: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        outcome = upstream(neox_args, *args, **kwargs)
        guard.begin(neox_args)
        guard.attach(outcome[0], neox_args)
        guard.ledger.write("start", neox_args.iteration, processes=torch.distributed.get_world_size())
        return outcome

    training.setup_model_and_optimizer = setup_model_and_optimizer


def _wrap_steps(training: Any, guard: EngineGuard) -> None:
    upstream_step, upstream_backward = training.train_step, training.backward_step

    def backward_step(*args: Any, **kwargs: Any) -> Any:
        guard.losses.append(kwargs["loss"].detach())
        return upstream_backward(*args, **kwargs)

    def train_step(*args: Any, **kwargs: Any) -> Any:
        return guard.step(upstream_step, *args, **kwargs)

    training.backward_step, training.train_step = backward_step, train_step


def _wrap_loop(training: Any, guard: EngineGuard) -> None:
    upstream = training.train

    def train(**kwargs: Any) -> Any:
        while True:
            try:
                return upstream(**kwargs)
            except RollBackError:
                guard.go_back(
                    training, kwargs["neox_args"], kwargs["model"], kwargs["optimizer"], kwargs["lr_scheduler"]
                )
                loaders = guard.context.position.data_loaders
                iterators = training.shift_and_wrap_data_loaders(neox_args=kwargs["neox_args"], data_loaders=loaders)
                kwargs["train_data_iterator"], kwargs["valid_data_iterator"] = iterators[:2]
                kwargs["timers"]("interval time").reset()  # the loop starts it again

    training.train = train
