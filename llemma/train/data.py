"""Training and validation samples in GPT-NeoX's order, and a fingerprint of the data they are drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import DamagedFileError
from llemma.core.files import sha256_file, stable_hash
from llemma.core.indexed.blending import Blend
from llemma.core.indexed.layout import bin_path, idx_path
from llemma.train.documents import document_names
from llemma.train.settings import Settings, WeightedPath

# A source with a small weight gets at least so many samples, or its own loss would be noise. Chosen by us.
MIN_SAMPLES_PER_SOURCE = 8
_BLOCKS = 64  # of a large .bin that is too long to be hashed whole at every start
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A blend of data sets, with the bound that its tokens must keep."""

    blend: Blend
    sources: tuple[WeightedPath, ...]
    vocab_rows: int

    @classmethod
    def build(
        cls, sources: tuple[WeightedPath, ...], num_samples: int, seq_length: int, seed: int, vocab_rows: int
    ) -> Samples:
        """The samples that NeoX would draw from the sources."""
        pairs = [(source.prefix, source.weight) for source in sources]
        return cls(blend=Blend.build(pairs, num_samples, seq_length, seed), sources=sources, vocab_rows=vocab_rows)

    def tokens(self, numbers: Sequence[int]) -> np.ndarray:
        """Tokens of samples, int64, shape (samples, seq_length + 1). Raises DamagedFileError for an unknown token."""
        batch = np.stack([self.blend.sample(number)[0] for number in numbers])
        if int(batch.max()) >= self.vocab_rows or int(batch.min()) < 0:
            row = int(np.argmax(((batch >= self.vocab_rows) | (batch < 0)).any(axis=1)))
            source, _ = self.blend.place(numbers[row])
            raise DamagedFileError(
                f"{bin_path(self.sources[source].prefix)}: holds token {int(batch[row].max())}, but the model has only "
                f"{self.vocab_rows} rows: these shards were made with another tokenizer"
            )
        return batch

    def source_name(self, number: int) -> str:
        """The name of a sample's source."""
        return self.sources[self.blend.place(number)[0]].name

    def describe(self, numbers: Sequence[int], limit: int = 8) -> str:
        """The documents of samples in words, for a message: source and document numbers in its .bin.

        Where the data build's side file lies beside the .bin, the documents' ids, sources and names stand there too.
        """
        documents = {number: self.blend.documents(number)[:6] for number in numbers[:limit]}
        wanted: dict[int, set[int]] = {}
        for number, held in documents.items():
            wanted.setdefault(self.blend.place(number)[0], set()).update(held)
        names = {source: document_names(self.sources[source].prefix, held) for source, held in wanted.items()}
        parts = []
        for number, held in documents.items():
            named = names[self.blend.place(number)[0]]
            parts.append(f"  sample {number}: {self.source_name(number)}, documents {', '.join(map(str, held))}")
            parts += [f"    document {document}: {named[document]}" for document in held if document in named]
        more = len(numbers) - limit
        return "\n".join(parts) + (f"\n  and {more} more samples" if more > 0 else "")


def training_samples(settings: Settings, vocab_rows: int) -> Samples:
    """All samples of a stage."""
    config = settings.config
    return Samples.build(settings.train, settings.num_train_samples, config.seq_length, config.seed, vocab_rows)


@dataclass(frozen=True, kw_only=True)
class ValidationSet:
    """The samples of every validation: always the same ones, so that two losses of a run can be compared.

    NeoX draws on and on; ours are those of NeoX's first validation (`overall`), and behind them as many as small
    sources need for a loss of their own (`extra`, counted for their source alone).
    """

    samples: Samples
    overall: tuple[int, ...]
    extra: tuple[int, ...]


def validation_set(settings: Settings, vocab_rows: int) -> ValidationSet | None:
    """The validation samples of a stage, None where it has none."""
    if not settings.num_validation_samples:
        return None
    config = settings.config
    total = settings.num_planned_validation_samples
    smallest = min((source.weight for source in settings.validation if source.weight > 0), default=1.0)
    share = smallest / sum(source.weight for source in settings.validation)
    samples = Samples.build(settings.validation, total, config.seq_length, config.seed, vocab_rows)
    overall = range(settings.num_validation_samples)
    counts = np.bincount(samples.blend.source_index[: len(overall)], minlength=len(settings.validation))
    extra = []
    last = min(len(samples.blend), int(MIN_SAMPLES_PER_SOURCE / share) + len(overall))
    for number in range(len(overall), last):
        source = int(samples.blend.source_index[number])
        if counts[source] < MIN_SAMPLES_PER_SOURCE:
            counts[source] += 1
            extra.append(number)
    return ValidationSet(samples=samples, overall=tuple(overall), extra=tuple(extra))


def data_fingerprint(settings: Settings) -> str:
    """A hash of what the samples are drawn from: every index whole, of every .bin its length and blocks of it.

    A checkpoint keeps it, so that a run never goes on over other data at the same position.
    """
    return stable_hash(
        {
            "train": [_source_identity(source) for source in settings.train],
            "num_samples": settings.num_train_samples,
            "seq_length": settings.config.seq_length,
            "seed": settings.config.seed,
        }
    )


def _source_identity(source: WeightedPath) -> dict[str, Any]:
    tokens = bin_path(source.prefix)
    return {
        "weight": source.weight,
        "idx": sha256_file(idx_path(source.prefix)),
        "bytes": tokens.stat().st_size,
        "blocks": _hash_blocks(tokens),
    }


def _hash_blocks(path: Path) -> str:
    """SHA-256 over evenly spaced blocks of a file; over all of it where it is short."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= _BLOCKS * _BLOCK_BYTES:
            digest.update(file.read())
        else:
            for block in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()
