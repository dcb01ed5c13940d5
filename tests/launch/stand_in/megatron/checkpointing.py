from __future__ import annotations

from typing import Any

import torch


def get_checkpoint_tag(iteration: int) -> str:
    return f"global_step{iteration}"


def save_ds_checkpoint(iteration, model, neox_args):  # type: ignore[no-untyped-def]
    sd = {"iteration": iteration}
    tag = get_checkpoint_tag(iteration)
    model.save_checkpoint(neox_args.save, tag=tag, client_state=sd)


def save_checkpoint(*, neox_args: Any, iteration: int, model: Any) -> None:
    save_ds_checkpoint(iteration, model, neox_args)
    torch.distributed.barrier()


def load_checkpoint(*, neox_args: Any, model: Any, iteration: int | None = None) -> int:
    tag = None if iteration is None else get_checkpoint_tag(iteration)
    loaded = model.load_checkpoint(
        neox_args.load,
        tag=tag,
    )
    return 0 if neox_args.finetune else int(loaded["iteration"])
