"""Prompts that the installed lm-eval package ships, read out of its files without importing it.

Importing lm-eval takes seconds, and some of its task modules need packages that scoring does not.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import yaml

from llemma.core.errors import InputError, MissingPackageError

NUM_MMLU_EXAMPLES = 4  # lm-eval's own number for these tasks, and Llemma's; its files hold up to five
_REMEDY = "install the lm-eval version that constraints.txt names, or give a prompt of your own with --prompts DIR"


def minerva_examples() -> list[tuple[str, str]]:
    """Minerva's four worked examples (Lewkowycz et al. 2022, appendix D): problem and solution."""
    path = lm_eval_file("tasks/minerva_math/utils.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == "list_fewshot_samples":
            for statement in node.body:
                if isinstance(statement, ast.Return) and statement.value is not None:
                    return [(row["problem"], row["solution"]) for row in ast.literal_eval(statement.value)]
    raise InputError(f"{path}: there is no function 'list_fewshot_samples' that returns the examples: {_REMEDY}")


def gsm8k_cot() -> tuple[str, list[tuple[str, str]]]:
    """The form of a question and the eight worked examples of GSM8K (Wei et al. 2022)."""
    path = lm_eval_file("tasks/gsm8k/gsm8k-cot.yaml")
    task = _read_yaml(path)
    try:
        question = task["doc_to_text"].replace("{{question}}", "{problem}")
        return question, [(row["question"], row["target"]) for row in task["fewshot_config"]["samples"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from None


def mmlu_flan_cot(subject: str) -> tuple[str, list[tuple[str, str]]]:
    """The description and four worked examples of one subject of MMLU (FLAN's chain of thought)."""
    path = lm_eval_file(f"tasks/mmlu/flan_cot_fewshot/mmlu_{subject}.yaml")
    task = _read_yaml(path)
    try:
        rows = [(row["question"].strip(), row["target"]) for row in task["fewshot_config"]["samples"]]
        return str(task["description"]), rows[:NUM_MMLU_EXAMPLES]
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from None


def chinese_exam_description(family: str, subject: str) -> str:
    """The sentence that stands before the examples of one subject of `ceval` or `cmmlu`."""
    stem = {"ceval": "ceval-valid", "cmmlu": "cmmlu"}[family]
    path = lm_eval_file(f"tasks/{family}/{stem}_{subject}.yaml")
    description = _read_yaml(path).get("description")
    if not isinstance(description, str):
        raise _unreadable(path, KeyError("description"))
    return description


def lm_eval_file(relative: str) -> Path:
    """A file of the installed lm-eval package, found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("lm-eval", "eval")
    path = Path(spec.submodule_search_locations[0]) / relative
    if not path.is_file():
        raise InputError(
            f"{path}: the installed lm-eval has no such file, so the published prompt cannot be read from it: {_REMEDY}"
        )
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _unreadable(path, error) from None
    return value if isinstance(value, dict) else {}


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: the examples cannot be read ({type(error).__name__}: {error}): {_REMEDY}")
