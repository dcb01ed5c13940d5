"""What each figure shows, without how it is drawn: svg.py draws it into the page, png.py with matplotlib.

A figure whose data the run does not have is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llemma.core.pages.figures import (
    BarFigure,
    Figure,
    Format,
    IntervalFigure,
    IntervalRow,
    LineFigure,
    Series,
    StackFigure,
)
from llemma.core.pages.numbers import format_count, format_seconds, format_share, format_small
from llemma.core.schemas import MetricLine
from llemma.report.inputs import RunData

MAX_POINTS = 600  # more than the pixels of a figure's width
OUTCOMES = ("EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "TIMED_OUT")
OUTCOME_WORDS = {
    "EQUAL": "right",
    "DIFFERENT": "wrong",
    "NO_ANSWER": "no answer",
    "UNPARSED": "not readable",
    "TIMED_OUT": "timed out",
}
MARKS = ("exact_duplicates", "near_duplicates", "contaminated")


def all_figures(data: RunData) -> list[Figure]:
    """Every figure that this run has the data for, in the order of the page."""
    made = (
        mixture_figure(data),
        removal_figure(data),
        loss_figure(data),
        source_loss_figure(data),
        learning_rate_figure(data),
        speed_figure(data),
        score_figure(data),
        outcome_figure(data),
        time_figure(data),
    )
    return [figure for figure in made if figure is not None]


def mixture_figure(data: RunData) -> BarFigure | None:
    """Each source's share of the unique tokens beside its share of training."""
    if data.mixture is None or not data.mixture.sources:
        return None
    tokens = {
        source.name: source.splits["train"].num_tokens if "train" in source.splits else 0
        for source in data.mixture.sources
    }
    total = sum(tokens.values()) or 1
    return BarFigure(
        key="mixture",
        title="Share of the corpus and share of training",
        series=("share of unique tokens", "share of training tokens"),
        rows=tuple((source.name, (tokens[source.name] / total, source.weight)) for source in data.mixture.sources),
        format_value=format_share,
        x_label="share of tokens",
    )


def removal_figure(data: RunData) -> StackFigure | None:
    """What became of the documents of each source."""
    rows = []
    for name, counts in removal_counts(data).items():
        filtered = sum(counts["filtered"].values())
        numbers = (counts["kept"], filtered, *(counts[key] for key in MARKS))
        if sum(numbers):
            rows.append((name, numbers))
    if not rows:
        return None
    return StackFigure(
        key="removals",
        title="What became of the documents that were read",
        parts=("kept", "filtered", *(key.replace("_", " ") for key in MARKS)),
        rows=tuple(rows),
        unit="documents",
    )


def removal_counts(data: RunData) -> dict[str, dict[str, Any]]:
    """Counts of each source out of manifest.json; what is missing or not a count is 0."""

    def count(value: object) -> int:
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

    sources = (data.manifest or {}).get("sources")
    found: dict[str, dict[str, Any]] = {}
    for name, counts in sources.items() if isinstance(sources, Mapping) else ():
        if isinstance(counts, Mapping):
            filtered = counts.get("filtered")
            reasons = filtered if isinstance(filtered, Mapping) else {}
            found[str(name)] = {
                **{key: count(counts.get(key)) for key in ("read", "quarantined", "kept", *MARKS)},
                "filtered": {str(reason): count(number) for reason, number in reasons.items()},
            }
    return found


def loss_figure(data: RunData) -> LineFigure | None:
    """Training and validation loss."""
    train = _points(data, "train", lambda line: line.loss)
    validation = _points(data, "validation", lambda line: line.loss)
    series = []
    if train:
        series.append(Series(name="training", points=_thinned(train), colour=0, faint=bool(validation)))
    if validation:
        series.append(Series(name="validation", points=_thinned(validation), colour=1, marked=len(validation) < 60))
    return _over_steps(data, "loss", "Loss", data.loss_unit, series, lambda value: f"{value:.2f}")


def source_loss_figure(data: RunData) -> LineFigure | None:
    """Validation loss of each source."""
    names: dict[str, None] = {}
    for stage in data.stages:
        for line in stage.validation:
            names.update(dict.fromkeys(line.by_source or {}))
    series = []
    for colour, name in enumerate(names):
        points = _points(data, "validation", lambda line, name=name: (line.by_source or {}).get(name))  # type: ignore[misc]
        if points:
            series.append(Series(name=name, points=_thinned(points), colour=colour, marked=len(points) < 60))
    return _over_steps(
        data, "loss-by-source", "Validation loss by source", data.loss_unit, series, lambda value: f"{value:.2f}"
    )


