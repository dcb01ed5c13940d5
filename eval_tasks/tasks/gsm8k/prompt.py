"""The eight worked examples of GSM8K (Wei et al. 2022), read out of the installed lm-eval package."""

from __future__ import annotations

import yaml

from eval_tasks.prompts import Prompt, PromptExample, lm_eval_file
from llemma.core.errors import InputError

SOURCE = "tasks/gsm8k/gsm8k-cot.yaml"


def read_prompt() -> Prompt:
    """The chain-of-thought prompt of GSM8K."""
    path = lm_eval_file(SOURCE)
    try:
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Prompt(
            origin="lm-eval gsm8k_cot (8 examples)",
            question=task["doc_to_text"].replace("{{question}}", "{problem}"),
            examples=tuple(
                PromptExample(problem=row["question"], solution=row["target"])
                for row in task["fewshot_config"]["samples"]
            ),
            comparable=True,
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path}: the examples cannot be read ({type(error).__name__}: {error}): "
            "install the lm-eval version that constraints.txt names, or give a prompt of your own with --prompts DIR"
        ) from None


def examples() -> list[dict[str, str]]:
    """The worked examples as lm-eval wants them."""
    from eval_tasks.lm_eval_task import example_rows

    return example_rows(read_prompt())
