"""The program `llemma`: plan, launch, train, convert, report, and the demonstration that runs it all."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.commands import run_program

COMMANDS = {
    "plan": ("llemma.plan.command", "check a recipe, estimate what it costs and write a run directory"),
    "launch": ("llemma.launch.command", "start a planned run on GPT-NeoX or the embedded trainer"),
    "status": ("llemma.launch.status_command", "show how far a run has come, stage by stage, and its jobs"),
    "cancel": ("llemma.launch.cancel_command", "end a run's jobs on Slurm, or its launch on this host"),
    "train": ("llemma.train.command", "train a planned run here, with the embedded trainer"),
    "convert": ("llemma.checkpoint.command", "convert a checkpoint: Hugging Face's, GPT-NeoX's, Meta's layout"),
    "report": ("llemma.report.command", "make one HTML page of a run: data, losses, scores, answers"),
    "data-overlay": ("llemma.neox.overlay_command", "render GPT-NeoX's data keys from a build's mixture.json"),
    "demo": ("llemma.demo", "run everything small: sample data, training, conversion, scores, report"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return run_program("llemma", "Continued pretraining for mathematics, from plan to report.", COMMANDS, argv)
