"""What DPO and KTO make of the log probabilities of answers, under the model and under the one it is compared with.

DPO (Rafailov et al. 2023, arXiv 2305.18290, equation 7): of two answers to one question, w the better one,

    -log sigmoid(beta (log pi(w) / ref(w) - log pi(l) / ref(l)))

KTO (Ethayarajh et al. 2024, arXiv 2402.01306, equation 8): of one answer, whose reward r is 1 or -1,

    weight (1 - sigmoid(beta r (log pi / ref - z)))

where z, which no gradient runs through, stands for the divergence from the reference. Source: GPT-NeoX at ea7aefd8,
megatron/training.py:687-830, with its reward mended (llemma.neox_engine.repairs.kto_reward): z of one half of a
micro-batch is the mean over the other half of max(0, log pi / ref), and the measures have NeoX's names.

Log probabilities are sums over the tokens of an answer, in nats. Letters in shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

Measures = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Losses of samples, shape (N,), of which a step takes the mean, and what tells how they come about."""

    losses: torch.Tensor
    measures: Measures


def dpo(policy: torch.Tensor, reference: torch.Tensor | None, beta: float) -> Compared:
    """The losses of N pairs of answers: log probabilities of all better ones and then all worse ones, shape (2 N,).

    Without a reference its part is left out (NeoX's dpo_reference_free).
    """
    better, worse = policy.chunk(2)
    margins = better - worse
    measures = {"chosen_pos": better, "chosen_neg": worse}
    if reference is not None:
        ref, ref_rejected = reference.chunk(2)
        margins = margins - (ref - ref_rejected)
        rewards, rejected_rewards = beta * (better - ref), beta * (worse - ref_rejected)
        measures |= {
            "ref_pos": ref,
            "ref_neg": ref_rejected,
            "chosen_rewards": rewards,
            "rejected_rewards": rejected_rewards,
            "reward_acc": (rewards > rejected_rewards).float(),
            "margins": rewards - rejected_rewards,
        }
    return Compared(losses=-functional.logsigmoid(beta * margins), measures=_means(measures))


def kto(
    policy: torch.Tensor,
    reference: torch.Tensor,
    rewards: torch.Tensor,
    num_tokens: torch.Tensor,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Compared:
    """The losses of single answers of a micro-batch; all tensors of shape (N,).

    NeoX weighs each half of a micro-batch by its mean weight; here each sample has its own. Where the planner lets two
    weights differ, halves are of one sample.
    """
    ratios = policy - reference
    weights = desirable_weight * (rewards > 0).float() + undesirable_weight * (rewards < 0).float()
    signed = beta * rewards * (ratios - _divergence_of_the_other_half(ratios.detach()))
    measures = {
        "policy_logp": policy,
        "ref_logp": reference,
        "reward_acc": (rewards * ratios > 0).float(),
        "policy_rewards": (beta * rewards * ratios).sum(),
        "kl": ratios.sum() / num_tokens.sum().clamp(min=1),
    }
    return Compared(losses=weights * (1 - torch.sigmoid(signed)), measures=_means(measures))


def _divergence_of_the_other_half(ratios: torch.Tensor) -> torch.Tensor:
    """For each sample the mean positive log ratio of the half that it is not in, 0 where that half is empty."""
    halves = ratios.clamp(min=0).tensor_split(2)
    means = [half.mean() if len(half) else ratios.new_zeros(()) for half in halves]
    return torch.cat([mean.expand(len(half)) for half, mean in zip(halves, reversed(means), strict=True)])


def _means(measures: Measures) -> Measures:
    return {name: value.detach().mean() for name, value in measures.items()}
