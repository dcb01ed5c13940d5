"""`python -m eval_tasks overlap`: how much of benchmarks, or of what a model wrote, stands in a corpus."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from llemma.core.errors import InputError

_MOST_WORDS = 255
_LEAST_WORDS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `overlap`."""
    parser.add_argument(
        "--texts",
        required=True,
        nargs="+",
        type=Path,
        metavar="FILE",
        help="what to look for: files of `llemma-eval export`, samples.jsonl of `llemma-eval run`, or rows with --keys",
    )
    parser.add_argument(
        "--corpus",
        required=True,
        nargs="+",
        type=Path,
        metavar="PATH",
        help="where: a build's folder, Parquet files or a folder of them, a mixture.json, or .bin/.idx pairs",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for what is found")
    parser.add_argument(
        "--n", default="20,30", metavar="N,...", help="words in a row that count (default: 20,30, as the paper has it)"
    )
    parser.add_argument(
        "--words",
        choices=("whitespace", "normalized"),
        default="whitespace",
        help="words between white space exactly as they stand (the paper's), or without case, typography and LaTeX's "
        "layout (default: whitespace)",
    )
    parser.add_argument(
        "--keys", default="", metavar="KEY,...", help="keys of the texts in rows of another kind; doc.problem goes deep"
    )
    parser.add_argument("--tokenizer", type=Path, metavar="PATH", help="the tokenizer of .bin/.idx pairs")
    parser.add_argument(
        "--accuracy",
        type=Path,
        metavar="SAMPLES",
        help="samples.jsonl of a run: compare its right answers on hit problems and on others, by level",
    )
    parser.add_argument(
        "--hit-parts",
        default="",
        metavar="PART,...",
        help="parts that make a problem hit (default: all but what the model wrote: problem, solution, ...)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads at work (default: one a processor)")


def run(args: argparse.Namespace) -> None:
    """Measures the overlap, prints the tables and writes them."""
    workers = args.workers if args.workers is not None else len(os.sched_getaffinity(0))
    if workers < 1:
        raise InputError(f"--workers is {workers}, but must be at least 1")
    lengths = _lengths(args.n)
    from eval_tasks.overlap.accuracy import accuracy_table
    from eval_tasks.overlap.report import Settings, measure

    settings = Settings(
        texts=tuple(args.texts),
        corpus=tuple(args.corpus),
        out=args.out,
        lengths=lengths,
        words=args.words,
        workers=workers,
        keys=_words(args.keys),
        tokenizer=args.tokenizer,
    )
    if args.accuracy is not None and not args.accuracy.is_file():
        raise InputError(f"--accuracy {args.accuracy}: there is no such file")
    overlap = measure(settings)
    print(overlap)
    if overlap.num_resumed:
        print(f"{overlap.num_resumed:,} pieces of the corpus were searched by an earlier run")
    if args.accuracy is not None:
        table = accuracy_table(overlap.looked, overlap.found, args.accuracy, _words(args.hit_parts))
        table.write(args.out / "accuracy.json")
        print(f"\n{table}")
    print(f"\n{args.out}: overlap.json, hits.jsonl" + (", accuracy.json" if args.accuracy else ""))


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _lengths(value: str) -> tuple[int, ...]:
    words = _words(value)
    if not words or not all(word.isdigit() and _LEAST_WORDS <= int(word) <= _MOST_WORDS for word in words):
        wanted = f"numbers from {_LEAST_WORDS} to {_MOST_WORDS} with commas between, such as 10,20,30"
        raise InputError(f"--n is {value!r}, wanted are {wanted}")
    return tuple(sorted({int(word) for word in words}))
