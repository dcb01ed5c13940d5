"""The answers of every pass of a run: taken from the journal of an earlier run where nothing changed, else asked for.

generations/<task>.<pass>.<key>.jsonl is the journal of one pass (journal.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval_tasks.benchmarks import Method
from eval_tasks.rows import LETTERS
from eval_tasks.run.journal import Journal
from eval_tasks.run.plan import Pass, PlannedTask, RunPlan
from llemma.core.errors import MissingPackageError
from llemma.core.progress import progress

if TYPE_CHECKING:
    from eval_tasks.run.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Generations:
    """What the model said in one pass: for each problem its completions.

    `num_examples` worked examples stood in the prompt, and `num_cut` prompts lost their beginning even so.
    """

    completions: tuple[tuple[str, ...], ...]
    num_examples: int
    num_cut: int
    seconds: float


class Asker:
    """Gives the completions of passes, loading the model once, at the first pass that is not done yet."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._model: LanguageModel | None = None

    def completions(self, task: PlannedTask, one_pass: Pass) -> Generations:
        """The completions of one pass; for a benchmark of letters the likeliest letter."""
        plan = self._plan
        name = f"{task.file.name}.{one_pass.name}.{plan.pass_key(task, one_pass)[:16]}.jsonl"
        journal = Journal(plan.settings.out / "generations" / name)
        # All problems of one sample, then all of the next: more samples or problems later leave these as they are.
        keys = [(item.id, sample) for sample in range(one_pass.num_samples) for item in task.items]
        if todo := journal.missing(keys):
            model = self._loaded()
            from eval_tasks.run.language_model import ask

            with progress(f"{task.file.name} {one_pass.name}", len(keys), "answers") as bar:
                bar.advance(len(keys) - len(todo))
                ask(model, plan, task, one_pass, journal, bar.advance)
        said = [[journal[item.id, sample] for sample in range(one_pass.num_samples)] for item in task.items]
        if task.facts.method is Method.LIKELIHOOD:
            # Of equally likely letters the first is taken.
            said = [[max(zip(LETTERS, of_one, strict=True), key=lambda pair: pair[1])[0]] for of_one in said]
        return Generations(
            completions=tuple(tuple(map(str, texts)) for texts in said),
            num_examples=journal.num_examples or 0,
            num_cut=journal.num_cut,
            seconds=round(journal.seconds, 3),
        )

    def _loaded(self) -> LanguageModel:
        if self._model is None:
            # Keeps transformers and the hub's client from asking the network about a model that lies on this disk.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
            try:
                from eval_tasks.run.language_model import load_model
            except ImportError as error:
                raise MissingPackageError(error.name or "lm-eval", "eval") from None
            with progress("loading the model", 1) as bar:
                self._model = load_model(self._plan)
                bar.advance()
        return self._model
