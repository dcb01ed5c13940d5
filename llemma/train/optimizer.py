"""AdamW with GPT-NeoX's two groups of parameters, and its state by the names of the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from llemma.core.errors import DamagedFileError
from llemma.neox.config import NeoxConfig

_STATE_KEYS = ("step", "exp_avg", "exp_avg_sq")


def weight_decay_groups(model: nn.Module, weight_decay: float) -> tuple[list[str], list[str]]:
    """Names of the parameters with and without weight decay: norms and biases have none, embeddings do.

    Source: GPT-NeoX megatron/model/utils.py, get_params_for_weight_decay_optimization, at ea7aefd8. With a weight
    decay of 0 all parameters stand in the second group, as there.
    """
    decayed: list[str] = []
    free: list[str] = []
    seen: set[int] = set()
    for module_name, module in model.named_modules():
        is_norm = "Norm" in type(module).__name__
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            full_name = f"{module_name}.{name}" if module_name else name
            (free if is_norm or name == "bias" or weight_decay == 0 else decayed).append(full_name)
    return decayed, free


def make_optimizer(model: nn.Module, config: NeoxConfig) -> torch.optim.AdamW:
    """The optimizer of a stage; its learning rate is set before every step."""
    parameters = dict(model.named_parameters())
    decayed, free = weight_decay_groups(model, config.weight_decay)
    groups = [
        {"params": [parameters[name] for name in names], "weight_decay": decay}
        for names, decay in ((decayed, config.weight_decay), (free, 0.0))
        if names
    ]
    chosen = config.optimizer.params
    return torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas, eps=chosen.eps, fused=True)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """The optimizer's state as `{key}.{parameter}`, on the CPU."""
    return {
        f"{key}.{name}": optimizer.state[parameter][key].detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if optimizer.state.get(parameter)
        for key in _STATE_KEYS
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.AdamW, tensors: dict[str, torch.Tensor]) -> None:
    """Takes up a stored state. Raises DamagedFileError where it is not the state of this model."""
    wanted = {f"{key}.{name}": shape for name, key, shape in _state_shapes(model)}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found and found != wanted:
        differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        raise DamagedFileError(f"the optimizer's state does not fit the model: {', '.join(differing[:5])}")
    if not found:  # no step had been taken when it was stored
        return
    for name, parameter in model.named_parameters():
        state: dict[str, Any] = {key: tensors[f"{key}.{name}"] for key in _STATE_KEYS}
        # The fused kernel wants its counter beside the parameter.
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}


def _state_shapes(model: nn.Module) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for name, parameter in model.named_parameters():
        for key in _STATE_KEYS:
            yield name, key, () if key == "step" else tuple(parameter.shape)
