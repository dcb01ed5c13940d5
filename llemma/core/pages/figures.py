"""What a figure shows, without how it is drawn: svg.py draws it into a page, others may draw it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Format = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one line, in order of x. `colour` counts from 0; `marked` draws a dot at each point."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int
    marked: bool = False
    faint: bool = False


@dataclass(frozen=True, kw_only=True)
class LineFigure:
    """Lines over training steps; `borders` are the steps at which a new stage begins, with its name."""

    key: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    format_y: Format
    borders: tuple[tuple[float, str], ...] = ()
    from_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class BarFigure:
    """Horizontal bars, one group a row, one bar a series."""

    key: str
    title: str
    series: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    format_value: Format
    x_label: str


@dataclass(frozen=True, kw_only=True)
class IntervalRow:
    """A score with its interval; `colour` tells the evaluation apart."""

    label: str
    value: float
    low: float
    high: float
    colour: int


@dataclass(frozen=True, kw_only=True)
class IntervalFigure:
    """Scores between 0 and 1 with 95 % intervals."""

    key: str
    title: str
    rows: tuple[IntervalRow, ...]
    series: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StackFigure:
    """One bar a row, divided into parts that add up to its whole."""

    key: str
    title: str
    parts: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    unit: str


Figure = LineFigure | BarFigure | IntervalFigure | StackFigure
