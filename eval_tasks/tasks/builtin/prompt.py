"""The prompt of the built-in problems: four examples of our own in prompt.yml, in Minerva's form of an answer."""

from __future__ import annotations

from pathlib import Path

from eval_tasks.prompts import Prompt, read_prompt_file

# The ending .yml keeps lm-eval, which reads every .yaml below --include_path as a task, away from this file.
PROMPT_FILE = Path(__file__).with_name("prompt.yml")
QUESTION = "Problem:\n{problem}\n\nSolution:"


def read_prompt() -> Prompt:
    """The prompt of the built-in problems."""
    return read_prompt_file(PROMPT_FILE, QUESTION)


def examples() -> list[dict[str, str]]:
    """The worked examples as lm-eval wants them."""
    from eval_tasks.lm_eval_task import example_rows

    return example_rows(read_prompt())
