"""How much a stage's sources hold, in tokens and in samples: what an epoch is.

GPT-NeoX makes samples of documents in three ways (pack_impl; megatron/data/gpt2_dataset.py at ea7aefd8):
packed               documents run on from one sample into the next: tokens / seq_length samples
unpacked             each document is a sample, however short
pack_until_overflow  whole documents until the next would not fit, and the rest is padding: counted from the shards,
                     document by document in their order (GPT-NeoX shuffles them, which changes the count little)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import LlemmaError
from llemma.core.indexed.reader import IndexedReader
from llemma.plan.sources import Data
from llemma.stages import PlannedSource

_COUNTED = 1 << 20  # documents packed one by one; of larger sources this many, which is plenty for a mean


@dataclass(frozen=True, kw_only=True)
class SourceSupply:
    """One source with its share and what it holds for training; None where nobody has said it."""

    name: str
    weight: float
    tokens: int | None
    documents: int | None
    prefix: Path | None = None  # its shard

    def samples(self, packing: str, seq_length: int) -> float | None:
        """Samples that one pass over it makes; None where too little is known of it."""
        if packing == "unpacked":
            return self.documents or None
        if not self.tokens:
            return None
        if packing != "pack_until_overflow" or not self.documents:
            return self.tokens / seq_length
        sizes = self._document_sizes()
        if sizes is None:
            # As long as their mean, all of them: nearer to the truth than sequences without padding.
            return self.documents / max(1, int((seq_length + 1) * self.documents // self.tokens))
        counted = sizes[:_COUNTED]
        return packed_samples(counted.tolist(), seq_length) * len(sizes) / len(counted)

    def _document_sizes(self) -> np.ndarray | None:
        try:
            sizes = IndexedReader(self.prefix).sizes if self.prefix is not None else None
        except LlemmaError:
            return None  # told with the other faults of the data
        return sizes if sizes is not None and len(sizes) else None


def packed_samples(lengths: Iterable[int], seq_length: int) -> int:
    """Samples that whole documents fill, one after the other; a sample reads one token more than its length."""
    samples, filled = 0, 0
    for length in lengths:
        if filled and filled + length <= seq_length + 1:
            filled += length
        else:
            samples, filled = samples + 1, length
    return samples


def supplies(data: Data | None, planned: Sequence[PlannedSource]) -> tuple[SourceSupply, ...]:
    """What a mixture's sources hold, or what a recipe plans for until it is named."""
    if data is None:
        total = sum(source.weight for source in planned)
        return tuple(
            SourceSupply(name=s.name, weight=s.weight / total, tokens=s.tokens, documents=s.documents) for s in planned
        )
    found = []
    for source in data.mixture.sources:
        shard = source.splits.get("train")
        found.append(
            SourceSupply(
                name=source.name,
                weight=source.weight,
                tokens=shard.num_tokens if shard else 0,
                documents=shard.num_documents if shard else 0,
                prefix=data.path.parent / shard.path if shard else None,
            )
        )
    return tuple(found)


def packing_of(values: dict[str, Any]) -> str:
    """How the overlays make samples of documents."""
    return str(values.get("pack_impl", "packed"))
