"""Figures as inline SVG. Colours come from the page's style sheet, so that they follow its light and dark themes.

Each figure is drawn twice, for a wide and for a narrow window, because text inside an SVG shrinks with it; the
style sheet shows the one that fits.
"""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.pages.figures import BarFigure, Figure, IntervalFigure, LineFigure, StackFigure
from llemma.core.pages.html import escape
from llemma.core.pages.numbers import format_count, format_share, ticks

WIDE, NARROW = 560, 340
NUM_COLOURS = 6
_CHAR = 7.0  # mean width of a character of the 12-pixel labels


def draw(figure: Figure) -> str:
    """The figure's SVG elements, wide and narrow, with its title and a description for screen readers."""
    return "".join(
        f'<div class="only-{name}">{_svg(figure, width)}</div>' for name, width in (("wide", WIDE), ("narrow", NARROW))
    )


def _svg(figure: Figure, width: int) -> str:
    match figure:
        case LineFigure():
            height, body, description = _lines(figure, width)
        case BarFigure():
            height, body, description = _bars(figure, width)
        case IntervalFigure():
            height, body, description = _intervals(figure, width)
        case StackFigure():
            height, body, description = _stacks(figure, width)
    label = escape(f"{figure.title}. {description}")
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{label}" '
        f'data-figure="{figure.key}">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "label") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    hover = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" rx="2" class="{kind}">'
        f"{hover}</rect>"
    )


def _shortened(words: str, room: float) -> str:
    limit = max(4, int(room / _CHAR))
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _legend(names: Sequence[str], width: int, y: float, prefix: str = "c") -> tuple[list[str], float]:
    """Coloured names in rows that fit, and the y below them."""
    parts: list[str] = []
    x = 4.0
    for number, name in enumerate(names):
        words = _shortened(name, width - 30)
        needed = 18 + len(words) * _CHAR + 12
        if x > 4 and x + needed > width:
            x, y = 4.0, y + 18
        parts.append(_rect(x, y - 9, 10, 10, f"fill {prefix}{number % NUM_COLOURS}"))
        parts.append(_text(x + 15, y, words))
        x += needed
    return parts, y + 16


def _lines(figure: LineFigure, width: int) -> tuple[float, list[str], str]:
    body: list[str] = []
    top = 16.0
    if len(figure.series) > 1:
        body, top = _legend([series.name for series in figure.series], width, 12)
    xs = [x for series in figure.series for x, _ in series.points]
    ys = [y for series in figure.series for _, y in series.points]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = (0.0 if figure.from_zero else min(ys)), max(ys)
    if x_high == x_low:
        x_low, x_high = x_low - 1, x_high + 1
    if y_high == y_low:
        y_low, y_high = y_low - 0.5 * (abs(y_low) or 1), y_high + 0.5 * (abs(y_high) or 1)
    margin = 0.04 * (y_high - y_low)
    y_low, y_high = (y_low if figure.from_zero else y_low - margin), y_high + margin
    y_ticks = ticks(y_low, y_high, 5)
    left = 12 + _CHAR * max(len(figure.format_y(value)) for value in y_ticks)
    right, plot_height = width - 12.0, 200.0
    bottom = top + plot_height

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x_low) / (x_high - x_low) * (right - left),
            bottom - (y - y_low) / (y_high - y_low) * plot_height,
        )

    for value in y_ticks:
        _, y = place(x_low, value)
        body.append(_line(left, y, right, y, "grid"))
        body.append(_text(left - 6, y + 4, figure.format_y(value), "end"))
    for value in ticks(x_low, x_high, 4 if width == NARROW else 6):
        x, _ = place(value, y_low)
        body.append(_text(x, bottom + 18, format_count(value), "middle"))
        body.append(_line(x, bottom, x, bottom + 4, "axis"))
    body.append(_line(left, bottom, right, bottom, "axis"))
    for number, (border, name) in enumerate(figure.borders):
        x, _ = place(max(border, x_low), y_low)
        body.append(_line(x, top, x, bottom, "border"))
        body.append(_text(x + 4, top + 12 + 14 * (number % 3), _shortened(name, right - x)))
    for series in figure.series:
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in series.points)
        kind = f"line s{series.colour % NUM_COLOURS}" + (" faint" if series.faint else "")
        if len(series.points) > 1:
            body.append(f'<polyline points="{path}" class="{kind}"/>')
        if series.marked or len(series.points) == 1:
            for x, y in series.points:
                px, py = place(x, y)
                hover = escape(f"{series.name}, {figure.x_label} {x:,.0f}: {figure.format_y(y)}")
                body.append(
                    f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" class="fill c{series.colour % NUM_COLOURS}">'
                    f"<title>{hover}</title></circle>"
                )
    body.append(_text((left + right) / 2, bottom + 36, figure.x_label, "middle", "label quiet"))
    first_last = "; ".join(
        f"{series.name}: {figure.format_y(series.points[0][1])} at {figure.x_label} {series.points[0][0]:,.0f}, "
        f"{figure.format_y(series.points[-1][1])} at {figure.x_label} {series.points[-1][0]:,.0f}"
        for series in figure.series
    )
    return bottom + 44, body, f"Lines of {figure.y_label} over {figure.x_label}s. {first_last}"


