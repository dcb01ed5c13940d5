"""Step function: one partition of all bands -> pairs.parquet of documents that are near-duplicates.

pairs.parquet   first uint64, second uint64 (first < second), jaccard float32, exact bool (False: estimated)
params: ngram, bands, rows, threshold.   counts: candidates, pairs, compared_exactly.
task.inputs: bands.arrow of every file, then documents.arrow, then documents.parquet of every file, then the
pairs.parquet of exact duplicates (left out here).   task.args: partition, num_files.

Candidates share a band.  Their Jaccard similarity is estimated from the whole signatures; where the estimate is too
near to the threshold to be trusted, it is counted from the texts' shingles.  A pair that shares several bands is judged
only in the partition of the first of them.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.fingerprints import Fingerprints, read_partition
from proof_pile.words import band_keys, ngram_hashes, words_of_text

VERSION = 1
ALL_PAIRS = 32  # chosen by us: in larger buckets each is compared with the first and the next one, not with all
DOUBT = 3.5  # standard errors around the threshold within which an estimate is not trusted
PAIR_BATCH = 1 << 15


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Finds and checks the pairs of one partition."""
    files = task.args["num_files"]
    paths = [item.path for item in task.inputs]
    prints = Fingerprints(paths[files : 2 * files])
    texts = _Shingles(paths[2 * files : 3 * files], params["ngram"])
    left_out = _removed(paths[3 * files :])
    keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for file in range(files):
        batch = read_partition(paths[file], task.args["partition"])
        keys.append(batch.column("key").to_numpy())
        numbers.append(batch.column("row").to_numpy().astype(np.int64) + prints.starts[file])
    first, second = candidates(np.concatenate(keys), np.concatenate(numbers), left_out)
    num_candidates = num_exact = 0
    found: dict[str, list[Any]] = {"first": [], "second": [], "jaccard": [], "exact": []}
    for begin in range(0, len(first), PAIR_BATCH):
        a, b = first[begin : begin + PAIR_BATCH], second[begin : begin + PAIR_BATCH]
        here, estimate = _estimates(prints, a, b, params, task.args)
        num_candidates += int(here.sum())
        margin = DOUBT * np.sqrt(params["threshold"] * (1 - params["threshold"]) / (params["bands"] * params["rows"]))
        for index in np.flatnonzero(here & (estimate > params["threshold"] - margin)).tolist():
            jaccard = float(estimate[index])
            doubtful = jaccard < params["threshold"] + margin
            if doubtful:
                jaccard = texts.jaccard(*prints.place(a[index : index + 1]), *prints.place(b[index : index + 1]))
                num_exact += 1
                if jaccard < params["threshold"]:
                    continue
            for name, value in zip(found, (int(a[index]), int(b[index]), jaccard, doubtful), strict=True):
                found[name].append(value)
    types = (pa.uint64(), pa.uint64(), pa.float32(), pa.bool_())
    columns = {name: pa.array(found[name], type_) for name, type_ in zip(found, types, strict=True)}
    pq.write_table(pa.table(columns), out / "pairs.parquet", compression="zstd")
    return {"candidates": num_candidates, "pairs": len(found["first"]), "compared_exactly": num_exact}


def _removed(paths: list[str]) -> np.ndarray:
    columns = [pq.read_table(path, columns=["removed"]).column(0).to_numpy() for path in paths]
    return np.sort(np.concatenate([np.empty(0, np.uint64), *columns]).astype(np.int64))


def candidates(keys: np.ndarray, numbers: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (first < second, sorted, each once) of documents with the same key, without those left out (sorted)."""
    if len(left_out):
        place = np.minimum(np.searchsorted(left_out, numbers), len(left_out) - 1)
        stay = left_out[place] != numbers
        keys, numbers = keys[stay], numbers[stay]
    order = np.lexsort((numbers, keys))
    keys, numbers = keys[order], numbers[order]
    if not len(keys):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.concatenate([begins, [len(keys)]]))
    firsts: list[np.ndarray] = []
    seconds: list[np.ndarray] = []
    for size in np.unique(sizes[(sizes > 1) & (sizes <= ALL_PAIRS)]).tolist():
        groups = numbers[begins[sizes == size][:, None] + np.arange(size)]
        left, right = np.triu_indices(size, 1)
        firsts.append(groups[:, left].reshape(-1))
        seconds.append(groups[:, right].reshape(-1))
    for begin, size in zip(begins[sizes > ALL_PAIRS].tolist(), sizes[sizes > ALL_PAIRS].tolist(), strict=True):
        group = numbers[begin : begin + size]
        firsts += [np.full(size - 1, group[0]), group[1:-1]]
        seconds += [group[1:], group[2:]]
    if not firsts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs = np.stack([np.concatenate(firsts), np.concatenate(seconds)])
    pairs = pairs[:, pairs[0] != pairs[1]]
    pairs = pairs[:, np.lexsort((pairs[1], pairs[0]))]
    fresh = np.ones(pairs.shape[1], bool)
    fresh[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    pairs = pairs[:, fresh]
    return pairs[0], pairs[1]


def _estimates(
    prints: Fingerprints, a: np.ndarray, b: np.ndarray, params: dict[str, Any], args: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair is to be judged in this partition, and its estimated similarity."""
    bands, rows = params["bands"], params["rows"]
    left = prints.signatures(a)
    equal = left == prints.signatures(b)
    shared = equal.reshape(-1, bands, rows).all(axis=2)
    keys = band_keys(left, bands, rows)[np.arange(len(a)), shared.argmax(axis=1)]
    here = shared.any(axis=1) & (keys % np.uint64(params["partitions"]) == args["partition"])
    return here, equal.mean(axis=1)


class _Shingles:
    """The shingle sets of documents, read from their Parquet files and kept while they are likely to be asked again."""

    def __init__(self, paths: list[str], ngram: int) -> None:
        self._paths = paths
        self._ngram = ngram
        self._files: dict[int, tuple[pq.ParquetFile, np.ndarray]] = {}
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._sets: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def jaccard(self, file_a: Any, row_a: Any, file_b: Any, row_b: Any) -> float:
        """Jaccard similarity of two documents' shingle sets."""
        a = self._set(int(file_a[0]), int(row_a[0]))
        b = self._set(int(file_b[0]), int(row_b[0]))
        shared = len(np.intersect1d(a, b, assume_unique=True))
        return shared / max(len(a) + len(b) - shared, 1)

    def _set(self, file: int, row: int) -> np.ndarray:
        key = (file, row)
        if key not in self._sets:
            words = words_of_text(self._text(file, row))
            self._sets[key] = np.unique(ngram_hashes(words, 0, self._ngram))
            if len(self._sets) > 4096:
                self._sets.popitem(last=False)
        self._sets.move_to_end(key)
        return self._sets[key]

    def _text(self, file: int, row: int) -> str:
        if file not in self._files:
            if len(self._files) >= 64:
                self._files.pop(next(iter(self._files)))[0].close()
            opened = pq.ParquetFile(self._paths[file])
            sizes = [opened.metadata.row_group(g).num_rows for g in range(opened.num_row_groups)]
            self._files[file] = (opened, np.cumsum([0, *sizes]))
        opened, starts = self._files[file]
        group = int(np.searchsorted(starts, row, side="right")) - 1
        if (file, group) not in self._groups:
            self._groups[file, group] = opened.read_row_group(group, columns=["text"])
            if len(self._groups) > 8:
                self._groups.popitem(last=False)
        self._groups.move_to_end((file, group))
        text: str = self._groups[file, group].column(0)[row - int(starts[group])].as_py()
        return text
