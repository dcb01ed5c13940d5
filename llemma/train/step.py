"""One training step: gradients over the micro-batches, then one update. Between the two stands the guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import LlamaForCausalLM

from llemma.train.batch import IGNORED, Batch
from llemma.train.model import token_losses
from llemma.train.settings import Precision


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """What is known of a step before it is applied; the gradients themselves lie in the parameters."""

    loss: float
    grad_norm: float
    norm: torch.Tensor


def compute_gradients(model: LlamaForCausalLM, batches: Sequence[Batch], precision: Precision) -> Gradients:
    """The mean of the micro-batches' mean losses (NeoX's loss), with its gradients left in the parameters.

    A micro-batch without one position that counts adds nothing (NeoX divides by zero there).
    """
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    for batch in batches:
        if bool((batch.labels == IGNORED).all()):
            continue
        loss = token_losses(model, batch.to(device), precision, "mean") / len(batches)
        torch.autograd.backward(loss)
        total += loss.detach()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    return Gradients(loss=total.item(), grad_norm=norm.item(), norm=norm)


def apply_update(
    model: LlamaForCausalLM, optimizer: torch.optim.AdamW, gradients: Gradients, clip: float, lr: float
) -> None:
    """Clips the gradients to the norm `clip` (0: not at all), makes one update and clears them."""
    if clip > 0 and gradients.grad_norm > clip:
        nn.utils.clip_grads_with_norm_(model.parameters(), clip, gradients.norm)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def drop_gradients(optimizer: torch.optim.AdamW) -> None:
    """Throws the gradients of a step away that is left out."""
    optimizer.zero_grad(set_to_none=True)
