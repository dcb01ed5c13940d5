"""One micro-batch as the model takes it: what it reads, what it is to say, and what may be seen from where.

Letters in shapes: B samples, S positions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

IGNORED = -100  # PyTorch's own label for positions without a loss, and the label shards'


@dataclass(frozen=True, kw_only=True)
class BatchRules:
    """What the end-of-document token does: its successors do not count, or it ends what attention can see."""

    masked_after: int | None = None
    isolated_by: int | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples of S + 1 tokens: the first S are read, the last S are to be said (or IGNORED).

    Positions and mask are made by `to`, on the device: a mask is S / 8 times as large as its tokens, so that none waits
    in memory while batches are drawn ahead.
    """

    inputs: torch.Tensor  # (B, S)
    labels: torch.Tensor  # (B, S)
    isolated_by: int | None = None  # the token that ends what attention can see
    positions: torch.Tensor | None = None  # (B, S)
    mask: torch.Tensor | None = None  # (B, 1, S, S), True where attention may look
    rewards: torch.Tensor | None = None  # (B,), above 0 for a wanted answer, below for an unwanted one

    @property
    def num_counted(self) -> torch.Tensor:
        """Positions of each sample that count, shape (B,)."""
        return (self.labels != IGNORED).sum(dim=1)

    def pinned(self) -> Batch:
        """The same in memory that a GPU can fetch while the processor goes on."""
        rewards = None if self.rewards is None else self.rewards.pin_memory()
        return dataclasses.replace(
            self, inputs=self.inputs.pin_memory(), labels=self.labels.pin_memory(), rewards=rewards
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device, with the positions and the mask of isolated documents."""
        rewards = None if self.rewards is None else self.rewards.to(device, non_blocking=True)
        moved = dataclasses.replace(
            self,
            inputs=self.inputs.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            rewards=rewards,
        )
        if self.isolated_by is None:
            return moved
        positions, mask = isolated(moved.inputs, self.isolated_by)
        return dataclasses.replace(moved, positions=positions, mask=mask)


def make_batch(tokens: torch.Tensor, rules: BatchRules, labels: torch.Tensor | None = None) -> Batch:
    """A batch from tokens and, where the shards have them, labels, both of shape (B, S + 1)."""
    inputs = tokens[:, :-1]
    wanted = (tokens if labels is None else labels)[:, 1:]
    if labels is not None:
        wanted = wanted.masked_fill(wanted < 0, IGNORED)
    if rules.masked_after is not None:
        wanted = wanted.masked_fill(inputs == rules.masked_after, IGNORED)
    return Batch(inputs=inputs, labels=wanted, isolated_by=rules.isolated_by)


def isolated(inputs: torch.Tensor, eod: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions that begin anew behind each end of document, and the mask that hides other documents.

    The end-of-document token belongs to what it ends, as in llemma.neox_engine.repairs.packing.
    """
    is_end = inputs == eod
    document = torch.cumsum(is_end, dim=1) - is_end.long()
    length = inputs.shape[1]
    at = torch.arange(length, device=inputs.device).expand_as(inputs)
    begins = torch.zeros_like(is_end)
    begins[:, 1:] = is_end[:, :-1]
    positions = at - torch.cummax(at * begins, dim=1).values
    causal = torch.ones(length, length, dtype=torch.bool, device=inputs.device).tril()
    return positions, (causal & (document.unsqueeze(2) == document.unsqueeze(1))).unsqueeze(1)
