"""Losses over the validation samples: of the mixture and of each of its sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from llemma.train.data.batch import BatchRules
from llemma.train.data.samples import ValidationSet
from llemma.train.grid import ALONE, Grid
from llemma.train.model.llama import Llama
from llemma.train.objective import Objective
from llemma.train.settings import Precision


@dataclass(frozen=True, kw_only=True)
class ValidationLoss:
    """Mean loss over the mixture's samples, and over the samples of each source."""

    loss: float
    by_source: dict[str, float]


def validation_loss(
    model: Llama,
    chosen: ValidationSet,
    batch_size: int,
    precision: Precision,
    rules: BatchRules,
    objective: Objective,
    on_batch: Callable[[], None],
    grid: Grid = ALONE,
) -> ValidationLoss:
    """The losses of a model, which is left in training mode. `on_batch` is called before every batch.

    Data-parallel processes take the batches in turn, and all of them get the losses of all.
    """
    everything = (*chosen.overall, *chosen.extra)
    told = torch.zeros(len(everything), 2, dtype=torch.float64, device=model.device)  # sum of losses, over how many
    chosen.samples.check_files()
    model.eval()
    with torch.inference_mode(), model.weights_held():
        for first in range(grid.data_rank * batch_size, len(everything), grid.data_size * batch_size):
            on_batch()
            here = slice(first, min(first + batch_size, len(everything)))
            batch = chosen.samples.batch(everything[here], rules).to(model.device)
            told[here, 0], told[here, 1] = objective.by_sample(model, batch, precision)
    model.train()
    grid.add_up(told)
    sums = {number: (loss, int(count)) for number, (loss, count) in zip(everything, told.tolist(), strict=True)}
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
