"""`python -m eval_tasks export`: benchmark texts as JSON lines, for cleaning a training corpus of them.

One line a text: {"benchmark", "id", "part": "problem" | "solution", "text"} (llemma.core.schemas.BenchmarkText).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    parser.add_argument("--tasks", required=True, help="names with commas between, for example builtin,minerva_math")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the JSON-lines file to write")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder with local copies of the data sets")


def run(args: argparse.Namespace) -> None:
    """Writes the problems and worked solutions of benchmarks."""
    from eval_tasks.catalog import read_catalog
    from eval_tasks.documents import load_documents
    from llemma.core.schemas import BenchmarkText, write_lines

    catalog = read_catalog()
    texts: list[BenchmarkText] = []
    for name in catalog.resolve([word for word in args.tasks.split(",") if word]):
        task = catalog.tasks[name]
        documents = load_documents(task.benchmark, task.subset, args.data_dir)
        for problem in documents.left_out:
            print(f"left out: {problem}", file=sys.stderr)
        for item in documents.items:
            texts.append(BenchmarkText(benchmark=task.benchmark, id=item.id, part="problem", text=item.problem))
            if item.solution:
                texts.append(BenchmarkText(benchmark=task.benchmark, id=item.id, part="solution", text=item.solution))
    write_lines(args.out, texts)
    print(f"{args.out}: {len(texts):,} texts")
