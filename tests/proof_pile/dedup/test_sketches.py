"""Sketches, banding and arrays on the disk against slow references."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llemma.core.errors import DamagedFileError
from proof_pile.dedup.arrays import ArrayFile, Spill, write_array
from proof_pile.dedup.banding import Banding, choose_banding
from proof_pile.dedup.candidates import ALL_PAIRS, PAIR, bucket_pairs
from proof_pile.dedup.clusters import pair_stretches
from proof_pile.dedup.components import Components
from proof_pile.dedup.config import NearDuplicatesConfig
from proof_pile.dedup.runs import stretches
from proof_pile.dedup.sketches import band_keys, doubt, low_bits, make_sketches, permutations, similarity


def reference_sketch(shingles: list[int], values: int, seed: int) -> list[int]:
    """The docstring of proof_pile.dedup.sketches, shingle by shingle."""
    multipliers, addends = (array.tolist() for array in permutations(values, seed))
    bins: list[list[int]] = [[] for _ in range(values)]
    for shingle in shingles:
        bins[(shingle >> 32) * values >> 32].append((shingle & 0xFFFFFFFF) >> 1)
    if not shingles:
        return [0xFFFFFFFF] * values
    return [
        min(inside) if inside else min(((s & 0xFFFFFFFF) * a + b) % 2**32 for s in shingles) >> 1 | 0x80000000
        for inside, a, b in zip(bins, multipliers, addends, strict=True)
    ]


def hashes_of(draw: random.Random, count: int) -> list[int]:
    return [draw.getrandbits(64) for _ in range(count)]


def test_sketches_are_those_of_the_reference() -> None:
    draw = random.Random(1)
    sets = [hashes_of(draw, count) for count in (0, 1, 3, 40, 16, 500, 0, 90)]
    offsets = np.cumsum([0, *map(len, sets)])
    joined = np.array([shingle for shingles in sets for shingle in shingles], np.uint64)
    sketches = make_sketches(joined, offsets, 16, seed=3)
    assert sketches.tolist() == [reference_sketch(shingles, 16, 3) for shingles in sets]


@pytest.mark.parametrize("size", [20, 100, 400, 3000])
def test_similarity_has_no_bias_and_no_more_spread_than_minhash(size: int) -> None:
    """In short texts most bins are empty, in long ones none: both kinds of value have to agree by similarity."""
    draw = random.Random(size)
    errors, spread = [], []
    for _ in range(150):
        shared = draw.randrange(size // 4, size)
        both = hashes_of(draw, shared)
        sets = [both + hashes_of(draw, size - shared) for _ in range(2)]
        truth = shared / (2 * size - shared)
        sketches = make_sketches(np.array(sets[0] + sets[1], np.uint64), np.array([0, size, 2 * size]), 128, seed=0)
        [estimate] = similarity(low_bits(sketches), np.array([0]), np.array([1])).tolist()
        errors.append(estimate - truth)
        spread.append(math.sqrt(truth * (1 - truth) / 128))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 1.25 * np.mean(spread)
    assert max(map(abs, errors)) < 1.3 * doubt(0.5, 128)


def test_band_keys_are_equal_just_where_all_rows_agree() -> None:
    draw = np.random.default_rng(0)
    sketches = draw.integers(0, 3, (60, 12), dtype=np.uint32)
    keys = band_keys(sketches, 4, 3)
    for a in range(60):
        for b in range(a):
            rows = [(sketches[a, 3 * k : 3 * k + 3] == sketches[b, 3 * k : 3 * k + 3]).all() for k in range(4)]
            assert (keys[a] == keys[b]).tolist() == rows
    assert len(set(band_keys(np.zeros((1, 12), np.uint32), 4, 3)[0].tolist())) == 4


def test_banding_follows_from_the_threshold_and_finds_what_it_promises() -> None:
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        banding = choose_banding(threshold, 128, 0.9)
        assert banding.bands * banding.rows <= 128
        assert banding.recall(threshold) >= 0.9
        more = Banding(bands=128 // (banding.rows + 1), rows=banding.rows + 1, values=128)
        assert more.recall(threshold) < 0.9
    assert choose_banding(0.8, 128, 0.9) == Banding(bands=16, rows=8, values=128)
    assert choose_banding(0.01, 16, 0.99).rows == 1


def test_recall_of_a_banding_is_what_random_sketches_show() -> None:
    draw = np.random.default_rng(5)
    banding = Banding(bands=14, rows=8, values=112)
    for jaccard in (0.6, 0.75, 0.9):
        agree = draw.random((20_000, 14, 8)) < jaccard
        found = np.any(np.all(agree, axis=2), axis=1)
        assert np.mean(found) == pytest.approx(banding.recall(jaccard), abs=0.015)


def test_explicit_bands_and_rows_are_taken_as_they_are() -> None:
    assert NearDuplicatesConfig(bands=14, rows=8).banding == Banding(bands=14, rows=8, values=128)
    assert NearDuplicatesConfig(bands=40, rows=10).banding.values == 400
    with pytest.raises(ValueError, match="both 'bands' and 'rows'"):
        NearDuplicatesConfig(bands=4)
    with pytest.raises(ValueError, match="at most 1,024"):
        NearDuplicatesConfig(bands=64, rows=64)


def pairs_of(keys: list[int], numbers: list[int], contents: list[int], *, collapse: bool) -> list[tuple[int, int]]:
    arrays = (np.array(keys, np.uint64), np.array(numbers, np.int64), np.array(contents, np.uint32))
    first, second = bucket_pairs(*arrays, collapse=collapse)
    return list(zip(first.tolist(), second.tolist(), strict=True))


def test_pairs_of_small_buckets_are_all_pairs_each_once() -> None:
    keys, numbers = [8, 8, 8, 4, 4, 10], [4, 2, 8, 2, 4, 5]
    assert pairs_of(keys, numbers, numbers, collapse=False) == [(2, 4), (2, 8), (4, 8)]


def test_copies_in_a_bucket_count_as_one_and_are_linked_with_the_first() -> None:
    pairs = pairs_of([8] * 5, [1, 2, 3, 4, 5], [7, 9, 7, 9, 6], collapse=True)
    assert pairs == [(1, 2), (1, 3), (1, 5), (2, 4), (2, 5)]
    assert pairs_of([9] * 3, [1, 2, 3], [7, 7, 6], collapse=True) == [(1, 2)]  # a bucket of contents: nothing else


def test_pairs_of_a_large_bucket_connect_it_without_comparing_all() -> None:
    size = ALL_PAIRS * 20
    pairs = pairs_of([8] * size, list(range(size)), list(range(size)), collapse=True)
    assert len(pairs) < 2 * size
    components = Components(size)
    components.join(*(np.array(column) for column in zip(*pairs, strict=True)))
    assert set(components.roots(np.arange(size)).tolist()) == {0}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60), st.integers(1, 5))
def test_components_are_those_of_a_search_through_the_graph(
    size: int, edges: list[tuple[int, int]], batches: int
) -> None:
    edges = [(a % size, b % size) for a, b in edges]
    components = Components(size)
    for start in range(batches):
        part = np.array(edges[start::batches], np.int64).reshape(-1, 2)
        components.join(part[:, 0], part[:, 1])
    expected = []
    for node in range(size):
        reached, frontier = {node}, [node]
        while frontier:
            at = frontier.pop()
            for a, b in edges:
                for here, there in ((a, b), (b, a)):
                    if here == at and there not in reached:
                        reached.add(there)
                        frontier.append(there)
        expected.append(min(reached))
    assert components.roots(np.arange(size)).tolist() == expected


def test_array_file_takes_rows_of_any_distance(tmp_path: Path) -> None:
    dtype = np.dtype([("a", "<u8"), ("b", "u1", (200,))])
    data = np.zeros(50_000, dtype)
    data["a"] = np.arange(50_000) * 3
    with open(tmp_path / "x", "wb") as file:
        write_array(file, data)
    with ArrayFile(tmp_path / "x", dtype) as array:
        rows = np.sort(np.random.default_rng(0).choice(50_000, 700, replace=False))
        rows = np.concatenate([rows[:600], np.arange(49_000, 50_000)])
        rows = np.unique(rows)
        assert array.take(rows)["a"].tolist() == (rows * 3).tolist()
        assert array.first_at_least(("a",), (301,)) == 101
        assert array.first_at_least(("a",), (10**9,)) == 50_000
        assert sum(len(block) for block in array.blocks(10_000)) == 50_000
    with pytest.raises(DamagedFileError, match="not whole records"):
        ArrayFile(tmp_path / "x", np.dtype([("a", "<u8"), ("b", "u1", (13,))]))


def test_spill_keeps_the_order_of_each_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    spill = Spill(tmp_path, 5, np.dtype("<u8"), 4800)
    expected: dict[int, list[int]] = {number: [] for number in range(5)}
    for _ in range(40):
        numbers, values = draw.integers(0, 4, 30), draw.integers(0, 1 << 40, 30)
        for number, value in zip(numbers.tolist(), values.tolist(), strict=True):
            expected[number].append(value)
        spill.add(numbers, values.astype("<u8"))
    spill.flush()
    assert {number: spill.read(number).tolist() for number in range(5)} == expected
    assert np.concatenate(list(spill.drain())).tolist() == [value for number in range(5) for value in expected[number]]
    assert list(tmp_path.iterdir()) == []


def test_spill_that_fits_into_memory_writes_nothing(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "is not made", 3, np.dtype("<u8"), 1 << 20)
    assert np.concatenate(list(spill.drain())).tolist() == []
    for number, value in ((2, 20), (0, 1), (2, 21), (0, 2)):
        spill.add(np.array([number]), np.array([value], "<u8"))
    assert np.concatenate(list(spill.drain())).tolist() == [1, 2, 20, 21]


def test_pairs_are_cut_also_where_all_have_one_first_document(tmp_path: Path) -> None:
    """Cut by first documents, a million copies of one text were a single stretch that no memory bound."""
    expected, paths = set(), []
    for number in range(7):
        seconds = [5, *range(10 + number, 3000, 1 + number), 2**33]
        pairs = np.zeros(len(seconds), PAIR)
        pairs["first"], pairs["second"] = 4, seconds
        expected |= {(4, second) for second in seconds}
        paths.append(str(tmp_path / str(number)))
        with open(paths[-1], "wb") as file:
            write_array(file, pairs)
    stretches_of_pairs = list(pair_stretches(paths, room=160 * 1000))
    found = [
        pair
        for pairs in stretches_of_pairs
        for pair in zip(*(pairs[n].tolist() for n in ("first", "second")), strict=True)
    ]
    assert found == sorted(expected)
    assert len(stretches_of_pairs) > 5
    assert max(map(len, stretches_of_pairs)) < 1500


def test_stretches_fill_the_room_and_leave_no_part_out() -> None:
    assert stretches(np.array([3, 3, 3, 9, 1, 1]), 6) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert stretches(np.array([0, 0]), 1) == [(0, 2)]
