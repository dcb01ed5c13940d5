"""The few-shot prompt of each benchmark, and prompts that a person gives instead.

Published prompts are not kept here: where lm-eval ships one it is read at run time out of the installed package
(lm_eval_prompts.py), so that it is byte for byte what everyone else scores with. For the other benchmarks the prompt is
our own, `tasks/<benchmark>/prompt.yml`. A prompt file of one's own, `DIR/<benchmark>.yaml`, has the same keys:

    origin: a few words on where the prompt comes from
    question: "Problem:\\n{problem}\\n\\nSolution:"      # optional, the benchmark's own form where it is missing
    examples:
      - problem: What is $1 + 1$?
        solution: "... Final Answer: The final answer is $2$. I hope it is correct."

Scores under a prompt that Llemma's published scores were not made with are marked as not comparable with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydantic

from eval_tasks import lm_eval_prompts
from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.documents import load_documents
from llemma.core.config import Config, load_config
from llemma.core.errors import InputError

PLACE_OF_PROBLEM = "{problem}"
DEFAULT_QUESTION = "Problem:\n{problem}\n\nSolution:"
NUM_CHINESE_EXAMPLES = 5  # those of the development split, as C-Eval and CMMLU are published


class PromptExample(Config):
    """One worked example shown to the model."""

    problem: str = pydantic.Field(min_length=1)
    solution: str = pydantic.Field(min_length=1)


class Prompt(Config):
    """Worked examples and the form of a question; `comparable` where Llemma's published scores were made with it.

    `description` stands before all else. `example_question` is the form of the examples' questions, where it differs.
    """

    origin: str = pydantic.Field(min_length=1)
    question: str
    examples: tuple[PromptExample, ...]
    comparable: bool = False
    description: str = ""
    example_question: str = ""

    @pydantic.field_validator("question")
    @classmethod
    def _holds_the_problem(cls, question: str) -> str:
        if question.count(PLACE_OF_PROBLEM) != 1:
            raise ValueError(f"must hold {PLACE_OF_PROBLEM} exactly once, where the problem is to stand")
        return question

    def ask(self, problem: str) -> str:
        """The question put to the model for one problem, after the examples."""
        question = self.question.replace(PLACE_OF_PROBLEM, problem)
        return question if self.examples else self.description + question

    def example_rows(self) -> list[dict[str, str]]:
        """The worked examples as columns of lm-eval; the description stands in the first of them."""
        form = self.example_question or self.question
        rows = [
            {"question": form.replace(PLACE_OF_PROBLEM, example.problem), "target": example.solution}
            for example in self.examples
        ]
        if rows:
            rows[0]["question"] = self.description + rows[0]["question"]
        return rows

    def with_examples(self, number: int) -> Prompt:
        """The same prompt with only the first examples."""
        return self.model_copy(update={"examples": self.examples[:number]})


class PromptFile(Config):
    """A prompt file as a person writes it."""

    origin: str = pydantic.Field(min_length=1)
    question: str | None = None
    examples: tuple[PromptExample, ...] = pydantic.Field(min_length=1)


def find_prompt(
    benchmark: str, subset: str, *, prompts_dir: Path | None = None, data_dir: Path | None = None
) -> Prompt:
    """The prompt of a benchmark: a person's own where `prompts_dir` holds one, else the benchmark's.

    C-Eval and CMMLU take their examples from the development split of the data, so their data must be there.
    """
    if prompts_dir is not None and (path := prompts_dir / f"{benchmark}.yaml").is_file():
        default = DEFAULT_QUESTION
        if (own := _own_file(benchmark)).is_file():
            default = read_prompt_file(own, DEFAULT_QUESTION).question
        elif BENCHMARKS[benchmark].prompt not in ("ceval", "cmmlu"):
            default = find_prompt(benchmark, subset).question
        return read_prompt_file(path, default)
    source = BENCHMARKS[benchmark].prompt
    if source == "own":
        return read_prompt_file(_own_file(benchmark), DEFAULT_QUESTION)
    if source == "minerva":
        examples = _examples(lm_eval_prompts.minerva_examples())
        origin = "lm-eval minerva_math (Minerva, 4 examples)"
        return Prompt(origin=origin, question=DEFAULT_QUESTION, examples=examples, comparable=True)
    if source == "gsm8k_cot":
        question, rows = lm_eval_prompts.gsm8k_cot()
        origin = "lm-eval gsm8k_cot (8 examples)"
        return Prompt(origin=origin, question=question, examples=_examples(rows), comparable=True)
    if source == "mmlu_flan_cot":
        description, rows = lm_eval_prompts.mmlu_flan_cot(subset)
        return Prompt(
            origin=f"lm-eval mmlu_flan_cot_fewshot_{subset} ({len(rows)} examples)",
            question="Q: {problem}\nA: Let's think step by step.",
            example_question="Q: {problem}\nA:",
            description=description,
            examples=_examples(rows),
        )
    development = load_documents(benchmark, subset, data_dir, split="dev").items[:NUM_CHINESE_EXAMPLES]
    return Prompt(
        origin=f"{len(development)} problems of the development split, in the form of lm-eval's {source}",
        question="{problem}\n答案：",
        description=lm_eval_prompts.chinese_exam_description(source, subset),
        examples=tuple(PromptExample(problem=item.problem, solution=item.answer) for item in development),
    )


def read_prompt_file(path: Path, default_question: str) -> Prompt:
    """A prompt file. Raises ConfigError with file and line."""
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


def _own_file(benchmark: str) -> Path:
    # The ending .yml keeps lm-eval, which reads every .yaml below --include_path as a task, away from these files.
    return Path(__file__).parent / "tasks" / benchmark / "prompt.yml"


def _examples(rows: Iterable[tuple[str, str]]) -> tuple[PromptExample, ...]:
    return tuple(PromptExample(problem=problem, solution=solution) for problem, solution in rows)
