"""Blending: against megatron-core's compiled index, and the arithmetic of shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.errors import InputError
from llemma.core.indexed import Blend, IndexedReader, SampleOrder, blend_indices, samples_per_source
from llemma.core.indexed.blending import normalized_weights

MakePair = Callable[..., Path]


def megatron_blend(weights: list[float], size: int) -> tuple[np.ndarray, np.ndarray]:
    from megatron.core.datasets import helpers

    shares = np.array(normalized_weights(weights))
    shares /= shares.sum()
    sources, samples = np.zeros(size, dtype=np.int16), np.zeros(size, dtype=np.int64)
    helpers.build_blending_indices(sources, samples, shares, len(weights), size, False)
    return sources, samples


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        ([1.0], 10),
        ([0.5, 0.5], 1000),
        ([0.95 * 2 / 7, 0.95 * 4 / 7, 0.95 / 7, 0.02, 0.03], 5000),
        ([3, 1e-6, 0.0, 2], 999),
        ([1 / 3, 1 / 3, 1 / 3], 500),
    ],
)
def test_blend_indices_are_those_of_megatron_core(weights: list[float], size: int) -> None:
    ours, theirs = blend_indices(weights, size), megatron_blend(weights, size)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_blend_indices_of_a_long_compiled_run_are_those_of_megatron_core() -> None:
    weights = [float(w) for w in np.random.RandomState(5).rand(7)]
    ours, theirs = blend_indices(weights, 100_000), megatron_blend(weights, 100_000)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_sources_are_asked_for_their_share_and_half_a_percent_more() -> None:
    assert samples_per_source([2, 4, 1], 700) == [201, 402, 101]
    assert samples_per_source([1, 0], 3) == [4, 0]


def test_blend_never_draws_more_than_a_source_was_asked_for() -> None:
    random = np.random.RandomState(0)
    for _ in range(50):
        weights = [float(w) for w in random.rand(random.randint(1, 9)) ** 4]
        num_samples = int(random.randint(1, 300))
        drawn = np.bincount(blend_indices(weights, num_samples)[0], minlength=len(weights))
        assert (drawn <= np.array(samples_per_source(weights, num_samples))).all()


def test_blend_draws_each_source_in_its_own_order_and_names_documents(make_pair: MakePair) -> None:
    prefixes = [make_pair("a", [30, 7, 12]), make_pair("b", [5, 5, 50, 8], first=1000)]
    blend = Blend.build([(prefixes[0], 3), (prefixes[1], 1)], num_samples=40, seq_length=8, seed=11)
    assert len(blend) == 40
    orders = [
        SampleOrder.build(IndexedReader(prefix), None, count, 8, 11)
        for prefix, count in zip(prefixes, samples_per_source([3, 1], 40), strict=True)
    ]
    drawn = [0, 0]
    for i in range(40):
        tokens, source = blend.sample(i)
        np.testing.assert_array_equal(tokens, orders[source].sample(drawn[source]))
        assert blend.documents(i) == orders[source].documents(drawn[source])
        drawn[source] += 1
    assert drawn == [30, 10]
    with pytest.raises(IndexError):
        blend.sample(40)


def test_blend_of_wrong_input_says_what_to_do(make_pair: MakePair) -> None:
    good, empty = make_pair("a", [30]), make_pair("empty", [])
    with pytest.raises(InputError, match=r"weights.*negative.*a: -1"):
        Blend.build([(good, -1.0)], 1, 8, 1)
    with pytest.raises(InputError, match=r"empty\.idx: holds no tokens"):
        Blend.build([(good, 1.0), (empty, 1.0)], 1, 8, 1)
    with pytest.raises(InputError, match="255 data sets"):
        Blend.build([(good, 1.0)] * 255, 1, 8, 1)
    with pytest.raises(InputError, match="0 data sets"):
        Blend.build([], 1, 8, 1)
