"""Benchmarks whose texts are exported row by row in the published layout: where their rows are, and how laid out.

Local copies are looked for under --data: <name>.jsonl, .json, .parquet (packed too), or a folder <name> with such
files, all of which are read.  Without it the data comes from the Hugging Face hub.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.data_files import SUFFIXES, read_rows
from llemma.core.benchmark_rows import LAYOUTS, NAMES, Layout, texts_of_row
from llemma.core.errors import InputError, MissingPackageError, Problem
from llemma.core.schemas import BenchmarkText


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """A benchmark on the hub: its name there, its configurations (none: its only one) and the split that is asked."""

    name: str
    hub_name: str
    split: str
    configs: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """How its rows are laid out."""
        return LAYOUTS[self.name]


def _asked_here(name: str, benchmark: str) -> ExportSource:
    """The export of a benchmark that is also a task: with its choices and in all forms in which it may be met."""
    facts = BENCHMARKS[benchmark]
    configs = () if facts.subsets == ("default",) else facts.subsets
    return ExportSource(name=name, hub_name=str(facts.hub_name), split=facts.split, configs=configs)


EXPORT_SOURCES: Mapping[str, ExportSource] = MappingProxyType(
    {
        source.name: source
        for source in (
            _asked_here("ocw", "ocw"),
            _asked_here("mmlu-stem", "mmlu_stem"),
            _asked_here("sat", "sat"),
            _asked_here("amc", "amc"),
            _asked_here("aime", "aime"),
            ExportSource(name="minif2f", hub_name="cat-searcher/minif2f-lean4", split="test"),
        )
    }
)


def export_texts(source: ExportSource, data_dir: Path | None) -> Iterator[BenchmarkText | Problem]:
    """All texts of a benchmark, and the rows that hold none.  Raises InputError where there is no data, or no text."""
    rows = _hub_rows(source) if data_dir is None else _local_rows(source, data_dir)
    num_texts, bad = 0, []
    for place, row in rows:
        if isinstance(row, Problem):
            problem = row
        else:
            try:
                texts = texts_of_row(row, source.layout, NAMES[source.name], place)
            except ValueError as error:
                problem = Problem(place, None, str(error))
            else:
                num_texts += len(texts)
                yield from texts
                continue
        bad.append(problem)
        yield problem
    if not num_texts:
        found = "".join(f"\n    {problem}" for problem in bad[:5]) or " no row"
        raise InputError(f"{source.name}: no text of a problem in {data_dir or source.hub_name}:{found}")


def _local_rows(source: ExportSource, data_dir: Path) -> Iterator[tuple[str, Mapping[str, Any] | Problem]]:
    files = [data_dir / f"{source.name}{suffix}" for suffix in SUFFIXES]
    folder = data_dir / source.name
    found = [path for path in files if path.is_file()][:1]
    if not found and folder.is_dir():
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(SUFFIXES))
    if not found:
        raise InputError(
            f"{data_dir}: no data of '{source.name}'. Wanted is {source.name}.jsonl (also {', '.join(SUFFIXES[1:])}) "
            f"or a folder {source.name} with such files; it can be copied from the hub's dataset {source.hub_name}"
        )
    for path in found:
        # Below the folder: hub copies have one file of the same name for each subject, and ids must differ.
        place = path.relative_to(folder if folder in path.parents else data_dir).as_posix()
        suffix = next(suffix for suffix in SUFFIXES if place.endswith(suffix))
        for number, row in enumerate(read_rows(path), start=1):
            yield f"{place.removesuffix(suffix)}/{number}", row


def _hub_rows(source: ExportSource) -> Iterator[tuple[str, Mapping[str, Any] | Problem]]:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise MissingPackageError("datasets", "eval") from None
    for config in source.configs or (None,):
        try:
            rows = datasets.load_dataset(source.hub_name, config, split=source.split)
        except Exception as error:  # datasets raises many kinds: no network, offline mode, unknown name, bad cache
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"{source.name}: cannot get the dataset {source.hub_name} from the Hugging Face hub "
                f"({type(error).__name__}: {first_line[:200]}).\n"
                f"Give a folder with a local copy by --data DIR, for example {source.name}.jsonl in it"
            ) from None
        for number, row in enumerate(rows, start=1):
            yield f"{config or source.split}/{number}", row
