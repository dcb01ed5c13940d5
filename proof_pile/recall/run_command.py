"""`python -m proof_pile.recall run RECALL.yml --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from llemma.core.errors import InputError
from proof_pile.build.engine_options import add_engine_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, the folder, and who does the work."""
    parser.add_argument(
        "config", metavar="RECALL.yml", help="seeds, pool and how to go on (docs: proof_pile.recall.config)"
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the recall; the same one goes on with it"
    )
    add_engine_options(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the loop and prints a line a round."""
    from proof_pile.build.engine_options import make_engine
    from proof_pile.build.engines.journal import Journal
    from proof_pile.build.lock import build_lock
    from proof_pile.build.reading import InputHashes
    from proof_pile.build.run_command import clear_leftovers
    from proof_pile.recall.config import load_annotations, load_recall
    from proof_pile.recall.report import print_rounds
    from proof_pile.recall.rounds import Recall, step_runner

    path = Path(args.config)
    config = load_recall(path)
    base = path.resolve().parent
    annotations = load_annotations(config, base)
    out = Path(args.out).resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: this is a file, the recall needs a folder: give another --out")
    steps = out / "steps"
    if out.is_dir() and not steps.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: this folder holds other files: give an empty or a new one as --out")
    engine = make_engine(args, out)
    steps.mkdir(parents=True, exist_ok=True)
    with build_lock(steps):
        try:
            with engine, Journal(steps, engine=args.engine) as journal:
                clear_leftovers(out, engine.busy_keys())
                recall = Recall(
                    config=config,
                    base=base,
                    out=out,
                    annotations=annotations,
                    hashes=InputHashes(steps / "input-hashes.json"),
                    run=step_runner(steps, engine, journal),
                )
                recall.work()
        finally:
            clear_leftovers(out)
    print_rounds(recall)
    return 0
