"""Step function: all pairs -> clusters -> which document of each stays and why each other goes.

removed.<group>.bin     records of REMOVED of that group of this build (six digits), by number
    number, kept        the document that goes, and the one of its cluster that stays
    via                 the document that it is most similar to, where that is not the one that stays; else `kept`
    jaccard, estimated  similarity with `via`; 0 where it was counted from the texts
    is_copy             1: `via` (or `kept`) has the same text

Which stays: one of an earlier build; else that of the source named first in the recipe, there the longest, then the one
with the smallest id, then the first in the input.  Documents of earlier builds are never removed.

Doubtful pairs are counted here; the pairs that are left are joined by union-find, written into buckets of whole
clusters, and each bucket is decided by sorting.  Memory: `memory_mb`, and 8 bytes a document that is in any pair
(proof_pile.dedup.components), which the system may take back; a single cluster has to fit.

params: memory_mb, and where near is true threshold.   task.inputs: catalogue.json, pairs.bin of each partition, then
shingles.bin and bounds.bin of each group of this build where near is true.   task.args: num_partitions.
counts: clusters, exact_duplicates, near_duplicates, counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from llemma.core.text.native import native
from proof_pile.dedup.arrays import ArrayFile, Spill, write_array
from proof_pile.dedup.candidates import CONTENT, DOUBTFUL, PAIR, SURE
from proof_pile.dedup.catalogue import Catalogue
from proof_pile.dedup.components import Components
from proof_pile.dedup.marks import REMOVED, marks_schema, write_marks
from proof_pile.dedup.shingles import WORD

__all__ = ["choose", "marks_schema", "run", "write_marks"]

VERSION = 2
_ROOTED = np.dtype([("root", "<u8"), ("pair", PAIR)])
_BYTES_A_PAIR = 160  # what a pair takes while its stretch or bucket is worked on
_COUNTED_AT_ONCE = 4 << 20  # shingles in memory while pairs are counted: 32 MB


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes what is removed of each group."""
    catalogue = Catalogue(task.inputs[0].path)
    count = task.args["num_partitions"]
    paths = [item.path for item in task.inputs[1 : 1 + count]]
    sets = _Shingles(catalogue, [item.path for item in task.inputs[1 + count :]])
    room = params["memory_mb"] << 20
    scratch = out / "scratch"
    scratch.mkdir()
    components = Components(len(catalogue), scratch / "parents")
    num_pairs = num_counted = 0
    with open(scratch / "pairs", "wb") as resolved:
        for pairs in pair_stretches(paths, room):
            doubtful = np.flatnonzero(pairs["kind"] == DOUBTFUL)
            num_counted += len(doubtful)
            sets.count(pairs, doubtful)
            pairs = pairs[(pairs["kind"] != DOUBTFUL) | (pairs["jaccard"] >= params.get("threshold", 0.0))]
            components.join(pairs["first"], pairs["second"])
            write_array(resolved, pairs)
            num_pairs += len(pairs)
    num_buckets = max(-(-num_pairs * _BYTES_A_PAIR // room), 1)
    buckets = Spill(scratch, num_buckets, _ROOTED, room // 4)
    with ArrayFile(scratch / "pairs", PAIR) as file:
        for pairs in file.blocks():
            rooted = np.empty(len(pairs), _ROOTED)
            rooted["root"], rooted["pair"] = components.roots(pairs["first"]), pairs
            buckets.add(_scatter(rooted["root"], num_buckets), rooted)
    buckets.flush()
    counts = {"clusters": 0, "exact_duplicates": 0, "near_duplicates": 0, "counted": num_counted}
    own = sum(group.build is None for group in catalogue.groups)
    (scratch / "removed").mkdir()
    by_group = Spill(scratch / "removed", own, REMOVED, room // 4)
    for number in range(num_buckets):
        rooted = buckets.read(number)
        removed, num_clusters = choose(catalogue, rooted["root"].astype(np.int64), rooted["pair"])
        by_group.add(catalogue.group_of(removed["number"].astype(np.int64)), removed)
        counts["clusters"] += num_clusters
        counts["exact_duplicates"] += int(removed["is_copy"].sum())
        counts["near_duplicates"] += int((removed["is_copy"] == 0).sum())
    by_group.flush()
    for group in range(own):
        removed = by_group.read(group)
        with open(out / f"removed.{group:06d}.bin", "wb") as target:
            write_array(target, removed[np.argsort(removed["number"])])
    shutil.rmtree(scratch)
    return counts


def _scatter(roots: np.ndarray, num_buckets: int) -> np.ndarray:
    mixed = roots.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(33)) % np.uint64(num_buckets)).astype(np.int64)


def pair_stretches(paths: list[str], room: int) -> Iterator[np.ndarray]:
    """The pairs of all partitions, each once, sorted; as many at a time as there is room for."""
    files = [ArrayFile(path, PAIR) for path in paths]
    try:
        cuts = _cuts(files, room)
        for begin, end in zip([None, *cuts], [*cuts, None], strict=True):
            pieces = [np.empty(0, PAIR)]
            for file in files:
                first = 0 if begin is None else file.first_at_least(("first", "second"), begin)
                last = len(file) if end is None else file.first_at_least(("first", "second"), end)
                pieces.append(file.read(first, last))
            pairs = np.concatenate(pieces)
            del pieces
            pairs = pairs[np.lexsort((pairs["second"], pairs["first"]))]
            fresh = np.ones(len(pairs), bool)
            fresh[1:] = (pairs["first"][1:] != pairs["first"][:-1]) | (pairs["second"][1:] != pairs["second"][:-1])
            yield pairs[fresh]
    finally:
        for file in files:
            file.__exit__()


def _cuts(files: list[ArrayFile], room: int) -> list[tuple[int, int]]:
    """Pairs before which the sorted pairs of all files are cut, so that what lies between two takes about `room`.

    By both documents of a pair: the first one of a large bucket alone is in as many pairs as that has documents.
    """
    total = sum(len(file) for file in files)
    num_stretches = max(-(-total * _BYTES_A_PAIR // room), 1)
    if num_stretches == 1:
        return []
    step = max(total // (64 * num_stretches), 1)
    sample = []
    place = 0
    for file in files:  # as if they were one, so that each pair of the sample stands for the same number of pairs
        sample += [file.read(place, place + 1) for place in range(place, len(file), step)]
        place = (place - len(file)) % step
    drawn = np.concatenate(sample)
    drawn = drawn[np.lexsort((drawn["second"], drawn["first"]))]
    places = np.linspace(0, len(drawn), num_stretches + 1)[1:-1].astype(np.int64)
    return sorted({(int(pair["first"]), int(pair["second"])) for pair in drawn[places]})


# ---------------------------------------------------------------- counting doubtful pairs


@native
def _shared(shingles, begins, ends, first, second, shared):  # type: ignore[no-untyped-def]
    """Sizes of the intersections of pairs of sorted sets."""
    for pair in range(len(first)):
        a, a_end = begins[first[pair]], ends[first[pair]]
        b, b_end = begins[second[pair]], ends[second[pair]]
        count = 0
        while a < a_end and b < b_end:
            left, right = shingles[a], shingles[b]
            count += left == right
            a += left <= right
            b += right <= left
        shared[pair] = count


class _Shingles:
    """The sets of shingles of doubtful documents, in the files of their groups."""

    def __init__(self, catalogue: Catalogue, paths: list[str]) -> None:
        self._catalogue = catalogue
        self._paths = list(zip(paths[::2], paths[1::2], strict=True))

    def count(self, pairs: np.ndarray, doubtful: np.ndarray) -> None:
        """Puts the counted Jaccard similarity in place of the estimate in those pairs."""
        for begin in range(0, len(doubtful), 4096):
            chosen = doubtful[begin : begin + 4096]
            first, second = (pairs[name][chosen].astype(np.int64) for name in ("first", "second"))
            numbers = np.unique(np.concatenate([first, second]))
            bounds = self._bounds(numbers)
            a, b = np.searchsorted(numbers, first), np.searchsorted(numbers, second)
            sizes = bounds[:, 1] - bounds[:, 0]
            batch = np.cumsum(sizes[a] + sizes[b]) // _COUNTED_AT_ONCE
            for value in np.unique(batch):
                part = batch == value
                pairs["jaccard"][chosen[part]] = self._count(numbers, bounds, a[part], b[part])

    def _bounds(self, numbers: np.ndarray) -> np.ndarray:
        result = np.empty((len(numbers), 2), np.int64)
        groups = self._catalogue.group_of(numbers)
        for group in np.unique(groups).tolist():
            here = groups == group
            rows = numbers[here] - self._catalogue.starts[group]
            wanted = np.unique(np.concatenate([rows, rows + 1]))
            with ArrayFile(self._paths[group][1], WORD) as file:
                values = file.take(wanted).astype(np.int64)
            result[here, 0] = values[np.searchsorted(wanted, rows)]
            result[here, 1] = values[np.searchsorted(wanted, rows + 1)]
        return result

    def _count(self, numbers: np.ndarray, bounds: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        used = np.unique(np.concatenate([a, b]))
        groups = self._catalogue.group_of(numbers[used])
        sizes = bounds[used, 1] - bounds[used, 0]
        ends = np.cumsum(sizes)
        shingles = np.empty(int(ends[-1]), WORD)
        for group in np.unique(groups).tolist():
            with ArrayFile(self._paths[group][0], WORD) as file:
                for place in np.flatnonzero(groups == group).tolist():
                    begin, end = bounds[used[place]]
                    shingles[ends[place] - sizes[place] : ends[place]] = file.read(int(begin), int(end))
        left, right = np.searchsorted(used, a), np.searchsorted(used, b)
        shared = np.empty(len(a), np.int64)
        _shared(shingles, ends - sizes, ends, left, right, shared)
        jaccard: np.ndarray = shared / np.maximum(sizes[left] + sizes[right] - shared, 1)
        return jaccard


# ---------------------------------------------------------------- which document stays


def choose(catalogue: Catalogue, roots: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """REMOVED records of whole clusters, given by their pairs and the root of each pair, and how many clusters."""
    first, second = pairs["first"].astype(np.int64), pairs["second"].astype(np.int64)
    nodes, places = np.unique(np.concatenate([first, second]), return_index=True)
    cluster = np.concatenate([roots, roots])[places]
    order, content = _preference(catalogue, nodes)
    # Preferred first within each cluster; `kept` is the node that each node's cluster keeps.
    by_cluster = np.lexsort((order, cluster))
    leads = np.ones(len(nodes), bool)
    leads[1:] = cluster[by_cluster[1:]] != cluster[by_cluster[:-1]]
    lead = np.maximum.accumulate(np.where(leads, np.arange(len(nodes)), 0))
    kept = np.empty(len(nodes), np.int64)
    kept[by_cluster] = by_cluster[lead]
    other, jaccard, kind = _strongest(np.searchsorted(nodes, first), np.searchsorted(nodes, second), pairs, kept)
    original = _originals(cluster, order, content) if (pairs["kind"] == CONTENT).any() else np.arange(len(nodes))
    is_copy = original != np.arange(len(nodes))
    same_as_kept = is_copy & (content == content[kept]).all(axis=1)
    via = np.where(is_copy, np.where(same_as_kept, kept, original), other)
    goes = (kept != np.arange(len(nodes))) & (nodes < catalogue.num_own)
    removed = np.zeros(int(goes.sum()), REMOVED)
    removed["number"], removed["kept"], removed["via"] = nodes[goes], nodes[kept[goes]], nodes[via[goes]]
    removed["jaccard"] = np.where(is_copy, 1, jaccard)[goes]
    removed["estimated"] = np.where(is_copy, 0, kind == SURE)[goes]
    removed["is_copy"] = is_copy[goes]
    return removed, int(leads.sum())


def _preference(catalogue: Catalogue, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each document among these in the order of preference, and the hashes of their contents."""
    step = 1 << 16
    parts = []
    for begin in range(0, len(nodes), step):
        records = catalogue.records(nodes[begin : begin + step])
        parts.append((records["num_bytes"].copy(), records["id"].copy(), records["content"].copy()))
    empty = (np.empty(0, np.uint64), np.empty((0, 2), np.uint64), np.empty((0, 2), np.uint64))
    num_bytes, ids, content = (np.concatenate(columns) for columns in zip(empty, *parts, strict=True))
    swapped = ids.astype("<u8").byteswap()  # ids are compared byte by byte, as they are read
    ranked = np.lexsort((nodes, swapped[:, 1], swapped[:, 0], ~num_bytes, catalogue.ranks(nodes)))
    order = np.empty(len(nodes), np.int64)
    order[ranked] = np.arange(len(nodes))
    return order, content


def _strongest(
    a: np.ndarray, b: np.ndarray, pairs: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each node the other node, similarity and kind of its best pair: with the kept one, else the most similar."""
    node, other = np.concatenate([a, b]), np.concatenate([b, a])
    jaccard, kind = np.tile(pairs["jaccard"], 2), np.tile(pairs["kind"], 2)
    order = np.lexsort((other, -jaccard, other != kept[node], node))
    _, firsts = np.unique(node[order], return_index=True)
    best = order[firsts]
    return other[best], jaccard[best], kind[best]


def _originals(cluster: np.ndarray, order: np.ndarray, content: np.ndarray) -> np.ndarray:
    """For each node the preferred one of its cluster that has the same text."""
    sort = np.lexsort((order, content[:, 1], content[:, 0], cluster))
    leads = np.ones(len(sort), bool)
    leads[1:] = (cluster[sort[1:]] != cluster[sort[:-1]]) | (content[sort[1:]] != content[sort[:-1]]).any(axis=1)
    lead = np.maximum.accumulate(np.where(leads, np.arange(len(sort)), 0))
    result = np.empty(len(sort), np.int64)
    result[sort] = sort[lead]
    return result
