"""What a stage is trained towards: one number for a micro-batch, and in validation one for each sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from llemma.train.data.batch import Batch
from llemma.train.model.llama import Llama
from llemma.train.model.loss import mean_loss, token_losses
from llemma.train.preference import Compared, Measures, dpo, kto
from llemma.train.settings import Precision, Preference


class Objective(Protocol):
    """Batches are on the model's device."""

    def loss(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, Measures]:
        """The number that a step makes smaller, with its gradients, and what is told beside it."""
        ...

    def by_sample(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, torch.Tensor]:
        """For each sample a sum of losses and over how many it goes: their quotient is the sample's loss."""
        ...


class NextToken:
    """The mean loss of the next token over the positions that count: of texts, or with labels of answers."""

    def loss(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, Measures]:
        """See Objective."""
        return mean_loss(model, batch, precision), {}

    def by_sample(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, torch.Tensor]:
        """See Objective."""
        return token_losses(model, batch, precision).double().sum(dim=1), batch.num_counted


NEXT_TOKEN = NextToken()


@dataclass(frozen=True, kw_only=True)
class Preferred:
    """DPO or KTO: answers under the model that is trained, compared with the same under a frozen one."""

    preference: Preference
    reference: Llama | None

    def loss(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, Measures]:
        """See Objective."""
        compared = self._compare(model, batch, precision)
        return compared.losses.mean(), compared.measures

    def by_sample(self, model: Llama, batch: Batch, precision: Precision) -> tuple[torch.Tensor, torch.Tensor]:
        """See Objective."""
        losses = self._compare(model, batch, precision).losses
        return losses.double(), torch.ones_like(losses)

    def _compare(self, model: Llama, batch: Batch, precision: Precision) -> Compared:
        told, reference = self.preference, None
        if self.reference is not None:
            if model.is_compiled:  # so that both round alike
                self.reference.compile_layers()
            with torch.no_grad():  # first, so that its activations are gone before those of the model are kept
                reference = _log_probabilities(self.reference, batch, precision)
        policy = _log_probabilities(model, batch, precision)
        if told.kind == "dpo":
            return dpo(policy, reference, told.beta)
        assert reference is not None and batch.rewards is not None  # KTO has both always
        return kto(
            policy,
            reference,
            batch.rewards,
            batch.num_counted,
            told.beta,
            told.desirable_weight,
            told.undesirable_weight,
        )


def _log_probabilities(model: Llama, batch: Batch, precision: Precision) -> torch.Tensor:
    """Of the positions that count in each row, in sum, shape (rows,)."""
    return -token_losses(model, batch, precision).sum(dim=1)


def frozen(model: Llama, precision: Precision) -> Llama:
    """A model that is only compared with: no gradients, and its matrices in the type that they are multiplied in.

    The embedding stays in fp32, in which it is read: nothing that is computed changes.
    """
    embedding = model.model.embed_tokens.weight
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if precision == "bfloat16" and parameter.dim() == 2 and parameter is not embedding:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model.eval()