def _bars(figure: BarFigure, width: int) -> tuple[float, list[str], str]:
    body, y = _legend(figure.series, width, 12)
    y += 4
    values = [value for _, row in figure.rows for value in row if value is not None]
    top_value = max(values, default=0) or 1.0
    longest = max((len(figure.format_value(value)) for value in values), default=0)
    room = width - 8 - longest * _CHAR - 6
    words = []
    for label, row in figure.rows:
        body.append(_text(4, y + 11, _shortened(label, width - 8), kind="label strong"))
        y += 18
        for number, value in enumerate(row):
            if value is None:
                continue
            length = room * value / top_value
            shown = figure.format_value(value)
            body.append(
                _rect(4, y, max(length, 1), 11, f"fill c{number}", f"{label}, {figure.series[number]}: {shown}")
            )
            body.append(_text(4 + max(length, 1) + 6, y + 10, shown))
            y += 15
        y += 7
        said = (
            f"{name} {figure.format_value(value)}"
            for name, value in zip(figure.series, row, strict=True)
            if value is not None
        )
        words.append(f"{label}: " + ", ".join(said))
    return y, body, f"Bars of {figure.x_label}. " + "; ".join(words)


def _intervals(figure: IntervalFigure, width: int) -> tuple[float, list[str], str]:
    body, y = _legend(figure.series, width, 12) if len(figure.series) > 1 else ([], 8.0)
    y += 4
    left, right = 10.0, width - 14.0
    top_value = min(1.0, max(max(row.high for row in figure.rows) * 1.1, 0.1))
    rows_top = y

    def place(value: float) -> float:
        return left + (right - left) * value / top_value

    drawn: list[str] = []
    words = []
    for row in figure.rows:
        interval = f"{format_share(row.value)} ({format_share(row.low)} to {format_share(row.high)})"
        drawn.append(
            _text(left, y + 12, _shortened(row.label, width - 24 - len(interval) * _CHAR), kind="label strong")
        )
        drawn.append(_text(right, y + 12, interval, "end"))
        colour = row.colour % NUM_COLOURS
        drawn.append(_line(place(row.low), y + 25, place(row.high), y + 25, f"whisker s{colour}"))
        for end in (row.low, row.high):
            drawn.append(_line(place(end), y + 21, place(end), y + 29, f"line s{colour}"))
        drawn.append(f'<circle cx="{place(row.value):.1f}" cy="{y + 25:.1f}" r="5" class="fill dot c{colour}"/>')
        y += 40
        words.append(f"{row.label}: {interval}")
    for value in ticks(0.0, top_value, 4 if width == NARROW else 5):
        body.append(_line(place(value), rows_top, place(value), y, "grid"))
        body.append(_text(place(value), y + 16, format_share(value, 0), "middle"))
    return y + 24, body + drawn, "; ".join(words)


def _stacks(figure: StackFigure, width: int) -> tuple[float, list[str], str]:
    body, y = _legend(figure.parts, width, 12, prefix="o")
    y += 4
    words = []
    for label, counts in figure.rows:
        total = sum(counts) or 1
        body.append(_text(4, y + 11, _shortened(label, width - 8), kind="label strong"))
        y += 17
        x = 4.0
        for number, count in enumerate(counts):
            if not count:
                continue
            length = (width - 8) * count / total
            title = f"{figure.parts[number]}: {count} of {total}"
            body.append(_rect(x, y, max(1.0, length - 1), 18, f"fill o{number}", title))
            if length > 14 + _CHAR * len(str(count)):
                body.append(_text(x + length / 2, y + 13, str(count), "middle", f"label on-o{number}"))
            x += length
        y += 28
        shares = zip(figure.parts, counts, strict=True)
        words.append(f"{label}: " + ", ".join(f"{count} {name}" for name, count in shares if count))
    return y, body, "; ".join(words)
