"""`python -m eval_tasks list`."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval_tasks.benchmarks import Benchmark
    from eval_tasks.catalog import Catalog

INDENT = 17
SHOWN = 9  # names that a line shows of a long list (chosen by us); --json has all


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark as it is listed: its groups, its tasks, and the files wanted in --data."""

    benchmark: str
    title: str
    method: str
    groups: list[str]
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
    rows = [_row(facts, catalog) for facts in BENCHMARKS.values()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        lines = [row.title, f"{row.examples} worked examples; data: {row.data}"]
        if row.groups:
            lines += [f"all of it: {', '.join(row.groups)}", f"parts: {_shortened(row.tasks)}"]
        if row.files:
            lines.append(f"files: {_shortened(row.files)}")
        print(f"{row.benchmark:<{INDENT}}" + "\n".join(map(_wrapped, lines)).lstrip() + "\n")


def _row(facts: Benchmark, catalog: Catalog) -> Row:
    from eval_tasks.benchmarks import Method

    tasks = [task for task in catalog.tasks.values() if task.benchmark == facts.name]
    names = {task.name for task in tasks}
    subsets = dict.fromkeys(part for subset in facts.subsets for part in facts.sources(subset))
    files = [f"{facts.data_of or facts.name}/{subset}.jsonl" for subset in subsets]
    if facts.method is Method.LIKELIHOOD:
        files += [f"{facts.name}/{subset}/dev.jsonl" for subset in subsets]
    where = "files in --data" if facts.hub_name is None else f"hub {facts.hub_name}, or files in --data"
    return Row(
        benchmark=facts.name,
        title=facts.title,
        method=str(facts.method),
        groups=[name.removeprefix("llemma_") for name, members in catalog.groups.items() if names & set(members)],
        tasks=[task.name.removeprefix("llemma_") for task in tasks],
        examples=tasks[0].num_fewshot,
        data="in the package" if facts.packaged_file else where,
        files=[] if facts.packaged_file else files,
    )


def _wrapped(line: str) -> str:
    """A line behind the column of names, in several where the terminal wants that."""
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    first, more = " " * INDENT, " " * (INDENT + 2)
    return textwrap.fill(
        line, width, initial_indent=first, subsequent_indent=more, break_long_words=False, break_on_hyphens=False
    )


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN + 1 else ""
    return ", ".join(names[:SHOWN] if more else names) + more
