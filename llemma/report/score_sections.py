"""The sections of the page about scores and sample answers."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.pages.html import escape, not_run, shortened, table
from llemma.core.pages.numbers import format_share
from llemma.core.schemas import EvalSample, TaskResult
from llemma.report import charts
from llemma.report.charts import OUTCOME_WORDS, OUTCOMES, short_task
from llemma.report.inputs import Evaluation, RunData
from llemma.report.sections import figures

MAX_CHARS = 1500  # of a problem, an answer or a completion on the page
MAX_ORIGIN_CHARS = 400  # of where a prompt comes from
_SIGNS = {"EQUAL": "✓", "DIFFERENT": "✗", "NO_ANSWER": "∅", "UNPARSED": "?", "TIMED_OUT": "⏱"}


def score_section(data: RunData) -> str:
    """Accuracy with intervals, and what became of all answers."""
    if not data.evaluations:
        return not_run(
            "No model of this run has been scored.",
            f"python -m eval_tasks run --model {data.path}/export/hf --tasks builtin --out {data.path}/eval/after",
        )
    rows = [
        (evaluation, name, task) for evaluation in data.evaluations for name, task in evaluation.results.tasks.items()
    ]
    intro = (
        "<p>A problem counts as right only where the grader finds the answer equal to the gold answer. "
        "No answer, an answer that cannot be read, and a comparison that ran out of time are counted apart, "
        "and none of them is right. Intervals are Wilson score intervals.</p>"
    )
    head = ["task", "model", "problems", "greedy", "95 % interval", "vote", "95 % interval"]
    scores = table(head, [_score_row(*row) for row in rows], caption="Scores", numeric=range(2, len(head)))
    head = ["task", "model", *(OUTCOME_WORDS[outcome] for outcome in OUTCOMES)]
    outcomes = table(
        head, [_outcome_row(*row) for row in rows], caption="Greedy answers by outcome", numeric=range(2, len(head))
    )
    return intro + figures(charts.score_figure(data), charts.outcome_figure(data)) + scores + _prompts(rows) + outcomes


def _prompts(rows: Sequence[tuple[Evaluation, str, TaskResult]]) -> str:
    """Where the prompts come from, below the table: a sentence in a column of it would push the numbers away."""
    tasks_of: dict[str, list[str]] = {}
    for _, name, task in rows:
        comparable = "" if task.comparable else "; not comparable with published scores"
        tasks = tasks_of.setdefault(shortened(task.prompt_origin, MAX_ORIGIN_CHARS) + comparable, [])
        if short_task(name) not in tasks:
            tasks.append(short_task(name))
    items = "".join(
        f"<li><b>{escape(', '.join(tasks))}</b>: {escape(origin)}</li>" for origin, tasks in tasks_of.items()
    )
    return f'<h3>Prompts</h3><ul class="prompts">{items}</ul>'


def _score_row(evaluation: Evaluation, name: str, task: TaskResult) -> list[str]:
    vote = task.majority
    return [
        escape(short_task(name)),
        _label(evaluation),
        f"{task.n:,}",
        format_share(task.accuracy),
        _interval(task.ci95),
        "" if vote is None else f"{format_share(vote.accuracy)} (maj@{vote.k})",
        "" if vote is None else _interval(vote.ci95),
    ]


def _label(evaluation: Evaluation) -> str:
    return escape(evaluation.label).replace("_", "_<wbr>")  # a long name may break, and the numbers stay in view


def _outcome_row(evaluation: Evaluation, name: str, task: TaskResult) -> list[str]:
    counts = (f"{task.outcomes.get(outcome, 0):,}" for outcome in OUTCOMES)
    return [escape(short_task(name)), _label(evaluation), *counts]


def _interval(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.1f} to {format_share(ends[1])}"


def answer_section(data: RunData) -> str:
    """Up to three answers of each outcome of each task, from every evaluation; the last one stands open."""
    with_samples = [evaluation for evaluation in data.evaluations if evaluation.samples]
    if not with_samples:
        return not_run("There are no judged answers to show yet.")
    parts = [
        "<p>A few answers of each outcome, as the model wrote them: enough to see what the model does, "
        "not a random sample.</p>"
    ]
    for evaluation in reversed(with_samples):
        opened = " open" if evaluation is with_samples[-1] else ""
        ordered = sorted(evaluation.samples, key=lambda sample: (_rank(sample.outcome), sample.task))
        cards = "".join(_card(sample) for sample in ordered)
        parts.append(
            f"<details{opened}><summary>Answers of '{escape(evaluation.label)}' "
            f"({len(ordered)} shown)</summary><div class='answers' style='margin-top:.8rem'>{cards}</div></details>"
        )
    return "".join(parts)


def _rank(outcome: str) -> int:
    return OUTCOMES.index(outcome) if outcome in OUTCOMES else len(OUTCOMES) - 1


def _card(sample: EvalSample) -> str:
    word = OUTCOME_WORDS.get(sample.outcome, sample.outcome)
    rows = [("gold answer", _math(sample.gold))]
    rows.append(("model's answer", _math(sample.answer) if sample.answer else "none found"))
    if sample.reason:
        rows.append(("verdict", escape(shortened(sample.reason, 300))))
    if sample.majority is not None:
        vote = sample.majority
        said = OUTCOME_WORDS.get(vote.outcome, vote.outcome)
        votes = "" if vote.votes is None else f", {vote.votes} of {len(sample.samples)} votes"
        elected = _math(vote.answer) if vote.answer else "nothing elected"
        rows.append(("by vote", f"{elected} ({escape(said)}{votes})"))
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    completion = escape(shortened(sample.completion.strip(), MAX_CHARS)) or "<em>(empty)</em>"
    return (
        f'<article class="v{_rank(sample.outcome)}" data-outcome="{escape(sample.outcome)}"><header>'
        f'<span class="badge"><span aria-hidden="true">{_SIGNS.get(sample.outcome, "?")} </span>{escape(word)}</span>'
        f'<span class="where">{escape(short_task(sample.task))} · {escape(sample.id)}</span></header>'
        f'<p class="problem">{escape(shortened(sample.problem, MAX_CHARS))}</p>'
        f'<dl class="pair">{pairs}</dl>'
        f"<details><summary>What the model wrote</summary><pre>{completion}</pre></details></article>"
    )


def _math(text: str) -> str:
    return f'<span class="math">{escape(shortened(text, 300))}</span>'
