"""Where a stage stands in its data, counted in samples, and the order in which a process draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llemma.guard.exclusions import Exclusions, Range

_PROBES = 4096  # entries of an index that are hashed; chosen by us: it is read through in a moment


@dataclass
class DataPosition:
    """Samples consumed at the iteration that this process began with, and how many each iteration takes since."""

    base_iteration: int = 0
    base_samples: int = 0
    batch_size: int = 0
    exclusions: Exclusions = field(default_factory=Exclusions)
    num_samples: int | None = None  # of the training set; None in a process that holds none
    data_loaders: dict[str, Any] | None = None  # NeoX's, as they were built

    def begin(self, iteration: int, samples: int | None, batch_size: int) -> None:
        """Takes up the place of a checkpoint; None where it does not say, and every step was as large as now."""
        self.base_iteration, self.batch_size = iteration, batch_size
        self.base_samples = iteration * batch_size if samples is None else samples

    def samples_at(self, iteration: int) -> int:
        """Samples consumed when an iteration is finished; left out steps have consumed theirs too."""
        return self.base_samples + (iteration - self.base_iteration) * self.batch_size

    def next_sample(self, iteration: int) -> int:
        """The sample number behind the last one drawn: it stays true when samples before it are excluded later."""
        position = self.samples_at(iteration)
        return self.exclusions.number_at(position - 1, self.num_samples) + 1 if position else 0

    def drawn_at(self, iteration: int) -> tuple[Range, ...]:
        """The samples that the step after an iteration draws, over all processes."""
        return self.exclusions.ranges_at(self.samples_at(iteration), self.batch_size, self.num_samples)


class BatchNumbers:
    """The sample numbers of this process's micro-batches, without end: GPT-NeoX's order from any sample on.

    A global micro-batch is the next `batch_size` samples in a row, cut into equal parts by rank, as in NeoX's
    DistributedBatchSampler; excluded samples are passed over. Past its end a data set begins anew.
    """

    def __init__(
        self, *, num_samples: int, batch_size: int, rank: int, world_size: int, position: int, exclusions: Exclusions
    ) -> None:
        if not exclusions.position_of(num_samples):
            raise ValueError("a data set without samples, or with none that is not excluded, has no order")
        self.num_samples, self.batch_size = num_samples, batch_size
        self.rank, self.world_size = rank, world_size
        self.position, self.exclusions = position, exclusions

    def __len__(self) -> int:
        return self.num_samples // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        first, end = (at * self.batch_size // self.world_size for at in (self.rank, self.rank + 1))
        position = self.position
        while True:
            yield list(self.exclusions.numbers(position + first, end - first, self.num_samples))
            position += self.batch_size


def order_fingerprint(dataset: Any) -> str:
    """A hash of the order in which a data set of NeoX's draws documents; the same for any number of samples asked.

    Only a change of weights, documents, seed, sequence length or epochs moves it.
    """
    digest = hashlib.sha256()
    blend = getattr(dataset, "dataset_index", None)
    if blend is not None:
        digest.update(memoryview(blend[:_PROBES].astype("int64")))
    for part in getattr(dataset, "datasets", [dataset]):
        for name in ("doc_idx", "sample_idx", "shuffle_idx"):
            index = getattr(part, name, None)
            if index is not None:
                step = max(1, len(index) // _PROBES)
                digest.update(f"{name} {len(index)} ".encode())
                digest.update(memoryview(index[::step].astype("int64").copy()))
    return digest.hexdigest()[:32]
