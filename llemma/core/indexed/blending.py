"""Mixing several indexed data sets by weight, in GPT-NeoX's order.

Source: GPT-NeoX at ea7aefd8, megatron/data/blendable_dataset.py, helpers.cpp (build_blending_indices) and
data_utils.py (get_normalized_weights_and_num_samples).  Each next sample comes from the source that is furthest
behind its share, so that any run of samples from the beginning holds the weights as nearly as whole samples can.

A blend here is exactly as long as it was asked to be.  GPT-NeoX's is as long as its sources together, less one
each; the samples that both have are the same, and this one raises IndexError where NeoX wraps around.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llemma.core.errors import InputError, MissingPackageError
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.indexed.samples import SampleOrder

MAX_SOURCES = 254
"""GPT-NeoX numbers the sources with one byte and takes fewer than 255."""

SPARE_SAMPLES = 1.005
"""GPT-NeoX asks each source for half a percent more samples than its share."""

# Below this many comparisons plain Python is done before Numba would have been imported and compiled.
_COMPILE_ABOVE = 200_000
_COUNT_AT_ONCE = 1 << 20

Fill = Callable[[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray], None]


def normalized_weights(weights: Sequence[float]) -> list[float]:
    """Weights divided by their sum. Raises ValueError if one is negative or not finite, or all are zero."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise ValueError(f"weights must be finite and not negative, not {list(weights)}")
    total = sum(weights)
    if total <= 0:
        raise ValueError("at least one weight must be above zero")
    return [weight / total for weight in weights]


def samples_per_source(weights: Sequence[float], num_samples: int) -> list[int]:
    """Samples that each source is asked for: its share and half a percent, rounded up."""
    return [math.ceil(num_samples * weight * SPARE_SAMPLES) for weight in normalized_weights(weights)]


def blend_indices(weights: Sequence[float], num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Source number (uint8) and sample number within that source (int64) of each of `num_samples` samples."""
    shares, fill = _blending(weights, num_samples)
    sources, samples = np.empty(num_samples, np.uint8), np.empty(num_samples, np.int64)
    fill(shares, 0, np.zeros(len(shares), np.int64), sources, samples)
    return sources, samples


def blend_counts(weights: Sequence[float], num_samples: int) -> np.ndarray:
    """How many of `num_samples` samples come from each source, int64, in memory that does not grow with their number.

    The same draw as that of `blend_indices`, counted and not kept.
    """
    shares, fill = _blending(weights, num_samples)
    drawn = np.zeros(len(shares), np.int64)
    sources, samples = np.empty(_COUNT_AT_ONCE, np.uint8), np.empty(_COUNT_AT_ONCE, np.int64)
    for begin in range(0, num_samples, _COUNT_AT_ONCE):
        size = min(_COUNT_AT_ONCE, num_samples - begin)
        fill(shares, begin, drawn, sources[:size], samples[:size])
    return drawn


def _blending(weights: Sequence[float], num_samples: int) -> tuple[np.ndarray, Fill]:
    if not 1 <= len(weights) <= MAX_SOURCES:
        raise ValueError(f"{len(weights)} sources, but a blend takes 1 to {MAX_SOURCES}")
    # Normalised twice, as in NeoX: the last bit of a weight can decide which source is further behind.
    shares = np.array(normalized_weights(weights), dtype=np.float64)
    shares /= np.sum(shares)
    return shares, _compiled_fill() if num_samples * len(shares) > _COMPILE_ABOVE else _fill


@functools.cache
def _compiled_fill() -> Fill:
    try:
        import numba
    except ImportError:
        raise MissingPackageError("numba", "train") from None
    compiled: Fill = numba.njit(_fill)
    return compiled


def _fill(shares: np.ndarray, begin: int, drawn: np.ndarray, sources: np.ndarray, samples: np.ndarray) -> None:
    """Draws the samples from number `begin` on; `drawn` (samples taken from each source so far) goes along."""
    for i in range(len(sources)):
        done = max(float(begin + i), 1.0)
        furthest = 0
        most = shares[0] * done - drawn[0]
        for source in range(1, len(shares)):
            behind = shares[source] * done - drawn[source]
            if behind > most:
                most = behind
                furthest = source
        sources[i] = furthest
        samples[i] = drawn[furthest]
        drawn[furthest] += 1


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Samples of several data sets, mixed by weight in GPT-NeoX's order."""

    sources: tuple[SampleOrder, ...]
    weights: tuple[float, ...]
    source_index: np.ndarray
    sample_index: np.ndarray

    @classmethod
    def build(cls, sources: Sequence[tuple[str | Path, float]], num_samples: int, seq_length: int, seed: int) -> Blend:
        """A blend of `num_samples` samples of seq_length + 1 tokens from (prefix, weight) pairs.

        Raises InputError if a weight or a data set cannot be used, DamagedFileError if one is damaged.
        """
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise InputError(f"{len(sources)} data sets, but a mixture takes 1 to {MAX_SOURCES}: merge some of them")
        names = ", ".join(f"{prefix}: {weight}" for prefix, weight in sources)
        try:
            weights = normalized_weights([weight for _, weight in sources])
        except ValueError as error:
            raise InputError(f"the weights of the data sets cannot be used: {error} ({names})") from None
        orders = []
        counts = samples_per_source([weight for _, weight in sources], num_samples)
        for (prefix, _), count in zip(sources, counts, strict=True):
            reader = IndexedReader(prefix)
            if reader.num_tokens == 0:
                raise InputError(f"{idx_path(prefix)}: holds no tokens to draw samples from: leave this data set out")
            orders.append(SampleOrder.build(reader, None, count, seq_length, seed))
        source_index, sample_index = blend_indices([weight for _, weight in sources], num_samples)
        return cls(sources=tuple(orders), weights=tuple(weights), source_index=source_index, sample_index=sample_index)

    def __len__(self) -> int:
        return len(self.source_index)

    @property
    def neox_length(self) -> int:
        """The length that GPT-NeoX's blend of the same sources has."""
        return sum(len(order) - 1 for order in self.sources)

    def place(self, i: int) -> tuple[int, int]:
        """Source number and sample number within that source of sample `i`. Raises IndexError out of range."""
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of a blend of {len(self)}")
        return int(self.source_index[i]), int(self.sample_index[i])

    def sample(self, i: int) -> tuple[np.ndarray, int]:
        """Tokens of sample `i`, int64, shape (seq_length + 1,), and the number of its source."""
        source, sample = self.place(i)
        return self.sources[source].sample(sample), source

    def documents(self, i: int) -> list[int]:
        """Document numbers, in the .bin of its source, that sample `i` takes tokens from."""
        source, sample = self.place(i)
        return self.sources[source].documents(sample)
