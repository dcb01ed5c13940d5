"""Training and validation samples in GPT-NeoX's order, and a fingerprint of the data they are drawn from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.files import sha256_file, stable_hash
from llemma.core.indexed.blending import Blend, blend_indices, normalized_weights, samples_per_source
from llemma.core.indexed.layout import bin_path, idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.indexed.samples import SampleOrder
from llemma.guard.exclusions import Exclusions
from llemma.train.data.batch import IGNORED, Batch, BatchRules, make_batch
from llemma.train.data.companions import Companions
from llemma.train.data.document_packing import order_of_documents
from llemma.train.data.documents import document_names, shown
from llemma.train.settings import Settings, WeightedPath

# A source with a small weight gets at least so many samples, or its own loss would be noise. Chosen by us.
MIN_SAMPLES_PER_SOURCE = 8
_BLOCKS = 64  # of a large .bin that is too long to be hashed whole at every start
_BLOCK_BYTES = 1 << 16
_SHOWN_TOKENS = 40  # of a document's beginning; chosen by us
Decode = Callable[[Sequence[int]], str]
_Part = Literal["tokens", "labels", "rejected", "rejected_labels"]
_ANSWERS: tuple[tuple[_Part, _Part], ...] = (("tokens", "labels"), ("rejected", "rejected_labels"))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A blend of data sets, with the bound that its tokens must keep."""

    blend: Blend
    sources: tuple[WeightedPath, ...]
    companions: tuple[Companions, ...]  # what goes with each source's tokens
    vocab_rows: int
    num_planned: int
    exclusions: Exclusions = field(default_factory=Exclusions)

    @classmethod
    def build(cls, settings: Settings, sources: tuple[WeightedPath, ...], num_samples: int, vocab_rows: int) -> Samples:
        """The samples that NeoX would draw from the sources."""
        companions = tuple(map(Companions.open, sources))
        blend = _blend(settings, sources, companions, num_samples)
        return cls(blend=blend, sources=sources, companions=companions, vocab_rows=vocab_rows, num_planned=num_samples)

    def without(self, exclusions: Exclusions) -> Samples:
        """The same samples without some: those behind them move up, and at the end NeoX's blend gives more."""
        if not exclusions:
            return dataclasses.replace(self, exclusions=exclusions)
        weights = [source.weight for source in self.sources]
        source_index, sample_index = blend_indices(weights, self.num_planned + len(exclusions))
        lengths = np.array([len(order) - 1 for order in self.blend.sources])  # NeoX's own, see llemma.core.indexed
        is_beyond = sample_index >= lengths[source_index]
        is_beyond[: self.num_planned] = False
        end = int(np.argmax(is_beyond)) if is_beyond.any() else len(is_beyond)
        blend = dataclasses.replace(self.blend, source_index=source_index[:end], sample_index=sample_index[:end])
        return dataclasses.replace(self, blend=blend, exclusions=exclusions)

    def numbers(self, position: int, count: int) -> list[int]:
        """The numbers of `count` samples from a position on; behind the last one the blend begins anew.

        Raises WorkError where all samples are left out.
        """
        there = len(self.blend) - len(self.exclusions)
        if there < 1:
            raise WorkError(f"the guard has left out all of the {len(self.blend)} samples: nothing is left to train on")
        return [self.exclusions.number_at((position + offset) % there) for offset in range(count)]

    def check_files(self) -> None:
        """Raises DamagedFileError if a shard has been cut short since it was opened: to read it would kill us."""
        for order, beside in zip(self.blend.sources, self.companions, strict=True):
            for reader in (order.reader, *beside.readers()):
                assert reader is not None  # an order of a blend is built from a reader
                reader.check_not_cut()

    def tokens(self, numbers: Sequence[int]) -> np.ndarray:
        """Tokens of samples, int64, shape (samples, seq_length + 1). Raises DamagedFileError for an unknown token."""
        return self._rows(numbers, "tokens")

    def batch(self, numbers: Sequence[int], rules: BatchRules) -> Batch:
        """A micro-batch of samples; of pairs of answers the better ones stand above the worse ones, as in NeoX."""
        beside = self.companions[0]  # one source has what all have
        answers = _ANSWERS if beside.rejected is not None else _ANSWERS[:1]
        tokens = np.concatenate([self._rows(numbers, part) for part, _ in answers])
        labels = None
        if beside.labels is not None:
            labels = torch.from_numpy(np.concatenate([self._rows(numbers, part) for _, part in answers]))
        batch = make_batch(torch.from_numpy(tokens), rules, labels)
        if beside.rewards is None:
            return batch
        return dataclasses.replace(batch, rewards=torch.tensor([self._reward(number) for number in numbers]))

    def _rows(self, numbers: Sequence[int], part: _Part) -> np.ndarray:
        """Tokens or labels of samples. Raises DamagedFileError for one that the model does not know."""
        rows = np.stack([self._row(number, part) for number in numbers])
        lowest = IGNORED if "labels" in part else 0
        if int(rows.max()) >= self.vocab_rows or int(rows.min()) < lowest:
            row = int(np.argmax(((rows >= self.vocab_rows) | (rows < lowest)).any(axis=1)))
            reader = self._order(self.blend.place(numbers[row])[0], part).reader
            assert reader is not None  # else there would be no sample
            raise DamagedFileError(
                f"{bin_path(reader.prefix)}: holds token {int(rows[row].max())}, but the model has only "
                f"{self.vocab_rows} rows: these shards are damaged, or were made with another tokenizer"
            )
        return rows

    def _row(self, number: int, part: _Part) -> np.ndarray:
        """Tokens or labels of a sample, int64, shape (seq_length + 1,), cut or padded to that length as in NeoX."""
        source, sample = self.blend.place(number)
        order = self._order(source, part)
        assert order.reader is not None  # else there would be no sample
        row = np.full(order.seq_length + 1, IGNORED if "labels" in part else 0, dtype=np.int64)
        at = 0
        for span in order.spans(sample):
            length = min(span.length, len(row) - at)
            row[at : at + length] = order.reader.get(span.document, span.offset, length)
            at += length
        return row

    def _order(self, source: int, part: _Part) -> SampleOrder:
        """A source's order for reading its tokens or a companion of them."""
        order = self.blend.sources[source]
        if part == "tokens":
            return order
        reader = getattr(self.companions[source], part)
        return dataclasses.replace(order, reader=reader, sizes=reader.sizes)

    def _reward(self, number: int) -> float:
        """The reward of the document that a sample begins with."""
        source, _ = self.blend.place(number)
        rewards = self.companions[source].rewards
        assert rewards is not None  # only asked where there are any
        return float(rewards.get(self.blend.documents(number)[0])[0])

    def source_name(self, number: int) -> str:
        """The name of a sample's source."""
        return self.sources[self.blend.place(number)[0]].name

    def describe(self, numbers: Sequence[int], decode: Decode, limit: int) -> str:
        """The documents of samples in words, for a message: source, document numbers in its .bin, how each begins.

        Where the data build's side file lies beside the .bin, the documents' ids, sources and names stand there too.
        """
        documents = {number: self.blend.documents(number)[:6] for number in numbers[:limit]}
        wanted: dict[int, set[int]] = {}
        for number, held in documents.items():
            wanted.setdefault(self.blend.place(number)[0], set()).update(held)
        names = {source: document_names(self.sources[source].prefix, held) for source, held in wanted.items()}
        parts = []
        for number, held in documents.items():
            source, _ = self.blend.place(number)
            parts.append(f"  sample {number}: {self.source_name(number)}, documents {', '.join(map(str, held))}")
            for document in held:
                told = [str(names[source][document])] if document in names[source] else []
                reader, rejected = self.blend.sources[source].reader, self.companions[source].rejected
                told.append(f"begins {shown(_beginning(reader, document, decode))}")
                if rejected is not None:
                    told.append(f"rejected {shown(_beginning(rejected, document, decode))}")
                parts.append(f"    document {document}: {', '.join(told)}")
        more = len(numbers) - limit
        return "\n".join(parts) + (f"\n  and {more} more samples" if more > 0 else "")


