"""The few-shot prompt of each benchmark, and prompts that a person gives instead.

Published prompts are not kept here: they are read at run time out of the installed lm-eval package, so that they
are byte for byte those that everyone else scores with. A prompt file of one's own, `DIR/<benchmark>.yaml`:

    origin: a few words on where the prompt comes from
    question: "Problem:\\n{problem}\\n\\nSolution:"      # optional, the benchmark's own form where it is missing
    examples:
      - problem: What is $1 + 1$?
        solution: "... Final Answer: The final answer is $2$. I hope it is correct."

Scores under a prompt of one's own are marked as not comparable with published ones.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import pydantic

from llemma.core.config import Config, load_config
from llemma.core.errors import InputError, MissingPackageError

PLACE_OF_PROBLEM = "{problem}"
_PROMPT_MODULES = {
    "builtin": "eval_tasks.tasks.builtin.prompt",
    "minerva_math": "eval_tasks.tasks.minerva_math.prompt",
    "minerva_math500": "eval_tasks.tasks.minerva_math.prompt",
    "gsm8k": "eval_tasks.tasks.gsm8k.prompt",
}


class PromptExample(Config):
    """One worked example shown to the model."""

    problem: str = pydantic.Field(min_length=1)
    solution: str = pydantic.Field(min_length=1)


class Prompt(Config):
    """Worked examples and the form of a question; `comparable` where published scores were made with it."""

    origin: str = pydantic.Field(min_length=1)
    question: str
    examples: tuple[PromptExample, ...]
    comparable: bool = False

    @pydantic.field_validator("question")
    @classmethod
    def _holds_the_problem(cls, question: str) -> str:
        if question.count(PLACE_OF_PROBLEM) != 1:
            raise ValueError(f"must hold {PLACE_OF_PROBLEM} exactly once, where the problem is to stand")
        return question

    def ask(self, problem: str) -> str:
        """The question put to the model for one problem."""
        return self.question.replace(PLACE_OF_PROBLEM, problem)


class PromptFile(Config):
    """A prompt file as a person writes it."""

    origin: str = pydantic.Field(min_length=1)
    question: str | None = None
    examples: tuple[PromptExample, ...] = pydantic.Field(min_length=1)


def find_prompt(benchmark: str, prompts_dir: Path | None = None) -> Prompt:
    """The prompt of a benchmark: a person's own where `prompts_dir` holds one, else the benchmark's."""
    if prompts_dir is not None and (path := prompts_dir / f"{benchmark}.yaml").is_file():
        return read_prompt_file(path, default_question=own_prompt(benchmark).question)
    return own_prompt(benchmark)


def own_prompt(benchmark: str) -> Prompt:
    """The benchmark's own prompt."""
    module = importlib.import_module(_PROMPT_MODULES[benchmark])
    prompt: Prompt = module.read_prompt()
    return prompt


def read_prompt_file(path: Path, default_question: str) -> Prompt:
    """A prompt file of one's own. Raises ConfigError with file and line."""
    file = load_config(path, PromptFile)
    question = default_question if file.question is None else file.question
    if question.count(PLACE_OF_PROBLEM) != 1:
        raise InputError(f"{path}: 'question' must hold {PLACE_OF_PROBLEM} exactly once, found {question!r}")
    return Prompt(origin=f"{file.origin} ({path.name})", question=question, examples=file.examples)


def check_prompts_dir(prompts_dir: Path, benchmarks: Iterable[str]) -> None:
    """Raises InputError where a folder of prompts is missing or has no prompt for any of the benchmarks."""
    if not prompts_dir.is_dir():
        raise InputError(f"{prompts_dir}: this is not a folder of prompts")
    names = list(benchmarks)
    if not any((prompts_dir / f"{name}.yaml").is_file() for name in names):
        wanted = " or ".join(f"{name}.yaml" for name in names)
        raise InputError(f"{prompts_dir}: no prompt for these benchmarks here, wanted is {wanted}")


def lm_eval_file(relative: str) -> Path:
    """A file of the installed lm-eval package, found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("lm-eval", "eval")
    path = Path(spec.submodule_search_locations[0]) / relative
    if not path.is_file():
        raise InputError(
            f"{path}: the installed lm-eval has no such file, so the published prompt cannot be read from it: "
            "install the version that constraints.txt names, or give a prompt of your own with --prompts DIR"
        )
    return path
