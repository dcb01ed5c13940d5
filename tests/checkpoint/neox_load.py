"""Loads a converted checkpoint with a GPT-NeoX checkout on the CPU and writes the logits it computes.

Run under torchrun, one process per rank, inside the checkout, by test_neox_itself.py:
    neox_load.py NEOX.yml TOKENS.pt LOGITS.pt [STEPS]
With STEPS it trains so many steps on the tokens, writes their losses instead, and saves where the configuration says.
NeoX's files are unchanged. It calls CUDA in a few places whether there is one or not; those calls get stand-ins here.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

os.environ["DS_ACCELERATOR"] = "cpu"

import deepspeed
import torch


def stand_in_for_cuda() -> None:
    cuda = torch.cuda
    cuda.is_available = lambda: True
    cuda.device_count = lambda: int(os.environ["LOCAL_WORLD_SIZE"])
    cuda.current_device = lambda: "cpu"
    cuda.set_device = lambda *_: None
    cuda.synchronize = lambda *_: None
    cuda.get_rng_state = lambda *_: torch.get_rng_state()
    cuda.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    cuda.manual_seed = lambda seed: torch.manual_seed(seed)
    for name in ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"):
        setattr(cuda, name, lambda *_: 0)
    for name in ("Float", "Long", "Int", "Half", "Byte"):
        setattr(cuda, f"{name}Tensor", getattr(torch, f"{name}Tensor"))
    torch.Tensor.cuda = lambda self, *_, **__: self
    torch.nn.Module.cuda = lambda self, *_, **__: self
    # DeepSpeed would compile this into a cache shared by all processes of the user, and a kill leaves a lock there.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None
    deepspeed.ops.adam.FusedAdam = lambda parameters, **options: torch.optim.AdamW(parameters, lr=1e-4)


def main(config: str, tokens_path: str, logits_path: str, steps: str = "0") -> None:
    stand_in_for_cuda()
    sys.path.insert(0, os.getcwd())
    from megatron import mpu
    from megatron.checkpointing import save_checkpoint
    from megatron.data import data_utils
    from megatron.initialize import initialize_megatron
    from megatron.neox_arguments import NeoXArgs
    from megatron.training import setup_model_and_optimizer

    data_utils.compile_helper = lambda: None  # builds inside the checkout; no data are read here
    neox_args: Any = NeoXArgs.from_ymls([config])
    neox_args.configure_distributed_args()
    neox_args.build_tokenizer = lambda: None
    neox_args.tokenizer = types.SimpleNamespace(eod=-1)
    initialize_megatron(neox_args=neox_args)
    model, optimizer, schedule, _ = setup_model_and_optimizer(neox_args=neox_args, use_cache=False, iteration=None)
    tokens = torch.load(tokens_path)
    length = tokens.shape[1]
    mask = torch.ones(1, 1, length, length).triu(1).bool()
    inputs = (tokens, torch.arange(length)[None].expand_as(tokens), mask)
    if int(steps):
        losses = []
        for _ in range(int(steps)):
            logits = model(inputs).float().contiguous()
            loss = mpu.vocab_parallel_cross_entropy(logits, tokens.roll(-1, 1)).mean()
            model.backward(loss)
            model.step()
            losses.append(loss.item())
        result = torch.tensor(losses)
    else:
        model.eval()
        with torch.no_grad():
            result = mpu.gather_from_model_parallel_region(model(inputs)).float()
    if neox_args.save:
        save_checkpoint(neox_args, int(steps), model, optimizer, schedule)
    if torch.distributed.get_rank() == 0:
        torch.save(result, logits_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
