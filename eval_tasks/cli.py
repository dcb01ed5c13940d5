"""The command line of the evaluation: `python -m eval_tasks` and the console script `llemma-eval`."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.commands import run_program

COMMANDS = {
    "run": ("eval_tasks.run.run_command", "score a model on benchmarks"),
    "perplexity": ("eval_tasks.run.perplexity_command", "measure how well a model foretells texts, by source"),
    "compare": ("eval_tasks.compare_command", "scores side by side: with each other, and with Llemma's published ones"),
    "list": ("eval_tasks.list_command", "list the benchmarks, their prompts and the data that each needs"),
    "export": ("eval_tasks.export_command", "write benchmark texts as JSON lines, to clean a training corpus of them"),
    "overlap": ("eval_tasks.overlap.overlap_command", "measure how much of benchmarks or answers a corpus holds"),
    "grade": ("eval_tasks.answers.grade_command", "judge a JSON-lines file of gold answers and predictions"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one evaluation command and returns its exit code."""
    return run_program("llemma-eval", "Score language models on mathematics.", COMMANDS, argv)
