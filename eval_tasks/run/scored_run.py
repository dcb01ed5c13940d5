"""Judges what the model said, and writes results.json and samples.jsonl."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval_tasks.benchmarks import BENCHMARKS, Item
from eval_tasks.catalog import PREFIX
from eval_tasks.intervals import wilson_interval
from eval_tasks.run.generations import Asker, Generations
from eval_tasks.run.plan import PlannedTask, RunPlan
from eval_tasks.scoring import OUTCOMES, judge_completion, vote_of
from llemma.core.logging import get_logger
from llemma.core.progress import progress
from llemma.core.records import installed_versions
from llemma.core.schemas import (
    EvalResults,
    EvalSample,
    MajorityAnswer,
    MajorityResult,
    SampledAnswer,
    TaskResult,
    write_lines,
)

logger = get_logger(__name__)
_PACKAGES = ("llemma", "torch", "transformers", "tokenizers", "lm-eval", "datasets", "sympy", "numpy")


@dataclass(frozen=True)
class ScoreTable:
    """The scores of a run, printed as a table."""

    results: EvalResults

    def __str__(self) -> str:
        lines = [f"{'task':<32} {'n':>5}  {'greedy':>7}  {'95 % interval':<16}  {'vote':>16}  no answer"]
        for name, task in self.results.tasks.items():
            interval = f"{100 * task.ci95[0]:.1f} to {100 * task.ci95[1]:.1f}"
            vote = "" if task.majority is None else f"{100 * task.majority.accuracy:.1f} (maj@{task.majority.k})"
            lines.append(
                f"{name.removeprefix(PREFIX):<32} {task.n:>5}  {100 * task.accuracy:>7.1f}  {interval:<16}  "
                f"{vote:>16}  {task.outcomes['NO_ANSWER']:>9}"
            )
        if any(not task.comparable for task in self.results.tasks.values()):
            lines.append("not comparable with published scores (why: settings.tasks in results.json): ")
            names = (name.removeprefix(PREFIX) for name, task in self.results.tasks.items() if not task.comparable)
            lines[-1] += ", ".join(names)
        return "\n".join(lines)


def score_run(plan: RunPlan) -> ScoreTable:
    """Carries out a planned run and writes its results."""
    started = time.monotonic()
    asker = Asker(plan)
    tasks: dict[str, TaskResult] = {}
    samples: list[EvalSample] = []
    details: dict[str, object] = {}
    for task in plan.tasks:
        for problem in task.documents.left_out:
            logger.warning("%s: left out: %s", task.file.name, problem)
        passes = [asker.completions(task, one_pass) for one_pass in task.passes]
        judged = judge_task(task, passes)
        samples.extend(judged)
        reasons = list(task.not_comparable)
        num_examples, wanted = passes[0].num_examples, len(task.prompt.examples)
        if num_examples < wanted:
            reasons.append(f"only {num_examples} of {wanted} worked examples fit into the model's context")
        if cut := max(one.num_truncated for one in passes):
            reasons.append(f"{cut} prompts were longer than the model's context and lost their beginning")
            logger.warning("%s: %s", task.file.name, reasons[-1])
        tasks[task.file.name] = summarize(
            judged,
            num_samples=plan.settings.majority,
            prompt_origin=task.prompt.origin,
            comparable=not reasons,
        )
        details[task.file.name] = {
            "version": task.file.version,
            "examples": num_examples,
            "grader": "eval_tasks.answers, policy standard",
            "answer_styles": list(BENCHMARKS[task.file.benchmark].answer_styles),
            "data": task.documents.origin,
            "data_hash": task.documents.sha,
            "rows_left_out": len(task.documents.left_out),
            "prompts_cut": cut,
            "not_comparable": reasons,
            "generation_seconds": {
                one_pass.name: one.seconds for one_pass, one in zip(task.passes, passes, strict=True)
            },
            "sampling": None
            if len(task.passes) == 1
            else {"temperature": task.passes[1].temperature, "top_p": task.passes[1].top_p},
        }
    tasks.update(_group_results(plan, tasks, samples))
    results = EvalResults(
        model=str(plan.model.given),
        model_sha256=plan.model.sha256,
        tasks=tasks,
        versions=installed_versions(_PACKAGES),
        seconds=round(time.monotonic() - started, 3),
        settings={
            "majority": plan.settings.majority,
            "limit": plan.settings.limit,
            "shots": plan.settings.shots,
            "batch_size": plan.batch_size,
            "max_new_tokens": plan.max_new_tokens,
            "seed": plan.settings.seed,
            "device": plan.settings.device,
            "dtype": plan.settings.dtype,
            "tasks": details,
        },
    )
    # The samples first: results.json is what says that a run is done.
    write_lines(plan.settings.out / "samples.jsonl", samples)
    results.write(plan.settings.out / "results.json")
    return ScoreTable(results)


def judge_task(task: PlannedTask, passes: Sequence[Generations]) -> list[EvalSample]:
    """Every problem of a task with its answers and verdicts. The first pass is the greedy one."""
    greedy = passes[0].completions
    sampled = passes[1].completions if len(passes) > 1 else ((),) * len(greedy)
    judged = []
    with progress(f"{task.file.name} judging", len(greedy), "problems") as bar:
        for item, first, others in zip(task.documents.items, greedy, sampled, strict=True):
            judged.append(_judge_item(task, item, first[0], others))
            bar.advance()
    return judged


def _judge_item(task: PlannedTask, item: Item, greedy: str, sampled: Sequence[str]) -> EvalSample:
    benchmark = task.file.benchmark
    verdict = judge_completion(benchmark, item.answer, greedy)
    samples = [(text, judge_completion(benchmark, item.answer, text)) for text in sampled]
    majority = None
    if samples:
        vote, elected = vote_of(item.answer, [one.answer for _, one in samples])
        majority = MajorityAnswer(answer=vote.answer, outcome=elected.outcome, votes=vote.num_votes)
    return EvalSample(
        task=task.file.name,
        id=item.id,
        problem=item.problem,
        gold=item.answer,
        completion=greedy,
        answer=verdict.answer,
        outcome=verdict.outcome,
        reason=verdict.reason,
        samples=tuple(SampledAnswer(completion=text, answer=one.answer, outcome=one.outcome) for text, one in samples),
        majority=majority,
    )


def summarize(samples: Iterable[EvalSample], *, num_samples: int, prompt_origin: str, comparable: bool) -> TaskResult:
    """The scores of judged problems; every problem counts, whatever became of its answer."""
    judged = list(samples)
    n = len(judged)
    counts = Counter(sample.outcome for sample in judged)
    majority = None
    if num_samples:
        right = sum(sample.majority is not None and sample.majority.outcome == "EQUAL" for sample in judged)
        majority = MajorityResult(k=num_samples, accuracy=right / n, ci95=wilson_interval(right, n))
    return TaskResult(
        n=n,
        accuracy=counts["EQUAL"] / n,
        ci95=wilson_interval(counts["EQUAL"], n),
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        majority=majority,
        prompt_origin=prompt_origin,
        comparable=comparable,
    )


def _group_results(plan: RunPlan, tasks: dict[str, TaskResult], samples: Sequence[EvalSample]) -> dict[str, TaskResult]:
    """One more row for each group of which every task was run: all of its problems together."""
    rows = {}
    for name, members in plan.catalog.groups.items():
        if all(member in tasks for member in members):
            origins = {tasks[member].prompt_origin for member in members}
            rows[name] = summarize(
                (sample for sample in samples if sample.task in members),
                num_samples=plan.settings.majority,
                prompt_origin=origins.pop() if len(origins) == 1 else "several",
                comparable=all(tasks[member].comparable for member in members),
            )
    return rows
