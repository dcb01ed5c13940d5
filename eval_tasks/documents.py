"""The problems of a benchmark as one kind of record, from local files or from the Hugging Face hub.

Where local files are looked for, under the folder given as --data (the first that exists is taken; `test` stands for
the benchmark's split, see `python -m eval_tasks list`):

    <benchmark>/<subset>.jsonl              also .jsonl.gz, .jsonl.zst, .json, .json.gz, .parquet
    <benchmark>/<subset>/test.jsonl         the same endings
    <benchmark>/test/<subset>.jsonl         the same endings
    <benchmark>/<subset>/test-*.parquet     as the hub stores it, several files in order of name
    <benchmark>/test/<subset>/*.json        as MATH was published, one problem a file
    <benchmark>.jsonl, <benchmark>/test.jsonl, <benchmark>/test-*.parquet      where there are no subsets

A row that lacks what the benchmark needs is left out, and named with its place; the rest are kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval_tasks.benchmarks import BENCHMARKS, Benchmark
from eval_tasks.data_files import SUFFIXES, read_rows
from eval_tasks.rows import Item, RowError
from llemma.core.errors import InputError, MissingPackageError, Problem
from llemma.core.files import stable_hash


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The problems of one subset, where they came from, a hash of all of them, and the rows left out."""

    items: tuple[Item, ...]
    origin: str
    sha: str
    left_out: tuple[Problem, ...]


def load_documents(benchmark: str, subset: str, data_dir: Path | None = None, split: str | None = None) -> Documents:
    """The problems of one subset of a benchmark, of its own split where no other is named.

    With `data_dir`, only files in it are read, and a missing one is an InputError that names the files wanted.
    Without it the data comes from the package itself (the built-in problems) or from the hub.
    """
    facts = BENCHMARKS[benchmark]
    split = split or facts.split
    items: list[Item] = []
    left_out: list[Problem] = []
    origins: dict[str, None] = {}
    for part in facts.sources(subset):
        if facts.packaged_file is not None:
            places, rows = ["in the package"], _rows_of([Path(__file__).parent / "tasks" / facts.packaged_file])
        elif data_dir is not None:
            paths = find_files(facts, part, data_dir, split)
            places, rows = [str(path) for path in paths[:3]], _rows_of(paths)
        else:
            places, rows = [f"hub: {facts.hub_name}"], _hub_rows(facts, part, split)
        origins.update(dict.fromkeys(places))
        for item in _items(facts, part, rows, left_out):
            if facts.keeps is None or facts.keeps(item, subset):
                items.append(item)
    origin = ", ".join(origins)
    if not items:
        reasons = "".join(f"\n    {problem}" for problem in left_out[:5])
        raise InputError(f"{facts.name}, subset '{subset}': no usable problem in {origin}{reasons}")
    _refuse_double_ids(facts, items, origin)
    return Documents(
        items=tuple(items),
        origin=origin,
        sha=stable_hash([asdict(item) for item in items]),
        left_out=tuple(left_out),
    )


def wanted_stems(facts: Benchmark, subset: str, data_dir: Path, split: str) -> list[Path]:
    """The local files, without their endings, that may hold one subset of the data."""
    stems = []
    for name in dict.fromkeys((facts.data_of or facts.name, (facts.data_of or facts.name).replace("_", "-"))):
        root = data_dir / name
        stems += [root / subset] if split == facts.split else []
        stems += [root / subset / split, root / split / subset]
        if len(BENCHMARKS[facts.data_of or facts.name].subsets) == 1:
            stems += [root / split, *([data_dir / name] if split == facts.split else [])]
    return stems


def find_files(facts: Benchmark, subset: str, data_dir: Path, split: str) -> list[Path]:
    """The local files of one subset. Raises InputError naming the exact files that would do."""
    stems = wanted_stems(facts, subset, data_dir, split)
    for stem in stems:
        for suffix in SUFFIXES:
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                return [path]
    for stem in stems:
        for folder, pattern in ((stem.parent, f"{stem.name}-*.parquet"), (stem, "*.json")):
            if found := sorted(folder.glob(pattern)) if stem.name == split or pattern == "*.json" else []:
                return found
    wanted = [f"{stem}.jsonl" for stem in stems if "-" not in stem.relative_to(data_dir).parts[0]]
    raise InputError(
        f"{data_dir}: no data of {facts.name}, subset '{subset}', split '{split}'. Wanted is one of\n"
        + "\n".join(f"    {path}" for path in wanted)
        + f"\n(also as {', '.join(SUFFIXES[1:])}, or several {split}-*.parquet in that folder), "
        + f"with the columns {', '.join(facts.columns)}"
        + (f"; it can be copied from the hub's dataset {facts.hub_name}" if facts.hub_name else "")
    )


def _rows_of(paths: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any] | Problem]]:
    for path in paths:
        for number, row in enumerate(read_rows(path), start=1):
            yield f"{path}, row {number}", row


def _items(
    facts: Benchmark,
    part: str,
    rows: Iterable[tuple[str, Mapping[str, Any] | Problem]],
    left_out: list[Problem],
) -> Iterator[Item]:
    for number, (place, row) in enumerate(rows):
        if isinstance(row, Problem):
            left_out.append(row)
            continue
        try:
            yield facts.read_row(row, part, number)
        except RowError as error:
            left_out.append(Problem(place, None, str(error)))


def _refuse_double_ids(facts: Benchmark, items: list[Item], origin: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(f"{origin}: the id '{item.id}' stands twice in {facts.name}; ids must be unique")
        seen.add(item.id)


def _hub_rows(facts: Benchmark, subset: str, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    folder = facts.data_of or facts.name
    remedy = (
        f"Give a folder with local copies by --data DIR (plain lm_eval: LLEMMA_EVAL_DATA=DIR) "
        f"with for example {folder}/{subset}.jsonl in it, with the columns {', '.join(facts.columns)}"
    )
    if facts.hub_name is None:
        raise InputError(f"{facts.name}: no hub holds this data under a name known here.\n{remedy}")
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise MissingPackageError("datasets", "eval") from None
    try:
        config = None if subset == "default" else facts.hub_config(subset)
        rows = datasets.load_dataset(facts.hub_name, config, split=split)
    except Exception as error:  # datasets raises many kinds: no network, offline mode, unknown name, bad cache
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{facts.name}, subset '{subset}': cannot get the dataset {facts.hub_name} from the Hugging Face hub "
            f"({type(error).__name__}: {first_line[:200]}).\n{remedy}"
        ) from None
    for number, row in enumerate(rows, start=1):
        yield f"{facts.hub_name}, row {number}", row
