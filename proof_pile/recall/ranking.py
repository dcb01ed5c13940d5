"""Step function: which pages of a round are taken, what is new, which domains and prefixes hold mathematics.

taken.NNNNNN.bin   uint8, 1 for a page that is taken, one file for each pool file, in the order of its pages
domains.parquet    one row a prefix of a domain with a taken page: domain, prefix, pages, taken
round.json         what the report shows: threshold, numbers, histogram, overlap, candidates, approved prefixes

params: select, domains (without annotations).
task.inputs: pages.arrow, scores.bin of each pool file, then taken.bin of each of the round before.
task.args: pool (number of files), round, annotations {prefix: bool}.

Scores are counted in 65,536 classes, so that a ranking of any number of pages takes 1 MB; pages of one class are taken
together, and so a limit of tokens is kept from below.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.files import write_json
from llemma.core.steps import Task
from proof_pile.recall.addresses import is_under

VERSION = 2
CLASSES = 1 << 16
HISTOGRAM_BINS = 50


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Ranks the pages of one round."""
    count = task.args["pool"]
    paths = [item.path for item in task.inputs]
    pages, scores, before = paths[0 : 2 * count : 2], paths[1 : 2 * count : 2], paths[2 * count :]

    num_by_class = np.zeros(CLASSES, np.int64)
    bytes_by_class = np.zeros(CLASSES, np.int64)
    known_by_class = np.zeros((2, CLASSES), np.int64)
    for page_path, score_path in zip(pages, scores, strict=True):
        columns = _columns(page_path, ("bytes", "known"))
        classes = score_classes(np.fromfile(score_path, np.float32))
        num_by_class += np.bincount(classes, minlength=CLASSES)
        bytes_by_class += _summed(classes, columns["bytes"])
        for label in (0, 1):
            known_by_class[label] += np.bincount(classes[columns["known"] == label], minlength=CLASSES)
    first = first_taken_class(params["select"], bytes_by_class)

    prefixes: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    taken_total = both = before_total = 0
    for number, (page_path, score_path) in enumerate(zip(pages, scores, strict=True)):
        taken = score_classes(np.fromfile(score_path, np.float32)) >= first
        taken.astype(np.uint8).tofile(out / f"taken.{number:06d}.bin")
        taken_total += int(taken.sum())
        if before:
            earlier = np.fromfile(before[number], np.uint8).astype(bool)
            both += int((taken & earlier).sum())
            before_total += int(earlier.sum())
        _count_prefixes(page_path, taken, prefixes)
    domains = _domains(prefixes)
    config = params["domains"]
    candidates = _candidates(domains, config)
    approved, asked = _approved(candidates, prefixes, config, task.args["annotations"])
    _write_prefixes(prefixes, out)
    result = {
        "round": task.args["round"],
        "pages": int(num_by_class.sum()),
        "bytes": int(bytes_by_class.sum()),
        "taken": taken_total,
        "taken_bytes": int(bytes_by_class[first:].sum()),
        "threshold": first / CLASSES,
        "highest": int(np.flatnonzero(num_by_class)[-1]) / CLASSES if num_by_class.any() else 0.0,
        "new": taken_total - both,
        "lost": before_total - both,
        "overlap": both / taken_total if before and taken_total else 0.0,
        "histogram": [int(x) for x in _rebinned(num_by_class)],
        "known": _known(known_by_class, first),
        "num_domains": len(domains),
        "num_candidates": len(candidates),
        "candidates": candidates[:200],
        "approved": sorted(approved),
        "asked": asked,
    }
    write_json(out / "round.json", result)
    return {"pages": result["pages"], "taken": taken_total, "new": result["new"]}


def score_classes(scores: np.ndarray) -> np.ndarray:
    """The class of each score: 0 .. 65,535."""
    return np.minimum((scores.astype(np.float64) * CLASSES).astype(np.int64), CLASSES - 1)


def first_taken_class(select: dict[str, Any], bytes_by_class: np.ndarray) -> int:
    """The lowest class that is taken; 65,536 where none is."""
    first = 0
    if select["min_score"] is not None:
        first = min(int(np.ceil(select["min_score"] * CLASSES)), CLASSES)
    if select["max_tokens"] is not None:
        from_above = np.cumsum(bytes_by_class[::-1].astype(np.float64))[::-1] / select["bytes_per_token"]
        fitting = np.flatnonzero(from_above <= select["max_tokens"])
        first = max(first, int(fitting[0]) if len(fitting) else CLASSES)
    return first


