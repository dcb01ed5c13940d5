"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere. Both on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

PLAIN_INTERVAL_S = 5.0


class Progress(Protocol):
    """What the work tells: how much more is done, and a short note to show beside it."""

    def advance(self, amount: float = 1) -> None: ...

    def note(self, text: str) -> None: ...


@contextlib.contextmanager
def progress(description: str, total: float | None = None, unit: str = "") -> Iterator[Progress]:
    """Shows how far the block has come. `total` is None where the end is not known."""
    if sys.stderr.isatty():
        with _bar(description, total, unit) as bar:
            yield bar
    else:
        plain = _PlainProgress(description, total, unit)
        try:
            yield plain
        finally:
            plain.finish()


@contextlib.contextmanager
def _bar(description: str, total: float | None, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    of_total = "" if total is None else "/{task.total:,.0f}"
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}" + of_total + f" {unit}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich_progress:
        task = rich_progress.add_task(description, total=total, note="")

        class Bar:
            def advance(self, amount: float = 1) -> None:
                rich_progress.advance(task, amount)

            def note(self, text: str) -> None:
                rich_progress.update(task, note=text)

        yield Bar()


class _PlainProgress:
    """Lines for a log file: the first and last state always, between them one line in PLAIN_INTERVAL_S."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self._description = description
        self._total = total
        self._unit = f" {unit}" if unit else ""
        self._done = 0.0
        self._note = ""
        self._started = self._last_line = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if time.monotonic() - self._last_line >= PLAIN_INTERVAL_S:
            self._print_line()

    def note(self, text: str) -> None:
        self._note = text

    def finish(self) -> None:
        self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        of_total = "" if self._total is None else f"/{self._total:,.0f}"
        note = f"  {self._note}" if self._note else ""
        seconds = self._last_line - self._started
        print(
            f"{self._description}: {self._done:,.0f}{of_total}{self._unit} in {seconds:.1f} s{note}",
            file=sys.stderr,
            flush=True,
        )


def on_one_line(text: str, limit: int) -> str:
    """A text from outside as one line for a terminal: at most `limit` characters of it, none of which commands it."""
    shown = text[:limit].replace("\n", "⏎").replace("\t", " ")
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return safe + ("…" if len(text) > limit else "")
