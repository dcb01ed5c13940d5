"""Samples that begin with a document's beginning, in GPT-NeoX's order: for conversations, which are not to be cut.

pack_until_overflow   a sample takes whole documents until the next would not fit; the rest is padding
unpacked              a sample is one document

Source: GPT-NeoX at ea7aefd8, megatron/data/gpt2_dataset.py, _build_index_mappings and GPT2Dataset.__getitem__. As
there, the first token of the next document follows a sample's last where there is room, and documents without one
label that counts are passed over. The one sample whose next document does not exist gives way to the first that is
drawn. Where NeoX runs out of its row of documents while it passes some over, it crashes; here the row begins anew.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from llemma.core.errors import InputError
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.indexed.samples import SampleOrder

Packing = Literal["packed", "pack_until_overflow", "unpacked"]


def order_of_documents(
    reader: IndexedReader,
    labels: IndexedReader | None,
    num_samples: int,
    seq_length: int,
    seed: int,
    packing: Packing,
    allow_chopped: bool,
) -> SampleOrder:
    """The order of `num_samples` samples. Raises InputError where no document can be used."""
    random = np.random.RandomState(seed)
    shuffle_index = np.arange(num_samples)
    random.shuffle(shuffle_index)
    # Which part of the labels decides is not the same in NeoX's two packings.
    usable = _usable(reader, labels, seq_length, seq_length + (packing == "pack_until_overflow"), allow_chopped)
    if packing == "unpacked":
        document_index = np.resize(np.flatnonzero(usable), num_samples + 1)
        starts = np.arange(num_samples + 1)
    else:
        # Of one sample alone NeoX asks for ever for the one that is to take its place: here it has a second behind it.
        document_index, starts = _filled(reader.sizes, usable, max(2, num_samples), seq_length, random)
        is_last = shuffle_index == max(2, num_samples) - 1
        shuffle_index[is_last] = 0 if is_last[:1].any() else shuffle_index[:1]
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
    if not usable.any():
        raise InputError(
            f"{idx_path(reader.prefix)}: no document can be used for samples of {seq_length} tokens: each is too long, "
            "or has no label that counts so near its beginning"
        )
    return usable


def _filled(
    sizes: np.ndarray, usable: np.ndarray, num_samples: int, seq_length: int, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """The documents in a row, epoch behind epoch, each shuffled anew, and where in it each sample begins."""
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
    return np.array(documents, dtype=np.int64), np.array([*starts, len(documents)], dtype=np.int64)
