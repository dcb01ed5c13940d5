"""The page's figures as PNG files, drawn by matplotlib from the same descriptions (charts.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llemma.core.errors import MissingPackageError
from llemma.core.files import atomic_path
from llemma.core.pages.figures import BarFigure, Figure, IntervalFigure, LineFigure, StackFigure
from llemma.report.charts import all_figures
from llemma.report.inputs import RunData

COLOURS = ("#14609f", "#c2500a", "#0b7f5f", "#a04a86", "#8a6a00", "#4a6fa8")
OUTCOME_COLOURS = ("#0b7f5f", "#b3412c", "#8b8f99", "#a67600", "#6d4fa0")
DPI = 150


def write_plots(data: RunData, out: Path) -> list[Path]:
    """Writes one PNG for each figure that the run has data for, and gives their paths."""
    try:
        import matplotlib.figure  # noqa: F401 - the figures below are made without pyplot: no window, no global state
    except ImportError:
        raise MissingPackageError("matplotlib", "plots") from None
    return [_write(figure, out / f"{figure.key}.png") for figure in all_figures(data)]


def _write(figure: Figure, path: Path) -> Path:
    from matplotlib.figure import Figure as Canvas

    num_rows = 0 if isinstance(figure, LineFigure) else len(figure.rows)
    canvas = Canvas(figsize=(7.2, 4.2 if not num_rows else 1.4 + 0.55 * num_rows), layout="constrained")
    axes = canvas.add_subplot()
    match figure:
        case LineFigure():
            _lines(axes, figure)
        case BarFigure():
            _bars(axes, figure)
        case IntervalFigure():
            _intervals(axes, figure)
        case StackFigure():
            _stacks(axes, figure)
    axes.set_title(
        _plain(figure.title),
        loc="left",
        fontsize=11,
        fontweight="bold",
        pad=28 if isinstance(figure, StackFigure) else 8,
    )  # fmt: skip - room for the legend above the bars
    axes.spines[["top", "right"]].set_visible(False)
    # No software name or date: the same run gives the same bytes.
    with atomic_path(path) as temporary:
        canvas.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    return path


def _lines(axes: Any, figure: LineFigure) -> None:
    for series in figure.series:
        xs, ys = zip(*series.points, strict=True)
        axes.plot(
            xs,
            ys,
            label=_plain(series.name),
            color=COLOURS[series.colour % len(COLOURS)],
            linewidth=1 if series.faint else 1.8,
            alpha=0.6 if series.faint else 1,
            marker="o" if series.marked else None,
            markersize=3.5,
        )
    for border, name in figure.borders:
        axes.axvline(border, color="#888888", linestyle=":", linewidth=1)
        axes.annotate(_plain(name), (border, 1), xycoords=("data", "axes fraction"), va="top", fontsize=8, rotation=90)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.grid(alpha=0.25)
    if figure.from_zero:
        axes.set_ylim(bottom=0)
    if len(figure.series) > 1:
        axes.legend(frameon=False, fontsize=9)


def _bars(axes: Any, figure: BarFigure) -> None:
    height = 0.8 / len(figure.series)
    for number, name in enumerate(figure.series):
        values = [row[number] for _, row in figure.rows]
        drawn = [(place, value) for place, value in enumerate(values) if value is not None]
        places = [place + (number - (len(figure.series) - 1) / 2) * height for place, _ in drawn]
        bars = axes.barh(places, [value for _, value in drawn], height * 0.9, label=name, color=COLOURS[number])
        axes.bar_label(bars, [figure.format_value(value) for _, value in drawn], padding=3, fontsize=8)
    _label_rows(axes, [label for label, _ in figure.rows])
    axes.set_xlabel(figure.x_label)
    axes.margins(x=0.15)
    axes.legend(frameon=False, fontsize=9)


def _intervals(axes: Any, figure: IntervalFigure) -> None:
    for place, row in enumerate(figure.rows):
        ends = [[max(0.0, row.value - row.low)], [max(0.0, row.high - row.value)]]
        colour = COLOURS[row.colour % len(COLOURS)]
        axes.errorbar([row.value], [place], xerr=ends, fmt="o", color=colour, capsize=4)
    _label_rows(axes, [row.label for row in figure.rows])
    axes.set_xlim(0, min(1.0, max(0.1, 1.1 * max(row.high for row in figure.rows))))
    axes.set_xlabel("accuracy")
    axes.grid(axis="x", alpha=0.25)


def _stacks(axes: Any, figure: StackFigure) -> None:
    places = range(len(figure.rows))
    left = [0] * len(figure.rows)
    for number, name in enumerate(figure.parts):
        counts = [row[number] for _, row in figure.rows]
        axes.barh(places, counts, 0.6, left=left, label=name, color=OUTCOME_COLOURS[number])
        left = [start + count for start, count in zip(left, counts, strict=True)]
    _label_rows(axes, [label for label, _ in figure.rows])
    axes.set_xlabel(figure.unit)
    axes.legend(
        frameon=False, fontsize=8, ncols=len(figure.parts), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0
    )


def _label_rows(axes: Any, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _plain(text: str) -> str:
    """Text in which matplotlib sees no formula: names come from files, and a lone dollar sign would be an error."""
    return text.replace("$", r"\$")[:80]
