"""Losses over the validation samples: of the mixture and of each of its sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from llemma.train.batch import BatchRules
from llemma.train.data import ValidationSet
from llemma.train.model import token_losses
from llemma.train.settings import Precision


@dataclass(frozen=True, kw_only=True)
class ValidationLoss:
    """Mean loss over the mixture's samples, and over the samples of each source."""

    loss: float
    by_source: dict[str, float]


def validation_loss(
    model: LlamaForCausalLM,
    chosen: ValidationSet,
    batch_size: int,
    precision: Precision,
    rules: BatchRules,
    on_batch: Callable[[], None],
) -> ValidationLoss:
    """The losses of a model, which is left in training mode. `on_batch` is called before every batch."""
    device = next(model.parameters()).device
    sums: dict[int, tuple[float, int]] = {}
    model.eval()
    with torch.inference_mode():
        for numbers in _batches((*chosen.overall, *chosen.extra), batch_size):
            on_batch()
            batch = chosen.samples.batch(numbers, rules).to(device)
            losses = token_losses(model, batch, precision, "none").double().sum(dim=1).tolist()
            counts = batch.num_counted.tolist()
            sums.update(zip(numbers, zip(losses, counts, strict=True), strict=True))
    model.train()
    by_source: dict[str, list[int]] = {}
    for number in sums:
        by_source.setdefault(chosen.samples.source_name(number), []).append(number)
    return ValidationLoss(
        loss=_mean(sums, chosen.overall),
        by_source={
            source.name: _mean(sums, by_source[source.name])
            for source in chosen.samples.sources
            if source.name in by_source
        },
    )


def _mean(sums: dict[int, tuple[float, int]], numbers: Sequence[int]) -> float:
    total = math.fsum(sums[number][0] for number in numbers)
    return total / max(1, sum(sums[number][1] for number in numbers))


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]
