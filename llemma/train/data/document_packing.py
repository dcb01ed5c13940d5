"""Samples that begin with a document's beginning, in GPT-NeoX's order: for conversations, which are not to be cut.

pack_until_overflow   a sample takes whole documents until the next would not fit; the rest is padding
unpacked              a sample is one document, or of a pair of answers one document of each

Source: GPT-NeoX at ea7aefd8, megatron/data/gpt2_dataset.py, _build_index_mappings and GPT2Dataset.__getitem__, and the
same of pairwise_dataset.py. As there, the first token of the next document follows a sample's last where there is
room (of the last row's last, the first row's: llemma.neox_engine.repairs.last_row), and documents without one label
that counts are passed over. Where NeoX runs out of its row of documents while it passes some over, it crashes; here the
row begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from llemma.core.errors import InputError
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.indexed.samples import SampleOrder

Texts = tuple[IndexedReader, IndexedReader | None]  # tokens and their labels
Packing = Literal["packed", "pack_until_overflow", "unpacked"]


def order_of_documents(
    texts: Sequence[Texts],
    num_samples: int,
    seq_length: int,
    seed: int,
    packing: Packing,
    allow_chopped: bool,
) -> SampleOrder:
    """The order of `num_samples` samples. Raises InputError where no document can be used.

    Two texts are pairs of answers: it is the order of the first ones, and with their own sizes of the second.
    """
    reader, _ = texts[0]
    random = np.random.RandomState(seed)
    shuffle_index = np.arange(num_samples)
    if len(texts) > 1:
        shuffle_index %= len(reader)  # of pairs NeoX draws no more rows than it has documents
    random.shuffle(shuffle_index)
    usable = np.ones(len(reader), dtype=bool)
    for tokens, labels in texts:
        # Which part of the labels decides is not the same in NeoX's two packings.
        num_labels = seq_length + (packing == "pack_until_overflow")
        usable &= _usable(tokens, labels, seq_length, num_labels, allow_chopped)
    if not usable.any():
        raise InputError(
            f"{idx_path(reader.prefix)}: no document can be used for samples of {seq_length} tokens: each is too long, "
            "or has no label that counts so near its beginning"
        )
    if packing == "unpacked":
        document_index = np.resize(np.flatnonzero(usable), num_samples + 1)
        starts = np.arange(num_samples + 1)
    else:
        document_index, starts = _filled(reader.sizes, usable, num_samples, seq_length, random)
    return SampleOrder(
        sizes=reader.sizes,
        document_index=document_index.astype(np.int32),
        sample_index=np.stack([starts, np.zeros_like(starts)], axis=1),
        shuffle_index=shuffle_index,
        seq_length=seq_length,
        num_epochs=1,
        reader=reader,
    )


def _usable(
    reader: IndexedReader, labels: IndexedReader | None, seq_length: int, num_labels: int, allow_chopped: bool
) -> np.ndarray:
    usable = np.ones(len(reader), dtype=bool)
    if not allow_chopped:
        usable &= reader.sizes <= seq_length + 1
    if labels is not None:
        usable &= np.array([bool((labels.get(number)[:num_labels] != -100).any()) for number in range(len(reader))])
    return usable


def _filled(
    sizes: np.ndarray, usable: np.ndarray, num_samples: int, seq_length: int, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """The documents in a row, each epoch shuffled anew, and where in it each sample begins and all of them end."""
    row = np.arange(len(sizes))
    random.shuffle(row)
    documents: list[int] = []
    starts: list[int] = []
    length = 0
    while len(starts) < num_samples:
        for document in row:
            if len(starts) >= num_samples:
                break
            if not usable[document]:
                continue
            size = int(sizes[document])
            if length == 0 or length + size > seq_length + 1:
                starts.append(len(documents))
                length = 0
            length += size
            documents.append(int(document))
        random.shuffle(row)
    return np.array(documents + documents[:1], dtype=np.int64), np.array([*starts, len(documents)], dtype=np.int64)
