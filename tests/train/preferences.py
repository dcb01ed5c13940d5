"""DPO and KTO once more, slowly: GPT-NeoX's rows, transformers' logits, the papers' formulas, one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llemma.core.indexed import IndexedReader
from llemma.core.indexed.blending import blend_indices, samples_per_source


def drawn_documents(num_documents: int, num_samples: int, seed: int, *, pairs: bool) -> list[int]:
    """Document by sample of one data set without a document to pass over: gpt2_dataset.py and pairwise_dataset.py."""
    shuffle = np.array([number % num_documents if pairs else number for number in range(num_samples)])
    np.random.RandomState(seed=seed).shuffle(shuffle)
    return [int(number) % num_documents for number in shuffle]


def drawn(folder: Path, split: str, num_samples: int, *, pairs: bool) -> list[tuple[Path, int]]:
    """Data set and document of each sample of the conversations' two sources."""
    from llemma.core.schemas import Mixture

    sources = Mixture.read(folder / "mixture.json").sources
    prefixes = [folder / "data" / source.name / split for source in sources]
    weights = [source.weight for source in sources]
    orders = [
        drawn_documents(len(IndexedReader(prefix)), count, 1234, pairs=pairs)
        for prefix, count in zip(prefixes, samples_per_source(weights, num_samples), strict=True)
    ]
    chosen = zip(*blend_indices(weights, num_samples), strict=True)
    return [(prefixes[source], orders[source][sample]) for source, sample in chosen]


def log_probability(model: Any, prefix: Path | str, document: int) -> torch.Tensor:
    """Of a document's tokens that have labels, in sum, by a transformers model that sees this document alone."""
    ids = torch.from_numpy(IndexedReader(prefix).get(document).astype(np.int64))
    labels = torch.from_numpy(IndexedReader(f"{prefix}_labels").get(document).astype(np.int64))
    logps = model(ids[None]).logits[0].float().log_softmax(-1)
    said = [logps[at - 1, ids[at]] for at in range(1, len(ids)) if labels[at] != -100]
    return torch.stack(said).sum()


def dpo_loss(policy: Any, reference: Any, pairs: Sequence[tuple[Path, int]], beta: float) -> torch.Tensor:
    """arXiv 2305.18290, equation 7; a reference of None says nothing."""
    losses = []
    for prefix, document in pairs:
        margin = log_probability(policy, prefix, document) - log_probability(policy, f"{prefix}_rejected", document)
        if reference is not None:
            with torch.no_grad():
                margin -= log_probability(reference, prefix, document)
                margin += log_probability(reference, f"{prefix}_rejected", document)
        losses.append(torch.log1p(torch.exp(-beta * margin)))
    return torch.stack(losses).mean()


def kto_loss(
    policy: Any, reference: Any, answers: Sequence[tuple[Path, int]], beta: float, weights: dict[int, float]
) -> torch.Tensor:
    """arXiv 2402.01306, equation 8; z of a sample is the mean positive log ratio of the micro-batch's other half."""
    ratios, rewards = [], []
    for prefix, document in answers:
        with torch.no_grad():
            before = log_probability(reference, prefix, document)
        ratios.append(log_probability(policy, prefix, document) - before)
        rewards.append(int(IndexedReader(f"{prefix}_rewards").get(document)[0]))
    half = len(ratios) // 2
    losses = []
    for number, (ratio, reward) in enumerate(zip(ratios, rewards, strict=True)):
        others = ratios[half:] if number < half else ratios[:half]
        divergence = sum(max(0.0, float(other.detach())) for other in others) / half
        losses.append(weights[reward] * (1 - 1 / (1 + torch.exp(-beta * reward * (ratio - divergence)))))
    return torch.stack(losses).mean()
