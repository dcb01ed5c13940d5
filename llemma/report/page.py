"""The whole page. It loads nothing and runs nothing: a content policy in its head forbids both."""

from __future__ import annotations

from collections.abc import Callable

from llemma.report.cost_section import cost_section
from llemma.report.html import escape
from llemma.report.inputs import RunData
from llemma.report.numbers import format_count, format_seconds, format_share
from llemma.report.score_sections import answer_section, score_section
from llemma.report.sections import (
    data_section,
    origin_section,
    time_section,
    training_section,
)
from llemma.report.style import STYLE

SECTIONS: tuple[tuple[str, str, Callable[[RunData], str]], ...] = (
    ("data", "Data", data_section),
    ("training", "Training", training_section),
    ("cost", "Cost and speed", cost_section),
    ("scores", "Scores", score_section),
    ("answers", "Sample answers", answer_section),
    ("times", "Stage times", time_section),
    ("origin", "Versions and hashes", origin_section),
)


def render_page(data: RunData) -> str:
    """The report of a run as one HTML document."""
    title = escape(data.record.name)
    links = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name, _ in SECTIONS)
    sections = "".join(
        f'<section id="{key}" aria-labelledby="h-{key}"><h2 id="h-{key}">{escape(name)}</h2>{render(data)}</section>'
        for key, name, render in SECTIONS
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in data.notes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}: training report</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body>'
        '<a class="skip" href="#data">To the content</a>'
        f'<header><p class="eyebrow">Training report</p><h1>{title}</h1><p class="lead">{_lead(data)}</p>'
        f'{_key_figures(data)}{notes}</header><nav aria-label="Sections"><ul>{links}</ul></nav>'
        f"<main>{sections}</main><footer>Made by <code>llemma report</code> from {escape(data.path)}. "
        "Text of models and corpora is shown as they wrote it.</footer></body></html>\n"
    )


def _lead(data: RunData) -> str:
    stages = data.record.stages
    tokens = sum(stage.tokens for stage in stages)
    names = ", ".join(stage.name for stage in stages[:6])
    word = "stage" if len(stages) == 1 else "stages"
    return escape(
        f"Planned {data.record.created[:10]}: {format_count(tokens)} tokens in {len(stages)} {word}"
        + (f" ({names})." if stages else ".")
    )


def _key_figures(data: RunData) -> str:
    """The few numbers that say how the run went."""
    cards: list[tuple[str, str, str]] = []
    planned = sum(stage.tokens for stage in data.record.stages)
    trained = sum(stage.tokens for stage in data.stages)
    if data.has_training:
        share = f"{format_share(trained / planned, 0)} of the plan" if planned else ""
        cards.append(("Tokens trained", format_count(trained), share))
    else:
        cards.append(("Tokens trained", "not run", f"{format_count(planned)} planned"))
    losses = [line.loss for stage in data.stages for line in stage.validation if line.loss is not None]
    if losses:
        cards.append(("Validation loss", f"{losses[-1]:.3f}", f"from {losses[0]:.3f}, nats per token"))
    seconds = sum(stage.seconds for stage in data.stages)
    if data.has_training and seconds:
        cards.append(("Training time", format_seconds(seconds), f"{format_count(trained / seconds)} tokens/s"))
    for evaluation in data.evaluations[-1:]:
        for name, task in list(evaluation.results.tasks.items())[:2]:
            low, high = task.ci95
            label = name.removeprefix("llemma_").replace("_", " ")
            interval = f"{100 * low:.1f} to {format_share(high)}, n = {task.n}"
            cards.append((f"Accuracy, {label}", format_share(task.accuracy), interval))
    if not data.evaluations:
        cards.append(("Accuracy", "not run", "no model scored yet"))
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(small)}</small></dd></div>"
        for name, value, small in cards
    )
    return f'<dl class="cards">{items}</dl>'
