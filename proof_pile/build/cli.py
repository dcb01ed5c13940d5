"""The program `proof-pile` (python -m proof_pile.build): its commands."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.commands import run_program

DESCRIPTION = (
    "Builds a corpus of mathematical text and code: raw sources to deduplicated, decontaminated, tokenized shards in a "
    "mixture. Without arguments it builds the sample that comes with it."
)
COMMANDS = {
    "run": ("proof_pile.build.run_command", "build, or go on with a build that was interrupted"),
    "plan": ("proof_pile.build.plan_command", "show what a run would do; change nothing"),
    "recipes": ("proof_pile.build.recipes_command", "list the recipes that come with this program, or copy one"),
    "conversations": (
        "proof_pile.build.conversations_command",
        "make questions with answers into shards with labels, for fine-tuning",
    ),
    "status": ("proof_pile.build.status_command", "show how far a build has come"),
    "clean": ("proof_pile.build.clean_command", "remove what earlier recipes and inputs left in a build's steps"),
    "verify": ("proof_pile.build.verify_command", "check every file of a finished build"),
    "task": ("proof_pile.build.task_command", "run one task of one step (for engines, not for people)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return run_program("proof-pile", DESCRIPTION, COMMANDS, argv, default="run")
