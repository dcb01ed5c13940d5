"""What a person sees while a stage trains: lines that renew themselves on a terminal, plain lines elsewhere.

Both go to standard error. What has happened (a validation, a step left out, a sample) is said in a line of its own,
which on a terminal scrolls away above those that renew themselves.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from llemma.core.pages.numbers import format_count, format_seconds, format_share
from llemma.train.signals import StopRequest

if TYPE_CHECKING:
    from rich.console import RenderableType

Tone = Literal["plain", "good", "warning", "faint"]
_COLOURS: dict[Tone, str] = {"plain": "", "good": "cyan", "warning": "yellow", "faint": "dim"}
_FIRST_INTERVAL_S = 5.0  # between two plain lines; it grows to a hundredth of the time that has passed, and at most
_LAST_INTERVAL_S = 300.0  # to this: a log of days is to stay readable. Chosen by us
_GAP = "  "


@dataclass(kw_only=True)
class Standing:
    """How a stage stands; None is what is not known yet."""

    stage: str
    number: int  # of the stage, from 1
    num_stages: int
    last_iteration: int
    iteration: int = 0
    loss: float | None = None
    smoothed_loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    reward_accuracy: float | None = None  # where preferences are learnt
    tokens_per_s: float | None = None
    mfu: float | None = None
    num_left_out: int = 0
    validation: tuple[float, int] | None = None  # the last loss, and after which iteration
    saved_at: int | None = None
    left_s: float | None = None
    all_left_s: float | None = None
    work: str = ""  # what is being done other than steps

    @property
    def title(self) -> str:
        """The stage, and which of how many it is."""
        return f"{self.stage} ({self.number} of {self.num_stages})" if self.num_stages > 1 else self.stage

    def groups(self) -> list[list[str]]:
        """The figures in words: of learning, of speed and time, of what was kept."""
        learning, speed, kept = [], [], []
        if self.smoothed_loss is not None:
            last = "not finite" if self.loss is None else f"{self.loss:.4f}"
            learning.append(f"loss {self.smoothed_loss:.4f} (last {last})")
        if self.lr is not None:
            learning.append(f"lr {self.lr:.3e}")
        if self.grad_norm is not None:
            learning.append(f"grad norm {self.grad_norm:.3g}")
        if self.reward_accuracy is not None:
            learning.append(f"reward accuracy {self.reward_accuracy:.2f}")
        if self.tokens_per_s is not None:
            speed.append(f"{format_count(self.tokens_per_s)} tokens/s")
        if self.mfu is not None:
            speed.append(f"MFU {format_share(self.mfu)}")
        if self.left_s is not None:
            of_all = self.all_left_s if self.number < self.num_stages else None
            speed.append(f"{_span(self.left_s)} left" + (f" (all stages {_span(of_all)})" if of_all else ""))
        if self.validation is not None:
            kept.append(f"validation {self.validation[0]:.4f} at {self.validation[1]:,}")
        if self.saved_at is not None:
            kept.append(f"saved at {self.saved_at:,}")
        if self.num_left_out:
            kept.append(f"{self.num_left_out:,} step{'s' if self.num_left_out > 1 else ''} left out")
        if self.work:
            kept.append(self.work)
        return [group for group in (learning, speed, kept) if group]


class Display(Protocol):
    """Where a stage shows itself."""

    def update(self) -> None:
        """The standing has changed."""

    def say(self, text: str, tone: Tone = "plain") -> None:
        """One line about what has happened. What comes from outside in it went through `on_one_line` before."""


@contextlib.contextmanager
def displayed(standing: Standing, stop: StopRequest) -> Iterator[Display]:
    """Shows a standing, which its owner changes, until the block ends; on a terminal also that a stop was asked for."""
    if sys.stderr.isatty():
        stop.is_shown = True
        try:
            with _terminal(standing, stop) as display:
                yield display
        finally:
            stop.is_shown = False
        return
    plain = PlainDisplay(standing)
    try:
        yield plain
    finally:
        plain.finish()


class PlainDisplay:
    """Lines for a log file."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._started = time.monotonic()
        self._said_at: float | None = None
        self._said = ""

    def update(self) -> None:
        """A line, where the last one was long enough ago."""
        now = time.monotonic()
        wait_s = min(max(_FIRST_INTERVAL_S, (now - self._started) / 100), _LAST_INTERVAL_S)
        if self._said_at is None or now - self._said_at >= wait_s:
            self.finish()

    def finish(self) -> None:
        """The line of now, unless it was said."""
        self._said_at = time.monotonic()
        standing = self._standing
        figures = ", ".join(cell for group in standing.groups() for cell in group)
        text = f"{standing.title}: {standing.iteration:,}/{standing.last_iteration:,} steps"
        if text + figures != self._said:
            self._said = text + figures
            self.say(f"{text}{', ' if figures else ''}{figures}")

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Writes it at once."""
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminal(standing: Standing, stop: StopRequest) -> Iterator[Display]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)

    class Terminal:
        def update(self) -> None:
            """Nothing is to be done: the standing is read some times a second."""

        def say(self, text: str, tone: Tone = "plain") -> None:
            line = Text(text, style=_COLOURS[tone])
            if tone == "faint":  # the beginning of a sample is enough
                line.truncate(console.width, overflow="ellipsis")
            live.console.print(line)

    # What others write to standard error meanwhile (warnings) is put above these lines by rich.
    with Live(
        get_renderable=lambda: _drawn(standing, stop, console.width), console=console, refresh_per_second=4
    ) as live:
        yield Terminal()


def _drawn(standing: Standing, stop: StopRequest, width: int) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done, last = standing.iteration, standing.last_iteration
    head = Table.grid(expand=True, padding=(0, 1, 0, 0))
    head.add_column(no_wrap=True, max_width=width // 3)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    head.add_row(
        Text(standing.title, style="bold"),
        ProgressBar(total=max(1, last), completed=done),
        Text(f"{done:,}/{last:,} steps"),
    )
    lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in packed(standing.groups(), width)]
    if stop.is_made():
        lines.append(Text(stop.words, style=_COLOURS["warning"]))
    return Group(head, *lines)


def packed(groups: Sequence[Sequence[str]], width: int) -> list[str]:
    """Groups of figures in lines of a width: a group goes into the line before it only whole."""
    lines: list[str] = []
    for group in groups:
        whole = _GAP.join(group)
        if lines and len(lines[-1]) + len(_GAP) + len(whole) <= width:
            lines[-1] += _GAP + whole
            continue
        lines.append(group[0])
        for cell in group[1:]:
            if len(lines[-1]) + len(_GAP) + len(cell) <= width:
                lines[-1] += _GAP + cell
            else:
                lines.append(cell)
    return lines


def _span(seconds: float) -> str:
    """A span of time to come, which nobody wants to the tenth of a second."""
    return format_seconds(seconds) if seconds >= 60 else f"{seconds:.0f} s"
