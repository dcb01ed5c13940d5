"""The whole page: what stands in it and in which order."""

from __future__ import annotations

from collections.abc import Callable

from llemma.core.pages.document import Section, render_document
from llemma.core.pages.html import escape
from llemma.core.pages.numbers import format_count, format_seconds, format_share
from llemma.report.cost_section import cost_section
from llemma.report.inputs import RunData
from llemma.report.score_sections import answer_section, score_section
from llemma.report.sections import (
    data_section,
    origin_section,
    text_section,
    time_section,
    training_section,
)

SECTIONS: tuple[tuple[str, str, Callable[[RunData], str]], ...] = (
    ("data", "Data", data_section),
    ("training", "Training", training_section),
    ("texts", "Texts while training", text_section),
    ("cost", "Cost and speed", cost_section),
    ("scores", "Scores", score_section),
    ("answers", "Sample answers", answer_section),
    ("times", "Stage times", time_section),
    ("origin", "Versions and hashes", origin_section),
)


def render_page(data: RunData) -> str:
    """The report of a run as one HTML document."""
    return render_document(
        kind="Training report",
        title=data.record.name,
        lead=_lead(data),
        cards=_key_figures(data),
        sections=[Section(key=key, title=name, html=render(data)) for key, name, render in SECTIONS],
        notes=data.notes,
        footer=f"Made by <code>llemma report</code> from {escape(data.path)}. "
        "Text of models and corpora is shown as they wrote it.",
    )


def _lead(data: RunData) -> str:
    stages = data.record.stages
    tokens = sum(stage.tokens for stage in stages)
    names = ", ".join(stage.name for stage in stages[:6])
    word = "stage" if len(stages) == 1 else "stages"
    return f"Planned {data.record.created[:10]}: {format_count(tokens)} tokens in {len(stages)} {word}" + (
        f" ({names})." if stages else "."
    )


def _key_figures(data: RunData) -> list[tuple[str, str, str]]:
    """The few numbers that say how the run went."""
    cards: list[tuple[str, str, str]] = []
    planned = sum(stage.tokens for stage in data.record.stages)
    trained = sum(stage.tokens for stage in data.stages)
    if data.has_training:
        share = f"{format_share(trained / planned, 0)} of the plan" if planned else ""
        cards.append(("Tokens trained", format_count(trained), share))
    else:
        cards.append(("Tokens trained", "not run", f"{format_count(planned)} planned"))
    stages = [stage for stage in data.stages if not stage.has_preferences]
    losses = [line.loss for stage in stages for line in stage.validation if line.loss is not None]
    if losses:
        cards.append(("Validation loss", f"{losses[-1]:.3f}", f"from {losses[0]:.3f}, nats per token"))
    seconds = sum(stage.seconds for stage in data.stages)
    if data.has_training and seconds:
        shares = [f", MFU {format_share(stage.mfu)}" for stage in data.stages if stage.mfu]
        speed = f"{format_count(trained / seconds)} tokens/s{shares[-1] if shares else ''}"
        cards.append(("Training time", format_seconds(seconds), speed))
    for evaluation in data.evaluations[-1:]:
        for name, task in list(evaluation.results.tasks.items())[:2]:
            low, high = task.ci95
            label = name.removeprefix("llemma_").replace("_", " ")
            interval = f"{100 * low:.1f} to {format_share(high)}, n = {task.n}"
            cards.append((f"Accuracy, {label}", format_share(task.accuracy), interval))
    if not data.evaluations:
        cards.append(("Accuracy", "not run", "no model scored yet"))
    return cards
