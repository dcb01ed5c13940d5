"""proof-pile verify: checks every file of a finished build against its manifest."""

from __future__ import annotations

import argparse

from llemma.core.errors import WorkError
from proof_pile.build.arguments import add_out_option, out_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --out."""
    add_out_option(parser)


def run(args: argparse.Namespace) -> int:
    """Prints what is wrong, or that nothing is."""
    from proof_pile.verify import verify

    out = out_folder(args)
    problems = verify(out)
    if problems:
        raise WorkError("\n".join(problems))
    print(f"{out}: all files are what the manifest says")
    return 0