def _beginning(reader: IndexedReader | None, document: int, decode: Decode) -> str:
    """The first words of a document."""
    assert reader is not None  # an order of a blend is built from a reader
    size = int(reader.sizes[document])
    return decode(reader.get(document, 0, min(size, _SHOWN_TOKENS)).tolist())


def _blend(
    settings: Settings,
    sources: tuple[WeightedPath, ...],
    companions: tuple[Companions, ...],
    num_samples: int,
) -> Blend:
    config, weights = settings.config, [source.weight for source in sources]
    if settings.packing == "packed":
        pairs = [(source.prefix, source.weight) for source in sources]
        return Blend.build(pairs, num_samples, config.seq_length, config.seed)
    counts = samples_per_source(weights, num_samples)
    source_index, sample_index = blend_indices(weights, num_samples)
    return Blend(
        sources=tuple(
            order_of_documents(
                _texts(source, beside),
                count,
                config.seq_length,
                config.seed,
                settings.packing,
                settings.allow_chopped,
            )
            for source, beside, count in zip(sources, companions, counts, strict=True)
        ),
        weights=tuple(normalized_weights(weights)),
        source_index=source_index,
        sample_index=sample_index,
    )


def _texts(source: WeightedPath, beside: Companions) -> list[tuple[IndexedReader, IndexedReader | None]]:
    texts = [(IndexedReader(source.prefix), beside.labels)]
    return texts if beside.rejected is None else [*texts, (beside.rejected, beside.rejected_labels)]


def training_samples(settings: Settings, vocab_rows: int) -> Samples:
    """All samples of a stage."""
    return Samples.build(settings, settings.train, settings.num_train_samples, vocab_rows)


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
    total = settings.num_planned_validation_samples
    smallest = min((source.weight for source in settings.validation if source.weight > 0), default=1.0)
    share = smallest / sum(source.weight for source in settings.validation)
    samples = Samples.build(settings, settings.validation, total, vocab_rows)
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
            "packing": [settings.packing, settings.allow_chopped],
        }
    )


def _source_identity(source: WeightedPath) -> dict[str, Any]:
    tokens = bin_path(source.prefix)
    return {
        "weight": source.weight,
        "idx": sha256_file(idx_path(source.prefix)),
        "bytes": tokens.stat().st_size,
        "blocks": _hash_blocks(tokens),
        "labels": _hash_blocks(bin_path(source.labels)) if source.labels else None,
        **{
            name: _hash_blocks(bin_path(prefix))
            for name in ("rewards", "rejected", "rejected_labels")
            if (prefix := getattr(source, name))
        },
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
