"""Step function: one partition of all keys -> pairs of documents that are duplicates, or may be.

pairs.bin   records of PAIR, by (first, second), each pair once: numbers of two documents (first < second), estimated
            Jaccard similarity, and kind: CONTENT (the same text), SURE (by the estimate), DOUBTFUL (to be counted)
params: exact, near, and where near is true threshold, values.   task.inputs: catalogue.json, same_names.bin.
task.args: partition, partitions (a power of two, at most PARTS).   counts: keys, candidates, pairs, doubtful.

Documents of one key are a bucket.  Those with the same content in a bucket count as one there.  Of a bucket of up to
ALL_PAIRS all pairs are compared; of a larger one each document with the first and with the next one, so that no bucket
costs more than two comparisons a document.  Two documents of earlier builds are not compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from proof_pile.dedup.arrays import ArrayFile, write_array
from proof_pile.dedup.catalogue import Catalogue, read_same_names
from proof_pile.dedup.fingerprints import CONTENT_KEY, KEY
from proof_pile.dedup.runs import PARTS
from proof_pile.dedup.sketches import doubt, similarity

VERSION = 1
ALL_PAIRS = 32  # chosen by us: some 500 comparisons
PAIR_BATCH = 1 << 15
CONTENT, SURE, DOUBTFUL = range(3)
PAIR = np.dtype([("first", "<u8"), ("second", "<u8"), ("jaccard", "<f4"), ("kind", "<u4")])
BYTES_A_KEY = 96  # what a key takes while its partition is worked on: measured 80, with room for what a sort takes


def partitions_for(num_keys: int, memory_mb: int) -> int:
    """How many partitions keep a task's memory about `memory_mb`: a power of two, at most PARTS."""
    count = 1
    while count < PARTS and num_keys * BYTES_A_KEY > count * (memory_mb << 20):
        count *= 2
    return count


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Finds the pairs of one partition."""
    catalogue = Catalogue(task.inputs[0].path)
    keys, numbers, contents = read_keys(catalogue, task)
    counts = {"keys": len(keys), "candidates": 0, "pairs": 0, "doubtful": 0}
    first, second = bucket_pairs(keys, numbers, contents, collapse=params["exact"])
    del keys, numbers, contents
    fresh = first < catalogue.num_own  # the smaller number: both are of earlier builds where it is
    first, second = first[fresh], second[fresh]
    counts["candidates"] = len(first)
    with open(out / "pairs.bin", "wb") as file:
        for begin in range(0, len(first), PAIR_BATCH):
            pairs = _judge(catalogue, first[begin : begin + PAIR_BATCH], second[begin : begin + PAIR_BATCH], params)
            write_array(file, pairs)
            counts["pairs"] += len(pairs)
            counts["doubtful"] += int((pairs["kind"] == DOUBTFUL).sum())
    return counts


def read_keys(catalogue: Catalogue, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys, numbers of documents and 32 bits of their contents of one partition, without same names that go."""
    share = PARTS // task.args["partitions"]
    first = task.args["partition"] * share
    bounds = [group.part_fences()[[first, first + share]] for group in catalogue.groups]
    total = int(sum(end - begin for begin, end in bounds))
    keys, numbers = np.empty(total, np.uint64), np.empty(total, np.int64)
    contents = np.empty(total, np.uint32)
    count = 0
    for group, (begin, end) in zip(catalogue.groups, bounds, strict=True):
        goes = read_same_names(task.inputs[1].path, group)["number"].astype(np.int64) - group.start
        with ArrayFile(group.path("keys.bin"), KEY) as file:
            step = 1 << 18
            for at in range(int(begin), int(end), step):
                piece = file.read(at, min(at + step, int(end)))
                if len(goes):
                    place = np.minimum(np.searchsorted(goes, piece["row"]), len(goes) - 1)
                    piece = piece[goes[place] != piece["row"]]
                stop = count + len(piece)
                keys[count:stop] = piece["key"]
                numbers[count:stop] = piece["row"] + np.int64(group.start)
                contents[count:stop] = piece["content"]
                count = stop
    return keys[:count], numbers[:count], contents[:count]


