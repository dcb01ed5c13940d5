"""`python -m proof_pile.quality score`: the MathScore of pages."""

from __future__ import annotations

import argparse

from llemma.core.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The pages, and the model."""
    parser.add_argument("pages", nargs="*", metavar="PATH", help="pages as JSON lines, Parquet or text files")
    parser.add_argument("--positive", nargs="+", default=[], metavar="PATH", help="pages known to be mathematics")
    parser.add_argument("--negative", nargs="+", default=[], metavar="PATH", help="pages known to be something else")
    parser.add_argument("--model", metavar="MODEL.bin", help="the model (default: the small one of this package)")


def run(args: argparse.Namespace) -> None:
    """Prints a line a page, or with labelled pages a table of precision and recall."""
    from pathlib import Path

    from proof_pile.build.tables import print_table
    from proof_pile.quality.math_score import load_math_score
    from proof_pile.quality.train_config import inputs_of_paths
    from proof_pile.quality.training import documents_of, measured

    if not (args.pages or args.positive or args.negative):
        raise InputError("name the pages: PATH ..., or --positive PATH --negative PATH")
    score = load_math_score(args.model)
    for document in documents_of(inputs_of_paths(args.pages), Path()):
        print(f"{score(document.text):.4f}\t{document.name or document.hex_id}")
    if args.positive or args.negative:
        scores: list[float] = []
        labels: list[int] = []
        for label, paths in ((1, args.positive), (0, args.negative)):
            for document in documents_of(inputs_of_paths(paths), Path()):
                scores.append(score(document.text))
                labels.append(label)
        found = measured(scores, labels)
        rows = [
            (threshold, *("-" if value[key] is None else f"{value[key]:.3f}" for key in ("precision", "recall")))
            for threshold, value in found["thresholds"].items()
        ]
        title = f"{found['math']:,} pages of mathematics, {found['other']:,} others"
        print(title)
        print_table("", ("score above", "precision", "recall"), rows)
