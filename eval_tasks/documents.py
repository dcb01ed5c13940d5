"""The problems of a benchmark as one kind of record, from local files or from the Hugging Face hub.

Where local files are looked for, under the folder given as --data-dir (the first that exists is taken):

    <benchmark>/<subset>.jsonl              also .jsonl.gz, .jsonl.zst, .json, .json.gz, .parquet
    <benchmark>/<subset>/test.jsonl         the same endings
    <benchmark>/<subset>/test-*.parquet     as the hub stores it, several files in order of name
    <benchmark>/test/<subset>/*.json        as MATH was published, one problem a file
    <benchmark>/test.jsonl                  only for a benchmark without subsets

A row that lacks what the benchmark needs is left out, and named with its place; the rest are kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval_tasks.benchmarks import BENCHMARKS, Benchmark, Item, RowError
from eval_tasks.data_files import SUFFIXES, read_rows
from llemma.core.errors import InputError, MissingPackageError, Problem
from llemma.core.files import stable_hash


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The problems of one subset, where they came from, a hash of all of them, and the rows left out."""

    items: tuple[Item, ...]
    origin: str
    sha: str
    left_out: tuple[Problem, ...]


def load_documents(benchmark: str, subset: str, data_dir: Path | None = None) -> Documents:
    """The problems of one subset of a benchmark.

    With `data_dir`, only files in it are read, and a missing one is an InputError that names the files wanted.
    Without it the data comes from the package itself (the built-in problems) or from the hub.
    """
    facts = BENCHMARKS[benchmark]
    if facts.packaged_file is not None:
        paths: list[Path] = [Path(__file__).parent / "tasks" / facts.packaged_file]
        return _collect(facts, subset, _rows_of(paths), "in the package")
    if data_dir is not None:
        paths = find_files(facts, subset, data_dir)
        return _collect(facts, subset, _rows_of(paths), ", ".join(str(path) for path in paths[:3]))
    rows = ((f"row {number}", row) for number, row in enumerate(_hub_rows(facts, subset)))
    return _collect(facts, subset, rows, f"hub: {facts.hub_name}")


def find_files(facts: Benchmark, subset: str, data_dir: Path) -> list[Path]:
    """The local files of one subset. Raises InputError naming the exact files that would do."""
    root = data_dir / facts.name
    stems = [root / subset, root / subset / "test"]
    if len(facts.subsets) == 1:
        stems.append(root / "test")
    for stem in stems:
        for suffix in SUFFIXES:
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                return [path]
    for folder, pattern in ((root / subset, "test-*.parquet"), (root / "test" / subset, "*.json")):
        if found := sorted(folder.glob(pattern)):
            return found
    wanted = [f"{stem}.jsonl" for stem in stems] + [f"{root / subset}/test-*.parquet", f"{root}/test/{subset}/*.json"]
    raise InputError(
        f"{data_dir}: no data of {facts.name}, subset '{subset}'. Wanted is one of\n"
        + "\n".join(f"    {path}" for path in wanted)
        + f"\n(.jsonl also as {', '.join(SUFFIXES[1:])}), with the columns {', '.join(facts.columns)}"
        + f"; it can be copied from the hub's dataset {facts.hub_name}"
    )


def _rows_of(paths: Iterable[Path]) -> Iterable[tuple[str, dict[str, Any] | Problem]]:
    for path in paths:
        for number, row in enumerate(read_rows(path), start=1):
            yield f"{path}, row {number}", row


def _collect(
    facts: Benchmark, subset: str, rows: Iterable[tuple[str, Mapping[str, Any] | Problem]], origin: str
) -> Documents:
    items: list[Item] = []
    left_out: list[Problem] = []
    for number, (place, row) in enumerate(rows):
        if isinstance(row, Problem):
            left_out.append(row)
            continue
        try:
            items.append(facts.read_row(row, subset, number))
        except RowError as error:
            left_out.append(Problem(place, None, str(error)))
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


def _refuse_double_ids(facts: Benchmark, items: list[Item], origin: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(f"{origin}: the id '{item.id}' stands twice in {facts.name}; ids must be unique")
        seen.add(item.id)


def _hub_rows(facts: Benchmark, subset: str) -> Iterable[Mapping[str, Any]]:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise MissingPackageError("datasets", "eval") from None
    try:
        rows = datasets.load_dataset(facts.hub_name, facts.hub_config(subset), split="test")
    except Exception as error:  # datasets raises many kinds: no network, offline mode, unknown name, bad cache
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{facts.name}, subset '{subset}': cannot get the dataset {facts.hub_name} from the Hugging Face hub "
            f"({type(error).__name__}: {first_line[:200]}).\n"
            f"Give a folder with local copies by --data-dir DIR (plain lm_eval: LLEMMA_EVAL_DATA=DIR) "
            f"with for example {facts.name}/{subset}.jsonl in it, with the columns {', '.join(facts.columns)}"
        ) from None
    result: Iterable[Mapping[str, Any]] = rows
    return result
