"""The sample order: against megatron-core's compiled sample index and a slow reference written from the definition."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.indexed import IndexedReader, SampleOrder
from llemma.core.indexed.samples import build_sample_index, epochs_needed

MakePair = Callable[..., Path]


def slow_order(sizes: list[int], documents: list[int], num_samples: int, seq_length: int, seed: int) -> tuple:
    """Document index, token stream and shuffle index, one step at a time."""
    per_epoch = sum(sizes[document] for document in documents)
    epochs = 1
    while (epochs * per_epoch - 1) // seq_length < num_samples:
        epochs += 1
    random = np.random.RandomState(seed)
    order = np.array([document for _ in range(epochs) for document in documents], dtype=np.int32)
    random.shuffle(order)
    stream = [(int(document), offset) for document in order for offset in range(sizes[document])]
    shuffle = np.arange((len(stream) - 1) // seq_length)
    random.shuffle(shuffle)
    return order, stream, shuffle


@pytest.mark.parametrize("seq_length", [2, 7, 64])
@pytest.mark.parametrize("seed", [0, 1234])
def test_sample_index_is_that_of_megatron_core(seq_length: int, seed: int) -> None:
    from megatron.core.datasets import helpers

    random = np.random.RandomState(seed)
    sizes = random.randint(1, 90, size=300).astype(np.int32)
    documents = np.tile(np.arange(300, dtype=np.int32), 3)
    random.shuffle(documents)
    theirs = helpers.build_sample_idx(sizes, documents, seq_length, 3, int(sizes.sum()))
    ours = build_sample_index(sizes, documents, seq_length)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_sample_index_with_empty_documents_is_that_of_megatron_core() -> None:
    from megatron.core.datasets import helpers

    sizes = np.array([0, 5, 0, 0, 3, 1, 0, 9, 0], dtype=np.int32)
    documents = np.arange(9, dtype=np.int32)
    theirs = helpers.build_sample_idx(sizes, documents, 4, 1, 18)
    np.testing.assert_array_equal(build_sample_index(sizes, documents, 4), theirs)


@pytest.mark.parametrize(("num_samples", "seq_length", "seed"), [(1, 5, 3), (7, 5, 1234), (60, 3, 7), (25, 40, 99)])
def test_samples_equal_the_stream_cut_by_the_slow_reference(
    make_pair: MakePair, num_samples: int, seq_length: int, seed: int
) -> None:
    sizes = [4, 1, 11, 6, 30, 2, 2, 9]
    documents = [0, 1, 2, 4, 5, 7]
    reader = IndexedReader(make_pair("x", sizes))
    order, stream, shuffle = slow_order(sizes, documents, num_samples, seq_length, seed)
    ours = SampleOrder.build(reader, np.array(documents), num_samples, seq_length, seed)
    np.testing.assert_array_equal(ours.document_index, order)
    np.testing.assert_array_equal(ours.shuffle_index, shuffle)
    assert len(ours) == len(shuffle) >= num_samples
    for i in range(len(ours)):
        start = int(shuffle[i]) * seq_length
        wanted = stream[start : start + seq_length + 1]
        sample = ours.sample(i)
        assert sample.dtype == np.int64
        # Token ids count upwards over the whole file, so that each names its own place.
        assert sample.tolist() == [sum(sizes[:document]) + offset for document, offset in wanted]
        assert ours.documents(i) == list(dict.fromkeys(document for document, _ in wanted))


def test_epochs_needed_is_the_least_number_with_enough_samples() -> None:
    for tokens in (1, 2, 9, 10, 11, 100):
        for seq_length in (1, 3, 10):
            for num_samples in (0, 1, 2, 9, 10, 33):
                epochs = 1
                while (epochs * tokens - 1) // seq_length < num_samples:
                    epochs += 1
                assert epochs_needed(tokens, seq_length, num_samples) == epochs


def test_order_out_of_range_raises_where_neox_wraps(make_pair: MakePair) -> None:
    order = SampleOrder.build(IndexedReader(make_pair("x", [20, 20])), None, 3, 10, 1)
    assert len(order) == 3
    for i in (3, -1, 1000):
        with pytest.raises(IndexError):
            order.sample(i)


def test_order_of_lengths_alone_tells_documents_but_no_tokens() -> None:
    order = SampleOrder.build(np.array([20, 20], dtype=np.int32), None, 3, 10, 1)
    assert set(order.documents(0)) <= {0, 1}
    with pytest.raises(ValueError, match="built from lengths alone"):
        order.sample(0)


def test_order_of_wrong_input_raises_value_error() -> None:
    sizes = np.array([4, 4], dtype=np.int32)
    for documents, num_samples, seq_length in [([0, 2], 1, 2), ([-1], 1, 2), ([0], -1, 2), ([0], 1, 0), ([], 1, 2)]:
        with pytest.raises(ValueError):
            SampleOrder.build(sizes, np.array(documents, dtype=np.int32), num_samples, seq_length, 1)


def test_order_survives_pickling(make_pair: MakePair) -> None:
    order = SampleOrder.build(IndexedReader(make_pair("x", [20, 20])), None, 3, 10, 1)
    copy = pickle.loads(pickle.dumps(order))
    assert [copy.sample(i).tolist() for i in range(3)] == [order.sample(i).tolist() for i in range(3)]
