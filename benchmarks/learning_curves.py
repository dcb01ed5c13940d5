"""What the learning proof (learning.py) measured: the change of each perplexity, tables in Markdown, and the plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLOURS = ("#14609f", "#c2500a", "#0b7f5f", "#a04a86", "#8a6a00")
DPI = 130


@dataclass(frozen=True, kw_only=True)
class Point:
    """Perplexity per token of a source's held-out documents after so many tokens of an arm; 0: the base."""

    seed: int
    arm: str
    source: str
    tokens: int
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an arm did to a source's perplexity: last over first, of each seed."""

    arm: str
    source: str
    before: dict[int, float]
    after: dict[int, float]

    @property
    def factors(self) -> dict[int, float]:
        """Below 1 where the arm learned, above 1 where it forgot."""
        return {seed: self.after[seed] / before for seed, before in self.before.items()}


def changes(points: Sequence[Point]) -> list[Change]:
    """The change by source and arm, in the order in which they come."""
    found = []
    for source in dict.fromkeys(point.source for point in points):
        for arm in dict.fromkeys(point.arm for point in points):
            here = sorted(
                (point for point in points if point.arm == arm and point.source == source), key=lambda p: p.tokens
            )
            before, after = ({point.seed: point.perplexity for point in ordered} for ordered in (here[::-1], here))
            found.append(Change(arm=arm, source=source, before=before, after=after))
    return found


def mean_and_spread(values: Sequence[float]) -> str:
    """The geometric mean with the factor that is one standard deviation of the logarithms, of factors or perplexities.

    Ratios are averaged by their logarithms: a doubling and a halving are no change.
    """
    logs = [math.log(value) for value in values]
    mean = math.exp(statistics.fmean(logs))
    return _short(mean) if len(logs) < 2 else f"{_short(mean)} (×÷ {math.exp(statistics.stdev(logs)):.3f})"


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def tables(points: Sequence[Point], costs: dict[int, dict[str, dict[str, float]]]) -> str:
    """Perplexities before and after by seed, what is forgotten in one arm over the other, and seconds of training."""
    found = changes(points)
    seeds = sorted({point.seed for point in points})
    names = [f"seed {seed}" for seed in seeds]
    rows = []
    for source in dict.fromkeys(change.source for change in found):
        here = [change for change in found if change.source == source]
        rows.append([f"{source}: base", *(f"{here[0].before[seed]:.1f}" for seed in seeds)])
        rows[-1].append(mean_and_spread(list(here[0].before.values())))
        for change in here:
            cells = [f"{change.after[seed]:.1f} (× {_short(change.factors[seed])})" for seed in seeds]
            factors = list(change.factors.values())
            rows.append([f"{source}: {_label(change.arm)}", *cells, f"× {mean_and_spread(factors)}"])
    blocks = [_markdown(["held-out perplexity", *names, "mean"], rows)]
    least = _label(min((change.arm for change in found), key=_share))
    blocks.append(_markdown([f"perplexity over that of: {least}", *names, "mean"], _beside(found)))
    stages = list(next(iter(costs.values()), {}))
    cells = [
        [_label(stage), *(f"{costs[seed][stage]['cpu_s']:.0f} / {costs[seed][stage]['wall_s']:.0f}" for seed in seeds)]
        for stage in stages
    ]
    blocks.append(_markdown(["training, CPU-seconds / seconds", *names], cells))
    return "\n\n".join(blocks)


def _beside(found: Sequence[Change]) -> list[list[str]]:
    """The end of each arm beside that of the arm with the least general data: below 1 where it knows more."""
    least = min((change.arm for change in found), key=_share)
    rows = []
    for change in found:
        if change.arm == least:
            continue
        (other,) = (one for one in found if one.arm == least and one.source == change.source)
        ratios = {seed: after / other.after[seed] for seed, after in change.after.items()}
        cells = [_short(ratios[seed]) for seed in sorted(ratios)]
        rows.append([f"{change.source}: {_label(change.arm)}", *cells, mean_and_spread(list(ratios.values()))])
    return rows


def _share(arm: str) -> float:
    return float(arm.rpartition("-")[2])


def _label(stage: str) -> str:
    """A stage's name in words."""
    if stage == "base":
        return stage
    return f"{_share(stage):g} % general data" if _share(stage) else "mathematics alone"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(points: Sequence[Point], path: Path) -> None:
    """The perplexities over the tokens of the arms, a panel for each source: thin lines are seeds, thick ones means."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    from llemma.core.files import atomic_path

    sources = list(dict.fromkeys(point.source for point in points))
    arms = list(dict.fromkeys(point.arm for point in points))
    canvas = Figure(figsize=(3.7 * len(sources), 3.9), layout="constrained")
    panels: Any = canvas.subplots(1, len(sources), squeeze=False)[0]
    for axes, source in zip(panels, sources, strict=True):
        for arm, colour in zip(arms, COLOURS, strict=False):
            curves = _curves(points, arm, source)
            for curve in curves.values():
                axes.plot(*zip(*curve, strict=True), color=colour, linewidth=0.7, alpha=0.55)
            xs = [x for x, _ in next(iter(curves.values()))]
            mean = [
                math.exp(statistics.fmean(math.log(curve[i][1]) for curve in curves.values())) for i in range(len(xs))
            ]
            axes.plot(xs, mean, color=colour, linewidth=2.4, marker="o", markersize=4, label=_label(arm))
        axes.set_title(source.replace("-", " "), loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("tokens of continued training (millions)")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color="#e4e6ea", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=0)
    panels[0].set_ylabel("held-out perplexity per token (log scale)")
    panels[0].legend(frameon=False, fontsize=9, title="thick: mean of the seeds", title_fontsize=8)
    with atomic_path(path) as temporary:
        canvas.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})


def _curves(points: Sequence[Point], arm: str, source: str) -> dict[int, list[tuple[float, float]]]:
    """Millions of tokens and perplexity, by seed."""
    curves: dict[int, list[tuple[float, float]]] = {}
    for point in sorted(points, key=lambda p: p.tokens):
        if (point.arm, point.source) == (arm, source):
            curves.setdefault(point.seed, []).append((point.tokens / 1e6, point.perplexity))
    return curves
