"""proof-pile conversations: questions with answers made into shards with labels, for fine-tuning."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.core.errors import InputError

if TYPE_CHECKING:
    from proof_pile.conversations.shards import Made, Order

_SHOWN_CHARS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the inputs and how they are to be written."""
    parser.add_argument(
        "inputs", nargs="+", metavar="[NAME=]PATH", help="JSON lines or Parquet: a file, folder, glob or URL a source"
    )
    parser.add_argument("--objective", choices=("sft", "dpo", "kto"), default="sft", help="(default: %(default)s)")
    parser.add_argument("--tokenizer", metavar="PATH", required=True, help="a .model, a tokenizer.json or their folder")
    parser.add_argument("--eod", metavar="TOKEN", help="the tokenizer's token (text or id) that ends each document")
    parser.add_argument("--seq-length", metavar="N", type=int, required=True, help="the sequence length of the stage")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--format",
        metavar="F",
        default="plain",
        help="how conversations are written: plain, chatml, or a YAML file of yours (default: %(default)s)",
    )
    parser.add_argument("--longer", choices=("drop", "cut"), default="drop", help="what becomes of longer ones")
    parser.add_argument("--only-last", action="store_true", help="the loss counts the last answer alone")
    parser.add_argument("--prompt-key", metavar="K", help="the key of the question")
    parser.add_argument("--response-key", metavar="K", help="the key of the answer")
    parser.add_argument("--label-key", metavar="K", help="kto: the key that says whether the answer is wanted")
    parser.add_argument("--weight", metavar="NAME=W", action="append", default=[], help="a source's part (relative)")
    parser.add_argument("--validation-share", metavar="S", type=float, default=0.01, help="(default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=1234, help="another division into splits")


def run(args: argparse.Namespace) -> int:
    """Makes the shards and tells what is in them."""
    from proof_pile.conversations.shards import make_shards

    made = make_shards(_order(args), args.out)
    _print(made)
    print(f"\n{args.out / 'mixture.json'}: name it to a stage of the objective {args.objective}, as in")
    print(f"  llemma plan RECIPE --data STAGE={args.out / 'mixture.json'} --out RUN")
    return 0


def _order(args: argparse.Namespace) -> Order:
    from proof_pile.conversations.chat_format import read_format
    from proof_pile.conversations.records import Keys
    from proof_pile.conversations.shards import Order

    if args.seq_length < 2:
        raise InputError(f"--seq-length is {args.seq_length}, but must be at least 2")
    if not 0 < args.validation_share < 1:
        raise InputError(f"--validation-share is {args.validation_share:g}, but must lie between 0 and 1")
    sources = _sources(args.inputs)
    weights = {}
    for text in args.weight:
        name, _, number = text.rpartition("=")
        if name not in sources or not re.fullmatch(r"\d+(\.\d+)?", number) or float(number) <= 0:
            raise InputError(f"--weight {text}: wanted NAME=W, a source ({', '.join(sources)}) and a number above 0")
        weights[name] = float(number)
    if weights and len(weights) != len(sources):
        raise InputError(f"--weight: give every source one, or none ({', '.join(sources)})")
    keys = {"prompt": args.prompt_key, "response": args.response_key, "label": args.label_key}
    named: dict[str, Any] = {part: (key,) for part, key in keys.items() if key is not None}
    eod = args.eod
    return Order(
        objective=args.objective,
        sources=sources,
        base=Path.cwd(),
        tokenizer=args.tokenizer,
        eod=int(eod) if eod is not None and eod.isascii() and eod.isdigit() else eod,
        chat_format=read_format(args.format, Path.cwd()),
        keys=Keys(**named),
        seq_length=args.seq_length,
        longer=args.longer,
        only_last=args.only_last,
        validation_share=args.validation_share,
        seed=args.seed,
        weights=weights,
    )


def _sources(inputs: Sequence[str]) -> dict[str, str]:
    """Paths by the name of their source, which is the file's where none is given."""
    sources: dict[str, str] = {}
    for text in inputs:
        named = re.fullmatch(r"([a-z0-9][a-z0-9._-]{0,63})=(.+)", text)
        path = named[2] if named else text
        stem = Path(path.rstrip("/")).name.split(".")[0].lower()
        name = named[1] if named else re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._") or "conversations"
        if name in sources:
            raise InputError(f"{text}: a second source is called '{name}': name them, as in  {name}-2={path}")
        sources[name] = path
    return sources


def _print(made: Made) -> None:
    from proof_pile.build.tables import print_table

    rows = [
        (
            name,
            f"{of.documents['train']:,}",
            f"{of.documents['validation']:,}",
            f"{of.tokens['train']:,}",
            f"{of.said / max(1, of.tokens['train']):.1%}",
            f"{of.cut:,}",
            f"{sum(of.dropped.values()):,}",
        )
        for name, of in made.counts.items()
    ]
    columns = ("source", "train", "validation", "train tokens", "of which learnt", "cut", "dropped")
    print_table("", columns, rows)
    for name, of in made.counts.items():
        for reason, count in of.dropped.most_common():
            print(f"  {name}: {count:,} dropped: {reason}")
    print("\nthe first conversation, and what of it the model learns to say ('>'):")
    for text, is_said in made.first:
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} ..."
        for line in shown.rstrip("\n").split("\n"):
            print(f"  {'>' if is_said else ' '} {''.join(c if c.isprintable() else '?' for c in line)}")
