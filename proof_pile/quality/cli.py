"""The program `python -m proof_pile.quality`: its commands."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.commands import run_program

DESCRIPTION = "Models that tell how mathematical a page is: trained, and asked."
COMMANDS = {
    "train": ("proof_pile.quality.train_command", "train a MathScore model from pages"),
    "score": (
        "proof_pile.quality.score_command",
        "show the scores of pages, and precision and recall where labels are known",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return run_program("python -m proof_pile.quality", DESCRIPTION, COMMANDS, argv)
