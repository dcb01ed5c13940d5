"""One training step: gradients over the micro-batches, then one update. Between the two stands the guard."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from llemma.train.data.batch import IGNORED, Batch
from llemma.train.engine import Engine
from llemma.train.grid import ALONE, Grid
from llemma.train.model.llama import Llama
from llemma.train.objective import NEXT_TOKEN, Objective
from llemma.train.settings import Precision


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """What all processes know of a step before it is applied; the gradients themselves lie in the optimizer."""

    loss: float
    grad_norm: float
    measures: dict[str, float]  # what the objective tells beside its loss, the mean over the micro-batches
    is_stop_wanted: bool  # by any of the processes

    def clip_scale(self, clip: float) -> float:
        """What the gradients are multiplied by so that their norm is at most `clip` (0: no bound)."""
        return clip / (self.grad_norm + 1e-6) if 0 < clip < self.grad_norm else 1.0


def compute_gradients(
    model: Llama,
    optimizer: Engine,
    batches: Iterable[Batch],
    num_micro_batches: int,
    precision: Precision,
    objective: Objective = NEXT_TOKEN,
    grid: Grid = ALONE,
    *,
    is_stop_wanted: bool = False,
) -> Gradients:
    """The mean of the micro-batches' losses (NeoX's loss), with its gradients left in the optimizer.

    `batches` are this process's, `num_micro_batches` those of all data-parallel processes. A micro-batch without one
    position that counts adds nothing (NeoX divides by zero there).
    """
    total = torch.zeros((), device=model.device)
    measures: Counter[str] = Counter()  # of real numbers, which it adds up just as well
    with model.weights_held():
        for number, batch in enumerate(batches, 1):
            is_last = number * grid.data_size == num_micro_batches
            if bool((batch.labels == IGNORED).all()):
                if optimizer.needs_every_batch:
                    stand_in = dataclasses.replace(batch, labels=batch.inputs)
                    nothing, _ = objective.loss(model, stand_in.to(model.device), precision)
                    optimizer.backward(0 * nothing, is_last=is_last)
                continue
            loss, measured = objective.loss(model, batch.to(model.device), precision)
            loss = loss / num_micro_batches
            optimizer.backward(loss, is_last=is_last)
            total += loss.detach()
            for name, value in measured.items():
                measures[name] += value.item() / num_micro_batches  # type: ignore[assignment]
    told = grid.gathered([total.item(), optimizer.sum_gradients(), float(is_stop_wanted)])
    losses, squares, wishes = zip(*told, strict=True)
    if objective is not NEXT_TOKEN:
        found, measures = grid.gathered_facts(measures), Counter()
        for other in found[:: grid.tensor_size]:
            measures.update(other)
    return Gradients(
        loss=sum(losses) / grid.tensor_size,
        grad_norm=math.sqrt(sum(squares)),
        measures=dict(measures),
        is_stop_wanted=any(wishes),
    )
