"""The order in which GPT-NeoX draws training samples from one indexed data set.

Three indices make up the order, the same numbers as GPT-NeoX's at commit ea7aefd8
(megatron/data/gpt2_dataset.py, packed samples; its names in brackets):

document index (doc_idx)      sequence numbers, all epochs shuffled together; there is no separate last epoch
sample index (sample_idx)     row i: place in the document index and offset of the first token of packed sample i;
                              packed sample i ends with the token that packed sample i + 1 begins with
shuffle index (shuffle_idx)   the i-th sample drawn is packed sample shuffle_idx[i]

One `RandomState(seed)` shuffles the document index first and the shuffle index second. GPT-NeoX reports one sample
fewer than it has and wraps a number that is out of range with only a print; here all samples can be drawn, and a
number that is out of range raises IndexError.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llemma.core.indexed.reader import IndexedReader

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of one sequence: `length` tokens of sequence number `document` from `offset` on."""

    document: int
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True)
class SampleOrder:
    """Samples of seq_length + 1 tokens in the order in which GPT-NeoX draws them."""

    sizes: np.ndarray
    document_index: np.ndarray
    sample_index: np.ndarray
    shuffle_index: np.ndarray
    seq_length: int
    num_epochs: int
    reader: IndexedReader | None = None

    @classmethod
    def build(
        cls,
        reader_or_sizes: IndexedReader | np.ndarray,
        documents: np.ndarray | None,
        num_samples: int,
        seq_length: int,
        seed: int,
    ) -> SampleOrder:
        """The order over as many whole epochs of `documents` (None: all) as `num_samples` samples need.

        Raises ValueError if the documents hold no two tokens, do not exist, or a number is out of its range.
        """
        reader = reader_or_sizes if isinstance(reader_or_sizes, IndexedReader) else None
        sizes = reader.sizes if reader is not None else np.asarray(reader_or_sizes)
        if documents is None:
            documents = np.arange(len(sizes), dtype=np.int32)
        if len(documents) and not (int(documents.min()) >= 0 and int(documents.max()) < len(sizes)):
            raise ValueError(f"documents run from {documents.min()} to {documents.max()}, but there are {len(sizes)}")
        tokens_per_epoch = int(np.sum(sizes[documents], dtype=np.int64))
        num_epochs = epochs_needed(tokens_per_epoch, seq_length, num_samples)
        random = np.random.RandomState(seed)
        document_index = build_document_index(documents, num_epochs, random)
        sample_index = build_sample_index(sizes, document_index, seq_length)
        return cls(
            sizes=sizes,
            document_index=document_index,
            sample_index=sample_index,
            shuffle_index=build_shuffle_index(len(sample_index) - 1, random),
            seq_length=seq_length,
            num_epochs=num_epochs,
            reader=reader,
        )

    def __len__(self) -> int:
        """All samples that can be drawn; one more than GPT-NeoX's own length."""
        return len(self.shuffle_index)

    def spans(self, i: int) -> list[Span]:
        """The stretches that make up the i-th sample drawn; neighbouring samples share one token."""
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)} (the order was built for {self.num_epochs} epochs)")
        packed = int(self.shuffle_index[i])
        first, offset = (int(x) for x in self.sample_index[packed])
        last, last_offset = (int(x) for x in self.sample_index[packed + 1])
        spans = []
        for place in range(first, last + 1):
            document = int(self.document_index[place])
            stop = last_offset + 1 if place == last else int(self.sizes[document])
            if stop > offset:
                spans.append(Span(document=document, offset=offset, length=stop - offset))
            offset = 0
        return spans

    def documents(self, i: int) -> list[int]:
        """Sequence numbers that the i-th sample takes tokens from, in order, each once."""
        return list(dict.fromkeys(span.document for span in self.spans(i)))

    def sample(self, i: int) -> np.ndarray:
        """Tokens of the i-th sample drawn, int64, shape (seq_length + 1,)."""
        if self.reader is None:
            raise ValueError("this order was built from lengths alone: build it from an IndexedReader to read tokens")
        spans = self.spans(i)
        tokens = np.empty(self.seq_length + 1, dtype=np.int64)
        at = 0
        for span in spans:
            tokens[at : at + span.length] = self.reader.get(span.document, span.offset, span.length)
            at += span.length
        assert at == len(tokens)
        return tokens


def epochs_needed(tokens_per_epoch: int, seq_length: int, num_samples: int) -> int:
    """The fewest whole epochs (at least one) with `num_samples` samples that share their end tokens."""
    if seq_length < 1:
        raise ValueError(f"seq_length is {seq_length}, but must be at least 1")
    if num_samples < 0:
        raise ValueError(f"num_samples is {num_samples}, but must not be negative")
    if tokens_per_epoch < 1:
        raise ValueError("the documents hold no tokens, so no sample can be drawn from them")
    return max(1, -((-num_samples * seq_length - 1) // tokens_per_epoch))


def build_document_index(documents: np.ndarray, num_epochs: int, random: np.random.RandomState) -> np.ndarray:
    """All epochs' documents in one shuffled row, int32."""
    index = np.tile(np.asarray(documents, dtype=np.int32), num_epochs)
    random.shuffle(index)
    return index


def build_sample_index(sizes: np.ndarray, document_index: np.ndarray, seq_length: int) -> np.ndarray:
    """Place in the document index and offset in that document of each packed sample's first token.

    Shape (samples + 1, 2); int32 or, where GPT-NeoX takes it, int64. Equal to GPT-NeoX's `build_sample_idx_*` and
    megatron-core's `build_sample_idx`. Packed sample i begins at token i * seq_length of all documents laid end to
    end, so that each row is one search in the running total of lengths.
    """
    ends = np.cumsum(sizes[document_index], dtype=np.int64)
    num_tokens = int(ends[-1])
    num_samples = (num_tokens - 1) // seq_length
    # The type is chosen by NeoX's own rule, in its own (floating-point) arithmetic.
    narrow = 2 * ((num_tokens - 1) / seq_length + 1) < np.iinfo(np.int32).max
    index = np.empty((num_samples + 1, 2), dtype=np.int32 if narrow else np.int64)
    for first in range(0, num_samples + 1, _CHUNK):
        starts = np.arange(first, min(first + _CHUNK, num_samples + 1), dtype=np.int64) * seq_length
        places = np.searchsorted(ends, starts, side="right")
        rows = slice(first, first + len(starts))
        index[rows, 0] = places
        index[rows, 1] = starts - ends[places] + sizes[document_index[places]]
    # The first row is (0, 0) in the reference even where the first document is empty.
    index[0] = 0
    return index


def build_shuffle_index(num_samples: int, random: np.random.RandomState) -> np.ndarray:
    """The numbers of all packed samples, shuffled; uint32 unless there are too many."""
    dtype = np.int64 if num_samples >= np.iinfo(np.uint32).max - 1 else np.uint32
    index = np.arange(num_samples, dtype=dtype)
    random.shuffle(index)
    return index
