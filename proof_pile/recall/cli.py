"""The program `python -m proof_pile.recall`: its commands."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.commands import run_program

DESCRIPTION = "Finds the mathematical pages of a pool: trains a classifier on seeds, ranks, grows by domain, and again."
COMMANDS = {"run": ("proof_pile.recall.run_command", "run the loop, or go on with one that was interrupted")}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return run_program("python -m proof_pile.recall", DESCRIPTION, COMMANDS, argv)
