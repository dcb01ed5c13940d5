from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from megatron.checkpointing import load_checkpoint, save_checkpoint

SHAPES = {"first": (3,), "second": (2, 2)}  # seven weights, so that two pieces are padded to eight
LENGTH = 7


class Engine:
    """DeepSpeed's engine under ZeRO 1: whole weights everywhere, the master's pieces and moments one a rank."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.piece = -(-LENGTH // (2 * self.size)) * 2
        self.master = torch.zeros(self.piece, dtype=torch.float64)
        self.moment = torch.zeros(self.piece, dtype=torch.float64)

    def weights(self) -> torch.Tensor:
        pieces = [torch.zeros_like(self.master) for _ in range(self.size)]
        distributed.all_gather(pieces, self.master)
        return torch.cat(pieces)[:LENGTH]

    def step(self, gradient: torch.Tensor) -> None:
        padded = torch.zeros(self.piece * self.size, dtype=torch.float64)
        padded[:LENGTH] = gradient
        self.moment = self.moment + padded[self.rank * self.piece : (self.rank + 1) * self.piece]
        self.master = self.master + self.moment

    def save_checkpoint(self, root: str, tag: str, client_state: dict[str, Any], save_latest: bool = True) -> None:
        folder = Path(root) / tag
        folder.mkdir(parents=True, exist_ok=True)
        weights = self.weights()
        if self.rank == 0:
            model = {"module": weights, "param_shapes": [SHAPES], "dp_world_size": self.size, **client_state}
            torch.save(model, folder / "mp_rank_00_model_states.pt")
        state = {
            "base_optimizer_state": {
                "state": {0: {"step": torch.tensor(1.0), "exp_avg": self.moment}},
                "param_groups": [{"params": [0]}],
            },
            "single_partition_of_fp32_groups": [self.master],
            "group_paddings": [self.piece * self.size - LENGTH if self.rank == self.size - 1 else 0],
            "partition_count": [self.size],
            "param_slice_mappings": [{}],
        }
        name = f"bf16_zero_pp_rank_{self.rank}_mp_rank_00_optim_states.pt"
        torch.save({"optimizer_state_dict": state}, folder / name)
        distributed.barrier()
        if save_latest and self.rank == 0:
            (Path(root) / "latest").write_text(tag)

    def load_checkpoint(self, root: str, tag: str | None) -> dict[str, Any]:
        folder = Path(root) / (tag or (Path(root) / "latest").read_text().strip())
        model: dict[str, Any] = torch.load(folder / "mp_rank_00_model_states.pt")
        if model["dp_world_size"] != self.size:
            raise RuntimeError(f"ZeRORuntimeException: it was saved by {model['dp_world_size']} ranks, not {self.size}")
        found = torch.load(folder / f"bf16_zero_pp_rank_{self.rank}_mp_rank_00_optim_states.pt")
        state = found["optimizer_state_dict"]
        self.master = state["single_partition_of_fp32_groups"][0]
        self.moment = state["base_optimizer_state"]["state"][0]["exp_avg"]
        return model


def train_step(*, neox_args: Any, model: Engine, iteration: int) -> tuple[dict[str, float], int]:
    """Each sample adds its own whole numbers to the gradient; this rank has every size-th of the batch."""
    batch = neox_args.train_batch_size
    gradient = torch.zeros(LENGTH, dtype=torch.float64)
    for sample in range(iteration * batch + model.rank, (iteration + 1) * batch, model.size):
        gradient += torch.arange(LENGTH, dtype=torch.float64) * (sample % 5) + sample
    distributed.all_reduce(gradient)
    model.step(gradient)
    time.sleep(float(os.environ.get("STAND_IN_STEP_S", "0")))
    return {"lm_loss": 10.0 / (1 + iteration)}, 0


def is_save_iter(neox_args: Any, iteration: int) -> bool:
    return bool(iteration % neox_args.checkpoint_factor == 0)


def setup_model_and_optimizer(neox_args: Any) -> Engine:
    model = Engine()
    if neox_args.load is not None:
        neox_args.iteration = load_checkpoint(
            neox_args=neox_args,
            model=model,
        )
    return model


def train(neox_args: Any, model: Engine) -> int:
    iteration: int = neox_args.iteration
    while iteration < neox_args.train_iters:
        loss_dict, skipped_iter = train_step(
            neox_args=neox_args,
            model=model,
            iteration=iteration,
        )
        iteration += 1
        if model.rank == 0:
            print(
                f" samples/sec: 8.000 | iteration {iteration:8d}/{neox_args.train_iters:8d} | "
                f"lm_loss: {loss_dict['lm_loss']:.6E} | number of skipped iterations: {skipped_iter:3d} |",
                flush=True,
            )
        if neox_args.save and is_save_iter(neox_args, iteration):
            save_checkpoint(neox_args=neox_args, iteration=iteration, model=model)
        if neox_args.exit_interval and iteration % neox_args.exit_interval == 0:
            distributed.barrier()
            sys.exit()
    return iteration


def pretrain(neox_args: Any) -> None:
    distributed.init_process_group("gloo")
    model = setup_model_and_optimizer(neox_args)
    iteration = train(
        neox_args=neox_args,
        model=model,
    )
    save_checkpoint(neox_args=neox_args, iteration=iteration, model=model)
