"""Tables on standard output: with lines and colours on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], num_text: int = 1) -> None:
    """Prints rows of words; the first `num_text` columns are aligned left, the others (numbers) right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD if terminal else None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for number, column in enumerate(columns):
        is_text = number < num_text
        table.add_column(
            column,
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not (terminal and is_text),
            header_style="none",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Elsewhere a line is never wrapped: a log file has no width.
    console = Console(file=sys.stdout) if terminal else Console(file=sys.stdout, width=400, color_system=None)
    console.print(table)


def size_words(size: float) -> str:
    """A number of bytes for a person."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
