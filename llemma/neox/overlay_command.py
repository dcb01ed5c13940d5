"""`llemma data-overlay`: renders NeoX's data keys from a build's mixture.json."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from llemma.core.files import write_text
from llemma.core.schemas import Mixture, Objective
from llemma.neox.data_overlay import data_keys
from llemma.neox.overlays import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma data-overlay`."""
    parser.add_argument("mixture", type=Path, metavar="MIXTURE.json", help="mixture.json of a data build")
    parser.add_argument("--out", type=Path, metavar="F.yml", help="where to write (default: print)")
    parser.add_argument(
        "--data-root",
        metavar="DIR",
        help="the folder in which mixture.json will lie on the cluster (default: where it lies now)",
    )
    parser.add_argument(
        "--objective",
        choices=get_args(Objective),
        default="language-modelling",
        help="also name the label, reward or rejected shards that it needs (default: language-modelling)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes or prints the overlay."""
    mixture = Mixture.read(args.mixture)
    keys = data_keys(mixture, args.mixture, args.data_root, args.objective)
    text = render(
        keys,
        [
            f"The mixture '{mixture.name}' as a GPT-NeoX data overlay, rendered from {args.mixture.name}.",
            f"Tokenizer: {mixture.tokenizer.vocab_size} pieces, sha256 {mixture.tokenizer.sha256}",
        ],
    )
    if args.out is None:
        print(text, end="")
    else:
        write_text(args.out, text)
        num_train, num_valid = len(keys["train_data_weights"]), len(keys["valid_data_weights"])
        print(f"{args.out}: {num_train} sources to train on, {num_valid} to validate on")
    return 0
