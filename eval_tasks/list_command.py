"""`python -m eval_tasks list`."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval_tasks.benchmarks import Benchmark
    from eval_tasks.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark as it is listed; `files` are those wanted in --data-dir."""

    benchmark: str
    title: str
    tasks: list[str]
    examples: int
    data: str
    files: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `list`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> None:
    """Prints every benchmark with its tasks, prompt and data."""
    import json

    from eval_tasks.benchmarks import BENCHMARKS
    from eval_tasks.catalog import read_catalog

    catalog = read_catalog()
    names: dict[str, list[str]] = {task.benchmark: [] for task in catalog.tasks.values()}
    for task in catalog.tasks.values():
        names[task.benchmark].append(task.name)
    rows = [_row(facts, names[benchmark], catalog) for benchmark, facts in BENCHMARKS.items()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row.benchmark:<16} {row.title}")
        print(f"{'':<16} {row.examples} worked examples; data: {row.data}")
        if len(row.tasks) > 1:
            print(f"{'':<16} subsets: {', '.join(row.tasks)}")
        if row.files:
            print(f"{'':<16} files: {', '.join(row.files)}")
        print()


def _row(facts: Benchmark, names: list[str], catalog: Catalog) -> Row:
    return Row(
        benchmark=facts.name,
        title=facts.title,
        tasks=[name.removeprefix("llemma_") for name in names],
        examples=catalog.tasks[names[0]].num_fewshot,
        data="in the package" if facts.packaged_file else f"hub {facts.hub_name}, or files in --data-dir",
        files=[] if facts.packaged_file else [f"{facts.name}/{subset}.jsonl" for subset in facts.subsets],
    )
