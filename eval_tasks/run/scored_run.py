"""Judges what the model said, and writes results.json and samples.jsonl."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from eval_tasks.benchmarks import Method
from eval_tasks.run.earlier_results import keep_earlier, run_key_of
from eval_tasks.run.generations import Asker, Generations
from eval_tasks.run.plan import PlannedTask, RunPlan
from eval_tasks.run.results_table import ScoreTable
from eval_tasks.run.summary import JudgedProblem, summarize
from eval_tasks.sandbox import Sandbox
from eval_tasks.scoring import Found, answer_of_program, find_answer, judge_found, vote_of
from llemma.core.files import sha256_file, stable_hash
from llemma.core.logging import get_logger
from llemma.core.progress import progress
from llemma.core.records import installed_versions
from llemma.core.schemas import EvalResults, EvalSample, MajorityAnswer, SampledAnswer, TaskResult, write_lines

VOTE_RULE = (
    "the largest class of equal answers; of equally large ones that whose first member has the smallest sample number; "
    "samples without an answer are never elected and count in k"
)
logger = get_logger(__name__)
_PACKAGES = ("llemma", "torch", "transformers", "tokenizers", "vllm", "lm-eval", "datasets", "sympy", "numpy")


def score_run(plan: RunPlan) -> ScoreTable:
    """Carries out a planned run and writes its results."""
    started = time.monotonic()
    results_path, samples_path = plan.settings.out / "results.json", plan.settings.out / "samples.jsonl"
    if results_path.exists() and (earlier := run_key_of(results_path)) != plan.run_key():
        keep_earlier([results_path, samples_path], earlier)
    asker = Asker(plan)
    tasks: dict[str, TaskResult] = {}
    judged: dict[str, list[JudgedProblem]] = {}
    details: dict[str, object] = {}
    with ExitStack() as open_while_judging:
        sandbox = None
        if any(task.facts.method is Method.PROGRAM for task in plan.tasks):
            # Before the model is asked: a machine that cannot shut programs in says so now and not after hours.
            sandbox = open_while_judging.enter_context(Sandbox(plan.settings.sandbox))
        for task in plan.tasks:
            for problem in task.documents.left_out:
                logger.warning("%s: left out: %s", task.file.name, problem)
            passes = [asker.completions(task, one_pass) for one_pass in task.passes]
            judged[task.file.name] = judge_task(task, passes, sandbox, plan.settings.policy)
            reasons = _reasons(plan, task, passes)
            tasks[task.file.name] = summarize(
                judged[task.file.name],
                seeds=[one_pass.seed for one_pass in task.passes[1:]],
                prompt_origin=task.prompt.origin,
                comparable=not reasons,
            )
            details[task.file.name] = _details(plan, task, passes, reasons, sandbox)
    tasks.update(_group_results(plan, tasks, judged))
    # The samples first: results.json is what says that a run is done.
    write_lines(samples_path, (one.sample for found in judged.values() for one in found))
    results = EvalResults(
        model=str(plan.model.given),
        model_sha256=plan.model.sha256,
        tasks=tasks,
        versions=installed_versions(_PACKAGES),
        seconds=round(time.monotonic() - started, 3),
        settings={
            "run_key": plan.run_key(),
            "backend": plan.settings.backend,
            "majority": plan.settings.majority,
            "seeds": list(plan.settings.seeds),
            "limit": plan.settings.limit,
            "shots": plan.settings.shots,
            "batch_size": plan.batch_size,
            "max_new_tokens": plan.max_new_tokens,
            "device": plan.settings.device,
            "dtype": plan.settings.dtype,
            "vote": VOTE_RULE if plan.settings.majority else None,
            "samples_sha256": sha256_file(samples_path),
            "tasks": details,
        },
    )
    results.write(results_path)
    return ScoreTable(results, plan.catalog)


def judge_task(
    task: PlannedTask, passes: Sequence[Generations], sandbox: Sandbox | None = None, policy: str = "standard"
) -> list[JudgedProblem]:
    """Every problem of a task with its answers and verdicts. The first pass is the greedy one.

    A task of programs needs a sandbox: all of its programs are run in it.
    """
    texts = [[text for one_pass in passes for text in one_pass.completions[n]] for n in range(len(task.items))]
    judged = []
    num_texts = sum(map(len, texts))
    with progress(f"{task.file.name} judging", num_texts, "answers") as bar:
        found = _found_answers(task, [text for of_one in texts for text in of_one], sandbox)
        for n, of_one in enumerate(texts):
            judged.append(_judge_item(task, n, of_one, [next(found) for _ in of_one], policy))
            bar.advance(len(of_one))
    return judged


def _found_answers(task: PlannedTask, texts: Sequence[str], sandbox: Sandbox | None) -> Iterator[Found]:
    if task.facts.method is not Method.PROGRAM:
        yield from (find_answer(task.file.benchmark, text) for text in texts)
        return
    if sandbox is None:
        raise ValueError("a task of programs needs a sandbox")
    with ThreadPoolExecutor(sandbox.workers) as pool:
        # In pieces, so that a progress bar moves and not all programs are queued at once.
        for start in range(0, len(texts), 64 * sandbox.workers):
            piece = texts[start : start + 64 * sandbox.workers]
            yield from pool.map(lambda text: answer_of_program(sandbox, text), piece)


def _judge_item(
    task: PlannedTask, number: int, texts: Sequence[str], found: Sequence[Found], policy: str
) -> JudgedProblem:
    benchmark, item = task.file.benchmark, task.items[number]
    verdicts = [judge_found(benchmark, item.answer, one, policy) for one in found]
    samples: list[SampledAnswer] = []
    votes: list[bool] = []
    majority = None
    place = 1  # after the greedy answer
    for one_pass in task.passes[1:]:
        end = place + one_pass.num_samples
        samples += [
            SampledAnswer(completion=text, answer=one.answer, outcome=one.outcome, seed=one_pass.seed)
            for text, one in zip(texts[place:end], verdicts[place:end], strict=True)
        ]
        vote, elected = vote_of(benchmark, item.answer, [one.answer for one in verdicts[place:end]], policy)
        votes.append(elected.outcome == "EQUAL")
        majority = majority or MajorityAnswer(answer=vote.answer, outcome=elected.outcome, votes=vote.num_votes)
        place = end
    sample = EvalSample(
        task=task.file.name,
        id=item.id,
        problem=item.problem,
        gold=item.answer,
        completion=texts[0],
        answer=verdicts[0].answer,
        outcome=verdicts[0].outcome,
        reason=verdicts[0].reason,
        samples=tuple(samples),
        majority=majority,
        subject=item.subject,
        level=item.level,
    )
    return JudgedProblem(sample=sample, votes=tuple(votes))


def _reasons(plan: RunPlan, task: PlannedTask, passes: Sequence[Generations]) -> list[str]:
    """Why a score is not comparable with published ones, as far as is known once all is said."""
    reasons = list(task.not_comparable)
    num_examples, wanted = passes[0].num_examples, len(task.prompt.examples)
    if num_examples < wanted:
        reasons.append(f"only {num_examples} of {wanted} worked examples fit into the model's context")
    if cut := max(one.num_cut for one in passes):
        reasons.append(f"{cut} of the task's prompts are longer than the model's context and lose their beginning")
        logger.warning("%s: %s", task.file.name, reasons[-1])
    return reasons


def _details(
    plan: RunPlan, task: PlannedTask, passes: Sequence[Generations], reasons: Sequence[str], sandbox: Sandbox | None
) -> dict[str, object]:
    sampled = task.passes[1:]
    runs_programs = task.facts.method is Method.PROGRAM and sandbox is not None
    return {
        "version": task.file.version,
        "examples": passes[0].num_examples,
        "method": str(task.facts.method),
        "grader": f"eval_tasks.answers, policy {plan.settings.policy}",
        "grader_options": dict(task.facts.judge_options),
        "answer_styles": list(task.facts.answer_styles),
        "sandbox": {"backend": sandbox.backend, "layers": list(sandbox.layers)} if runs_programs and sandbox else None,
        "data": task.documents.origin,
        "data_hash": task.documents.sha,
        "prompt_hash": stable_hash(task.prompt.model_dump(mode="json")),
        "rows_left_out": len(task.documents.left_out),
        "prompts_cut": max(one.num_cut for one in passes),
        "not_comparable": list(reasons),
        "generation_seconds": {one.name: said.seconds for one, said in zip(task.passes, passes, strict=True)},
        "sampling": {"temperature": sampled[0].temperature, "top_p": sampled[0].top_p} if sampled else None,
    }


def _group_results(
    plan: RunPlan, tasks: dict[str, TaskResult], judged: dict[str, list[JudgedProblem]]
) -> dict[str, TaskResult]:
    """One more row for each group of which every task was run: all of its problems together."""
    rows = {}
    by_name = {task.file.name: task for task in plan.tasks}
    for name, members in plan.catalog.groups.items():
        if all(member in tasks for member in members):
            origins = sorted({tasks[member].prompt_origin for member in members})
            rows[name] = summarize(
                [one for member in members for one in judged[member]],
                seeds=[one_pass.seed for one_pass in by_name[members[0]].passes[1:]],
                prompt_origin=origins[0] if len(origins) == 1 else f"{origins[0]} and {len(origins) - 1} more",
                comparable=all(tasks[member].comparable for member in members),
            )
    return rows
