"""Minerva's four worked examples, read out of the installed lm-eval package.

lm-eval keeps them in lm_eval/tasks/minerva_math/utils.py as one literal. That module is parsed and not imported,
for importing it needs the packages of lm-eval[math].
"""

from __future__ import annotations

import ast
from pathlib import Path

from eval_tasks.prompts import Prompt, PromptExample, lm_eval_file
from llemma.core.errors import InputError

SOURCE = "tasks/minerva_math/utils.py"
QUESTION = "Problem:\n{problem}\n\nSolution:"


def read_prompt() -> Prompt:
    """The Minerva prompt (Lewkowycz et al. 2022, appendix D)."""
    samples = _returned_literal(lm_eval_file(SOURCE), "list_fewshot_samples")
    return Prompt(
        origin="lm-eval minerva_math (Minerva, 4 examples)",
        question=QUESTION,
        examples=tuple(PromptExample(problem=row["problem"], solution=row["solution"]) for row in samples),
        comparable=True,
    )


def examples() -> list[dict[str, str]]:
    """The worked examples as lm-eval wants them."""
    from eval_tasks.lm_eval_task import example_rows

    return example_rows(read_prompt())


def _returned_literal(path: Path, function: str) -> list[dict[str, str]]:
    """The literal that a function without arguments returns, without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for statement in node.body:
                if isinstance(statement, ast.Return) and statement.value is not None:
                    value: list[dict[str, str]] = ast.literal_eval(statement.value)
                    return value
    raise InputError(
        f"{path}: there is no function '{function}' that returns the examples: "
        "install the lm-eval version that constraints.txt names, or give a prompt of your own with --prompts DIR"
    )
