"""The functions that the task YAML files name: data set, worked examples and scores of a task inside lm-eval.

A row of the data set: id, benchmark, subset, problem, question (the problem in the prompt's form) and target (the
gold answer). YAML names `question` and `target` as columns and not as templates, for lm-eval turns a templated
target that looks like `[2,5]` into a list.

Under plain `lm_eval run` the folder of local data is taken from the environment variable LLEMMA_EVAL_DATA, or
from --metadata '{"data_dir": "DIR"}'.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.documents import Documents, load_documents
from eval_tasks.prompts import Prompt, find_prompt

DATA_VARIABLE = "LLEMMA_EVAL_DATA"


def load_dataset(*, benchmark: str, subset: str, data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The data set of a task, {"test": datasets.Dataset}; held in memory, no cache folder is written."""
    folder = data_dir or os.environ.get(DATA_VARIABLE)
    documents = load_documents(benchmark, subset, Path(folder) if folder else None)
    return make_dataset(benchmark, documents, find_prompt(benchmark))


def make_dataset(benchmark: str, documents: Documents, prompt: Prompt) -> dict[str, Any]:
    """The data set of already loaded problems, asked in a prompt's form."""
    import datasets

    rows = [
        {
            "id": item.id,
            "benchmark": benchmark,
            "subset": item.subset,
            "problem": item.problem,
            "question": prompt.ask(item.problem),
            "target": item.answer,
        }
        for item in documents.items
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def example_rows(prompt: Prompt) -> list[dict[str, str]]:
    """Worked examples with the columns that the task's YAML names."""
    return [{"question": prompt.ask(example.problem), "target": example.solution} for example in prompt.examples]


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Scores of one completion: right or not, and why not."""
    from eval_tasks.scoring import judge_completion

    verdict = judge_completion(doc["benchmark"], doc["target"], results[0])
    return {
        "acc": float(verdict.outcome == "EQUAL"),
        "no_answer": float(verdict.outcome == "NO_ANSWER"),
        "unparsed": float(verdict.outcome == "UNPARSED"),
        "timed_out": float(verdict.outcome == "TIMED_OUT"),
    }