def learning_rate_figure(data: RunData) -> LineFigure | None:
    """Learning rate."""
    points = _points(data, "train", lambda line: line.lr)
    series = [Series(name="learning rate", points=_thinned(points), colour=2)] if points else []
    return _over_steps(data, "learning-rate", "Learning rate", "learning rate", series, format_small, from_zero=True)


def speed_figure(data: RunData) -> LineFigure | None:
    """Tokens per second while training."""
    points = _points(data, "train", lambda line: line.tokens_per_s)
    series = [Series(name="tokens per second", points=_thinned(points), colour=3)] if points else []
    return _over_steps(data, "speed", "Training speed", "tokens per second", series, format_count, from_zero=True)


def score_figure(data: RunData) -> IntervalFigure | None:
    """Accuracy with intervals, greedy and by vote, of every evaluation."""
    rows = []
    for colour, evaluation in enumerate(data.evaluations):
        for name, task in evaluation.results.tasks.items():
            label = f"{short_task(name)}, {evaluation.label}"
            low, high = task.ci95
            rows.append(IntervalRow(label=label, value=task.accuracy, low=low, high=high, colour=colour))
            if task.majority is not None:
                vote = task.majority
                low, high = vote.ci95
                label = f"{short_task(name)}, {evaluation.label}, maj@{vote.k}"
                rows.append(IntervalRow(label=label, value=vote.accuracy, low=low, high=high, colour=colour))
    if not rows:
        return None
    return IntervalFigure(
        key="scores",
        title="Accuracy with 95 % intervals",
        rows=tuple(rows),
        series=tuple(evaluation.label for evaluation in data.evaluations),
    )


def outcome_figure(data: RunData) -> StackFigure | None:
    """What became of the answers."""
    rows = tuple(
        (
            f"{short_task(name)}, {evaluation.label}",
            tuple(task.outcomes.get(outcome, 0) for outcome in OUTCOMES),
        )
        for evaluation in data.evaluations
        for name, task in evaluation.results.tasks.items()
    )
    if not rows:
        return None
    parts = tuple(OUTCOME_WORDS[outcome] for outcome in OUTCOMES)
    return StackFigure(
        key="outcomes", title="What became of the greedy answers", parts=parts, rows=rows, unit="problems"
    )


def time_figure(data: RunData) -> BarFigure | None:
    """Seconds of each stage beside what was planned for it."""
    if not data.stage_times:
        return None
    rows = []
    for stage in data.stage_times:
        budget = stage.get("budget_s")
        planned = float(budget) if isinstance(budget, int | float) and math.isfinite(budget) else None
        rows.append((str(stage["name"]), (float(stage["seconds"]), planned)))
    return BarFigure(
        key="stage-times",
        title="Time of each stage",
        series=("took", "planned"),
        rows=tuple(rows),
        format_value=format_seconds,
        x_label="seconds",
    )


def short_task(name: str) -> str:
    """A task's name as people say it."""
    return name.removeprefix("llemma_").replace("_", " ")


def _over_steps(
    data: RunData,
    key: str,
    title: str,
    y_label: str,
    series: Sequence[Series],
    format_y: Format,
    from_zero: bool = False,
) -> LineFigure | None:
    if not series:
        return None
    trained = [stage for stage in data.stages if stage.train]
    borders = tuple((float(stage.offset), stage.name) for stage in trained) if len(trained) > 1 else ()
    return LineFigure(
        key=key,
        title=title,
        x_label="step",
        y_label=y_label,
        series=tuple(series),
        format_y=format_y,
        borders=borders,
        from_zero=from_zero,
    )


def _points(data: RunData, kind: str, value_of: Callable[[MetricLine], float | None]) -> list[tuple[float, float]]:
    """Finite values over the steps of the whole run."""
    points = []
    for stage in data.stages:
        for line in stage.train if kind == "train" else stage.validation:
            value = value_of(line)
            if value is not None and math.isfinite(value):
                points.append((float(stage.offset + line.iteration), value))
    return points


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """At most MAX_POINTS of the points: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= MAX_POINTS:
        return tuple(points)
    stretch = math.ceil(len(points) / (MAX_POINTS // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return tuple(kept)
