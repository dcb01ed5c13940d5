"""`python -m eval_tasks export`: benchmark texts as JSON lines, for cleaning a training corpus of them.

One line a text: {"benchmark", "id", "part": "problem" | "solution" | "formal", "text"}
(llemma.core.schemas.BenchmarkText).  A recipe names the file under `decontaminate: {benchmarks: [FILE]}`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llemma.core.errors import Problem
    from llemma.core.schemas import BenchmarkText


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    from eval_tasks.export_sources import EXPORT_SOURCES

    parser.add_argument(
        "--tasks",
        required=True,
        help="names with commas between, for example builtin,minerva_math,gsm8k; besides the tasks of `list` also "
        + ", ".join(EXPORT_SOURCES),
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the JSON-lines file to write")
    parser.add_argument(
        "--data",
        "--data-dir",
        dest="data_dir",
        type=Path,
        metavar="DIR",
        help="folder with local copies of the data sets; without it they come from the Hugging Face hub",
    )


def run(args: argparse.Namespace) -> None:
    """Writes the problems, worked solutions and formal statements of benchmarks."""
    from llemma.core.schemas import BenchmarkText, write_lines

    texts: list[BenchmarkText] = []
    for found in exported([word.strip() for word in args.tasks.split(",") if word.strip()], args.data_dir):
        if isinstance(found, BenchmarkText):
            texts.append(found)
        else:
            print(f"left out: {found}", file=sys.stderr)
    write_lines(args.out, texts)
    print(f"{args.out}: {len(texts):,} texts")


def exported(names: Sequence[str], data_dir: Path | None) -> Iterator[BenchmarkText | Problem]:
    """The texts of tasks and of other benchmarks, in the order of their names, and what was left out.

    Raises InputError where a name is unknown, before anything is read, or where a benchmark's data is not there.
    """
    from eval_tasks.catalog import read_catalog
    from eval_tasks.export_sources import EXPORT_SOURCES, export_texts

    catalog = read_catalog()
    asked = [name for name in names if name not in EXPORT_SOURCES]
    if asked or not names:
        catalog.resolve(asked)
    seen: set[str] = set()
    for name in names:
        if name in EXPORT_SOURCES:
            if name not in seen:
                yield from export_texts(EXPORT_SOURCES[name], data_dir)
            seen.add(name)
            continue
        for task in catalog.resolve([name]):
            if task not in seen:
                yield from _texts_of_task(catalog.tasks[task].benchmark, catalog.tasks[task].subset, data_dir)
            seen.add(task)


def _texts_of_task(benchmark: str, subset: str, data_dir: Path | None) -> Iterator[BenchmarkText | Problem]:
    from eval_tasks.documents import load_documents
    from llemma.core.benchmark_rows import solution_forms
    from llemma.core.schemas import BenchmarkText

    documents = load_documents(benchmark, subset, data_dir)
    yield from documents.left_out
    for item in documents.items:
        yield BenchmarkText(benchmark=benchmark, id=item.id, part="problem", text=item.problem)
        for form in solution_forms(item.solution):
            yield BenchmarkText(benchmark=benchmark, id=item.id, part="solution", text=form)