def bucket_pairs(
    keys: np.ndarray, numbers: np.ndarray, contents: np.ndarray, *, collapse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (first < second, sorted, each once) of documents with the same key.

    With `collapse`, copies within a bucket of a band count as one: the one with the smallest number.
    """
    order = np.argsort(keys)
    ordered = keys[order]
    equal = ordered[1:] == ordered[:-1]
    several = np.zeros(len(keys), bool)
    several[1:] |= equal
    several[:-1] |= equal
    order = order[several]
    del ordered, equal, several
    keys, numbers, contents = keys[order], numbers[order], contents[order]
    order = np.lexsort((numbers, contents, keys))
    keys, numbers, contents = keys[order], numbers[order], contents[order]
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if collapse and len(keys):
        leads = np.ones(len(keys), bool)
        leads[1:] = (keys[1:] != keys[:-1]) | (contents[1:] != contents[:-1])
        lead = np.maximum.accumulate(np.where(leads, np.arange(len(keys)), 0))
        # Copies are linked here too: a copy without a key of its own content stands in buckets of bands only.
        firsts.append(numbers[lead[~leads]])
        seconds.append(numbers[~leads])
        stays = leads & ((keys & CONTENT_KEY) == 0)
        keys, numbers = keys[stays], numbers[stays]
        order = np.lexsort((numbers, keys))
        keys, numbers = keys[order], numbers[order]
    _bucket_pairs(keys, numbers, firsts, seconds)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    fresh = np.ones(len(first), bool)
    fresh[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[fresh], second[fresh]


def _bucket_pairs(keys: np.ndarray, numbers: np.ndarray, firsts: list[np.ndarray], seconds: list[np.ndarray]) -> None:
    """Adds the pairs of each stretch of equal keys, of which the numbers rise."""
    if not len(keys):
        return
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(begins, len(keys)))
    for size in np.unique(sizes[(sizes > 1) & (sizes <= ALL_PAIRS)]).tolist():
        groups = numbers[begins[sizes == size][:, None] + np.arange(size)]
        left, right = np.triu_indices(size, 1)
        firsts.append(groups[:, left].reshape(-1))
        seconds.append(groups[:, right].reshape(-1))
    for begin, size in zip(begins[sizes > ALL_PAIRS].tolist(), sizes[sizes > ALL_PAIRS].tolist(), strict=True):
        group = numbers[begin : begin + size]
        firsts += [np.full(size - 1, group[0]), group[1:-1]]
        seconds += [group[1:], group[2:]]


def _judge(catalogue: Catalogue, first: np.ndarray, second: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """PAIR records of those pairs that are duplicates or may be."""
    numbers = np.unique(np.concatenate([first, second]))
    records = catalogue.records(numbers)
    a, b = np.searchsorted(numbers, first), np.searchsorted(numbers, second)
    kinds = np.full(len(first), -1, np.int64)
    jaccard = np.zeros(len(first), np.float32)
    if params["near"]:
        threshold = params["threshold"]
        jaccard = similarity(np.ascontiguousarray(records["sketch"]), a, b)
        margin = doubt(threshold, params["values"])
        kinds[jaccard > threshold - margin] = DOUBTFUL
        # The texts of earlier builds are not at hand: there the estimate has to do.
        trusted = np.where(second >= catalogue.num_own, threshold, threshold + margin)
        kinds[(second >= catalogue.num_own) & (jaccard < threshold)] = -1
        kinds[jaccard >= trusted] = SURE
        shingles = records["num_shingles"]
        kinds[(shingles[a] == 0) | (shingles[b] == 0)] = -1
    if params["exact"]:
        copies = (records["content"][a] == records["content"][b]).all(axis=1)
        kinds[copies] = CONTENT
        jaccard[copies] = 1
    chosen = np.flatnonzero(kinds >= 0)
    pairs = np.empty(len(chosen), PAIR)
    pairs["first"], pairs["second"] = first[chosen], second[chosen]
    pairs["jaccard"], pairs["kind"] = jaccard[chosen], kinds[chosen]
    return pairs
