"""Step function: the model of one round.

model.bin    a fastText classifier with the labels "other" and "math", rows of one number (quality.fasttext.collapsed)

Positives: the seeds, and all pages of the pool under approved prefixes; a hash of their ids chooses where there are
more than `max_positives`.  Negatives: pages of the pool, chosen by their ids, without those under approved prefixes and
those that the round before took.

params: training settings, max_positives, negatives_per_positive, seed.
task.inputs: pages.arrow and lines.bin of each seed file, then of each pool file, then (from round 2) taken.bin of each
pool file of the round before.   task.args: seeds, pool (numbers of files), round, approved (prefixes).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import InputError
from llemma.core.steps import Task
from proof_pile.quality.fasttext.model import collapsed, save
from proof_pile.quality.fasttext.training import TrainingSettings, train
from proof_pile.quality.lines import LineFile
from proof_pile.quality.math_score import MATH, OTHER
from proof_pile.recall.addresses import is_under
from proof_pile.recall.pages import PagesTable

VERSION = 1


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Trains the model of one round."""
    paths = [item.path for item in task.inputs]
    seeds = [(paths[2 * n], paths[2 * n + 1]) for n in range(task.args["seeds"])]
    rest = paths[2 * len(seeds) :]
    pool = [(rest[2 * n], rest[2 * n + 1]) for n in range(task.args["pool"])]
    taken = rest[2 * len(pool) :]
    approved = frozenset(task.args["approved"])
    seed = params["seed"] * 1000 + task.args["round"]

    grown = [_under(PagesTable(*files), approved) for files in pool]
    # The round before took no page twice, and its marks are a byte a page: they fit into memory where pages do not.
    barred = [mask | (_marks(taken[n]) if taken else False) for n, mask in enumerate(grown)]
    num_positives = sum(len(PagesTable(*files)) for files in seeds) + sum(int(mask.sum()) for mask in grown)
    if num_positives == 0:
        raise InputError("there is no seed: 'seeds' holds no page")
    positive_share = min(1.0, params["max_positives"] / num_positives)
    num_free = sum(int((~mask).sum()) for mask in barred)
    wanted = params["negatives_per_positive"] * min(num_positives, params["max_positives"])
    negative_share = min(1.0, wanted / num_free) if num_free else 0.0
    if num_free == 0:
        raise InputError("no page of the pool is left to stand for what is not mathematics: is the pool nothing else?")

    lines_path = out / "lines.tmp"
    with LineFile(lines_path) as lines:
        for files in seeds:
            table = PagesTable(*files)
            _add(lines, table, table.draws(seed) < positive_share, 1)
        for files, mask, bar in zip(pool, grown, barred, strict=True):
            table = PagesTable(*files)
            draws = table.draws(seed)
            _add(lines, table, mask & (draws < positive_share), 1)
            _add(lines, table, ~bar & (draws < negative_share), 0)
        data, offsets, labels = lines.arrays()
        model = train(data, offsets, labels, (OTHER, MATH), TrainingSettings(**params["training"]), seed)
        del data
    lines_path.unlink()
    save(collapsed(model), out / "model.bin")
    return {
        "positives": int(labels.sum()),
        "negatives": int(len(labels) - labels.sum()),
        "grown": sum(int(mask.sum()) for mask in grown),
        "words": len(model.words),
    }


def _under(table: PagesTable, approved: frozenset[str]) -> np.ndarray:
    """Which pages lie under an approved prefix."""
    if not approved or not len(table):
        return np.zeros(len(table), bool)
    encoded = table.table.column("prefix").combine_chunks().dictionary_encode()
    values = np.array([is_under(prefix, approved) for prefix in encoded.dictionary.to_pylist()], bool)
    under: np.ndarray = values[encoded.indices.to_numpy()]
    return under


def _marks(path: str) -> np.ndarray:
    return np.fromfile(path, np.uint8).astype(bool)


def _add(lines: LineFile, table: PagesTable, mask: np.ndarray, label: int) -> None:
    rows: Sequence[int] = np.flatnonzero(mask).tolist()
    for row in rows:
        lines.add(table.line(row), label)
