"""The functions that the task YAML files name: data set and scores of a task inside lm-eval.

A row of the data set: id, benchmark, subset, problem, question (the problem in the prompt's form) and target (the gold
answer); the worked examples are its split `examples` with the columns question and target. YAML names `question` and
`target` as columns and not as templates, for lm-eval turns a templated target that looks like `[2,5]` into a list.

Under plain `lm_eval run` the folder of local data is taken from the environment variable LLEMMA_EVAL_DATA, or
from --metadata '{"data_dir": "DIR"}'.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.documents import load_documents
from eval_tasks.prompts import Prompt, find_prompt
from eval_tasks.rows import Item

DATA_VARIABLE = "LLEMMA_EVAL_DATA"


def load_dataset(*, benchmark: str, subset: str, data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The data set of a task; held in memory, no cache folder is written."""
    given = data_dir or os.environ.get(DATA_VARIABLE)
    folder = Path(given) if given else None
    documents = load_documents(benchmark, subset, folder)
    return make_dataset(benchmark, documents.items, find_prompt(benchmark, subset, data_dir=folder))


def make_dataset(benchmark: str, items: Iterable[Item], prompt: Prompt) -> dict[str, Any]:
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
        for item in items
    ]
    found = {"test": datasets.Dataset.from_list(rows)}
    if prompt.examples:
        found["examples"] = datasets.Dataset.from_list(prompt.example_rows())
    return found


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Scores of one completion: right or not, and why not. Programs are run in the sandbox."""
    from eval_tasks.scoring import judge_completion

    verdict = judge_completion(doc["benchmark"], doc["target"], results[0])
    return {
        "acc": float(verdict.outcome == "EQUAL"),
        "no_answer": float(verdict.outcome == "NO_ANSWER"),
        "unparsed": float(verdict.outcome == "UNPARSED"),
        "timed_out": float(verdict.outcome == "TIMED_OUT"),
    }
