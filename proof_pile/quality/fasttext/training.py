"""Training of a classifier from labelled lines: one thread, a fixed order of sums, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from llemma.core.config import Config
from llemma.core.errors import InputError
from proof_pile.quality.fasttext import kernels
from proof_pile.quality.fasttext.model import Model, dictionary_table

MAX_WORDS = 8_000_000  # chosen by us: the table of words then stays below 1 GB
_SOFTMAX = 3


class TrainingSettings(Config):
    """Defaults: DeepSeekMath's (arXiv 2402.03300, section 2.1); buckets: fastText's.

    The input matrix takes (words + buckets) x dim x 4 bytes: 2 GB with these, 0.3 GB with 262,144 buckets.
    """

    dim: int = Field(default=256, ge=1, le=4096)
    rate: float = Field(default=0.1, gt=0, description="learning rate at the beginning; it falls to 0 in a line")
    word_ngrams: int = Field(default=3, ge=1, le=5)
    min_count: int = Field(default=3, ge=1, description="words seen less often have no row of their own")
    epochs: int = Field(default=3, ge=1)
    buckets: int = Field(default=2_000_000, ge=1, le=1 << 28)


def train(
    data: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    settings: TrainingSettings,
    seed: int,
    advance: Callable[[int, float], None] | None = None,
) -> Model:
    """A model of lines that lie one after the other in a UTF-8 buffer (which may be a memory map).

    offsets int64 [lines + 1]; labels int64 [lines], numbers into `names`.  `advance` is told epoch and mean loss.
    Raises InputError where a label has no line.
    """
    counts_of_labels = np.bincount(labels, minlength=len(names))
    for name, count in zip(names, counts_of_labels, strict=True):
        if count == 0:
            raise InputError(f"there is no line with the label '{name}' to train on: both kinds are needed")
    words, word_counts, num_tokens = _vocabulary(data, offsets, settings.min_count)
    keys, values = dictionary_table(words)
    bucket = settings.buckets if settings.word_ngrams > 1 else 0
    shape = np.array([len(words), bucket, settings.word_ngrams, 0, 0], np.int64)
    # numpy keeps the streams of its bit generators for ever, not those of Generator's methods: raw bits are asked for.
    bits = np.random.PCG64(seed)
    bound = 1.0 / settings.dim
    table = np.empty((len(words) + bucket, settings.dim), np.float32)
    for start in range(0, len(table), 4096):
        block = table[start : start + 4096]
        raw = bits.random_raw(block.size).reshape(block.shape)
        block[:] = ((raw >> np.uint64(40)).astype(np.float64) * (2.0**-23) - 1.0) * bound
    output = np.zeros((len(names), settings.dim), np.float32)
    done, total = 0, settings.epochs * num_tokens
    for epoch in range(settings.epochs):
        order = np.argsort(bits.random_raw(len(labels)), kind="stable")
        done, loss = kernels.train_epoch(
            data, offsets, labels, order, shape, keys, values, kernels.EOS, table, output, settings.rate, done, total
        )
        if advance is not None:
            advance(epoch, loss / max(len(labels), 1))
    return Model(
        words=words,
        labels=tuple(names),
        word_counts=word_counts,
        label_counts=tuple(int(count) for count in counts_of_labels),
        num_tokens=num_tokens,
        bucket=bucket,
        word_ngrams=settings.word_ngrams,
        minn=0,
        maxn=0,
        loss=_SOFTMAX,
        epochs=settings.epochs,
        min_count=settings.min_count,
        table=table,
        output=output,
        pruned=np.empty(0, np.int32),
    )


def _vocabulary(
    data: np.ndarray, offsets: np.ndarray, min_count: int
) -> tuple[tuple[bytes, ...], tuple[int, ...], int]:
    """Words seen often enough, the most frequent first (ties: the first seen first), their counts, and all tokens."""
    keys, counts, firsts, ends, num_tokens = kernels.count_words(data, offsets, kernels.EOS, MAX_WORDS)
    used = keys != 0
    kept = np.flatnonzero(used & (counts >= min_count))
    kept = kept[np.lexsort((firsts[kept], -counts[kept]))]
    words = tuple(bytes(data[firsts[slot] : ends[slot]]) if firsts[slot] >= 0 else bytes(kernels.EOS) for slot in kept)
    return words, tuple(int(counts[slot]) for slot in kept), int(num_tokens)