def _columns(path: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    import pyarrow as pa

    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
        return {name: np.array(table.column(name).to_numpy()) for name in names}


def _summed(classes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    result = np.zeros(CLASSES, np.int64)
    np.add.at(result, classes, sizes)
    return result


def _count_prefixes(path: str, taken: np.ndarray, into: dict[tuple[str, str], list[int]]) -> None:
    """Adds the pages and the taken pages of each prefix."""
    import pyarrow as pa

    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all().select(["domain", "prefix"])
        table = table.append_column("taken", pa.array(taken.astype(np.int64)))
        grouped = table.group_by(["domain", "prefix"], use_threads=False).aggregate(
            [("taken", "sum"), ("taken", "count")]
        )
        for row in grouped.to_pylist():
            if row["domain"]:
                entry = into[(row["domain"], row["prefix"])]
                entry[0] += row["taken_count"]
                entry[1] += row["taken_sum"]


def _domains(prefixes: dict[tuple[str, str], list[int]]) -> dict[str, list[int]]:
    domains: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (domain, _), (num, taken) in prefixes.items():
        domains[domain][0] += num
        domains[domain][1] += taken
    return domains


def _candidates(domains: dict[str, list[int]], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Domains with enough pages and a large enough share of them taken, the ones with most taken pages first."""
    found: list[dict[str, Any]] = [
        {"domain": domain, "pages": num, "taken": taken}
        for domain, (num, taken) in domains.items()
        if num >= config["min_pages"] and taken > config["min_share"] * num
    ]
    return sorted(found, key=lambda item: (-item["taken"], item["domain"]))


def _approved(
    candidates: list[dict[str, Any]],
    prefixes: dict[tuple[str, str], list[int]],
    config: dict[str, Any],
    annotations: dict[str, bool],
) -> tuple[set[str], list[dict[str, Any]]]:
    """Prefixes whose pages become seeds, and the candidates' prefixes with what was decided of each."""
    named = {item["domain"] for item in candidates}
    yes = frozenset(prefix for prefix, said in annotations.items() if said)
    no = frozenset(prefix for prefix, said in annotations.items() if not said)
    approved = set(yes)
    asked: list[dict[str, Any]] = []
    for (domain, prefix), (num, taken) in sorted(prefixes.items()):
        if domain not in named:
            continue
        decided: bool | None = None
        if is_under(prefix, no):
            decided = False  # the longest word would have to win where both are said; a "no" is the safer one
        elif is_under(prefix, yes):
            decided = True
        elif config["approval"] == "automatic":
            decided = taken >= config["min_prefix_share"] * num and num >= config["min_pages"]
        if decided:
            approved.add(prefix)
        asked.append({"prefix": prefix, "pages": num, "taken": taken, "approved": decided})
    asked.sort(key=lambda item: (-int(str(item["taken"])), str(item["prefix"])))
    return {prefix for prefix in approved if not is_under(prefix, no)}, asked[:500]


def _write_prefixes(prefixes: dict[tuple[str, str], list[int]], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted((d, p, num, taken) for (d, p), (num, taken) in prefixes.items() if taken)
    names = ("domain", "prefix", "pages", "taken")
    types = (pa.string(), pa.string(), pa.int64(), pa.int64())
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    table = pa.table({n: pa.array(list(c), t) for n, t, c in zip(names, types, columns, strict=True)})
    pq.write_table(table, out / "domains.parquet", compression="zstd")


def _rebinned(num_by_class: np.ndarray) -> np.ndarray:
    edges = np.linspace(0, CLASSES, HISTOGRAM_BINS + 1).astype(np.int64)
    return np.add.reduceat(num_by_class, edges[:-1])


def _known(by_class: np.ndarray, first: int) -> dict[str, Any] | None:
    """Precision and recall over pages of which it is known what they are."""
    other, math = by_class
    if not math.sum() or not other.sum():
        return None
    right, wrong = int(math[first:].sum()), int(other[first:].sum())
    return {
        "math": int(math.sum()),
        "other": int(other.sum()),
        "recall": right / int(math.sum()),
        "precision": right / (right + wrong) if right + wrong else None,
    }
