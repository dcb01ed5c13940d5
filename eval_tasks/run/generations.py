"""The completions of every pass of a run: taken from an earlier run where nothing has changed, else asked for.

generations/<task>.<pass>.<key>.json holds {"completions": [[text, ...], ...], "num_examples": n,
"num_truncated": n, "seconds": s}
for a finished pass, the .jsonl of the same name what an unfinished one has so far (journal.py).
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval_tasks.run.journal import Journal
from eval_tasks.run.plan import Pass, PlannedTask, RunPlan
from llemma.core.errors import LlemmaError, MissingPackageError
from llemma.core.files import read_json, write_json
from llemma.core.progress import progress

if TYPE_CHECKING:
    from eval_tasks.run.language_model import AskedModel


@dataclass(frozen=True, kw_only=True)
class Generations:
    """What the model said in one pass: for each problem its completions.

    `num_examples` worked examples stood in the prompt, and `num_truncated` prompts were cut even so.
    """

    completions: tuple[tuple[str, ...], ...]
    num_examples: int
    num_truncated: int
    seconds: float


class Asker:
    """Gives the completions of passes, loading the model once, at the first pass that is not done yet."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._model: AskedModel | None = None

    def completions(self, task: PlannedTask, one_pass: Pass) -> Generations:
        """The completions of one pass."""
        stem = f"{task.file.name}.{one_pass.name}.{self._plan.pass_key(task, one_pass)[:16]}"
        finished = self._plan.settings.out / "generations" / f"{stem}.json"
        if (earlier := _read_finished(finished, len(task.documents.items), one_pass.num_samples)) is not None:
            return earlier
        journal_path = finished.with_suffix(".jsonl")
        generations = self._ask(task, one_pass, journal_path)
        write_json(finished, asdict(generations))
        journal_path.unlink(missing_ok=True)
        return generations

    def _ask(self, task: PlannedTask, one_pass: Pass, journal_path: Path) -> Generations:
        model = self._loaded()
        from eval_tasks.run.language_model import ask, num_fitting_examples

        started = time.monotonic()
        problems = [item.problem for item in task.documents.items]
        num_examples = num_fitting_examples(model, task.prompt, problems, self._plan.max_new_tokens)
        examples = task.prompt.examples[:num_examples]
        shortened = replace(task, prompt=task.prompt.model_copy(update={"examples": examples}))
        with progress(f"{task.file.name} {one_pass.name}", len(problems) * one_pass.num_samples, "answers") as bar:
            model.journal = Journal(journal_path)
            model.advance = bar.advance
            model.seed = self._plan.settings.seed
            completions = ask(model, task_config(self._plan, shortened, one_pass))
        return Generations(
            completions=tuple(tuple(texts) for texts in completions),
            num_examples=num_examples,
            num_truncated=model.num_truncated,
            seconds=round(time.monotonic() - started, 3),
        )

    def _loaded(self) -> AskedModel:
        if self._model is None:
            _stay_offline()
            try:
                from eval_tasks.run.language_model import load_model
            except ImportError as error:
                raise MissingPackageError(error.name or "lm-eval", "eval") from None
            settings = self._plan.settings
            with progress("loading the model", 1) as bar:
                self._model = load_model(
                    self._plan.model, batch_size=self._plan.batch_size, device=settings.device, dtype=settings.dtype
                )
                bar.advance()
        return self._model


def task_config(plan: RunPlan, task: PlannedTask, one_pass: Pass) -> dict[str, Any]:
    """The task's own YAML as lm-eval reads it, with this run's problems, prompt and way of generating."""
    from lm_eval.tasks._yaml_loader import load_yaml

    from eval_tasks.lm_eval_task import example_rows, make_dataset

    config: dict[str, Any] = load_yaml(task.file.path)
    benchmark, documents, prompt = task.file.benchmark, task.documents, task.prompt
    examples = example_rows(prompt)
    sampling: dict[str, Any] = {"do_sample": False}
    if one_pass.temperature > 0:
        sampling = {"do_sample": True, "temperature": one_pass.temperature, "top_p": one_pass.top_p, "top_k": 0}
    for key in ("tag", "group", "process_results", "metric_list"):  # judged by us, once all is said
        config.pop(key, None)
    return {
        **config,
        "custom_dataset": lambda **_: make_dataset(benchmark, documents, prompt),
        "fewshot_config": {"sampler": "first_n", "samples": examples} if examples else None,
        "num_fewshot": len(examples),
        "repeats": one_pass.num_samples,
        "generation_kwargs": {
            "until": config["generation_kwargs"]["until"],
            "max_gen_toks": plan.max_new_tokens,
            **sampling,
        },
    }


def _stay_offline() -> None:
    """Keeps transformers and the hub's client from asking the network about a model that lies on this disk."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


def _read_finished(path: Path, num_problems: int, num_samples: int) -> Generations | None:
    if not path.exists():
        return None
    try:
        value = read_json(path)
        completions = tuple(tuple(str(text) for text in texts) for texts in value["completions"])
        if len(completions) != num_problems or any(len(texts) != num_samples for texts in completions):
            return None
        return Generations(
            completions=completions,
            num_examples=int(value["num_examples"]),
            num_truncated=int(value["num_truncated"]),
            seconds=float(value["seconds"]),
        )
    except (LlemmaError, KeyError, TypeError, ValueError):
        return None  # not what this run writes: asked again and written over
