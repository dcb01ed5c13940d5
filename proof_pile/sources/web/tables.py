"""The cells of a table to Markdown rows where it holds data, to plain blocks where it only lays out the page."""

from __future__ import annotations

from proof_pile.sources.web.markup import BREAK, LINE
from proof_pile.sources.web.rules import PageRules

_MARKS = f" \t\r\n\f{BREAK}{LINE}"


class TableCells:
    """The cells of an open table, row by row."""

    def __init__(self, *, equation: bool) -> None:
        self.equation = equation
        self.rows: list[list[str]] = []
        self.row: list[str] = []

    def add(self, text: str, *, header: bool) -> None:
        """Takes the text of one cell."""
        self.row.append(text)

    def end_row(self) -> None:
        """Ends the row if it holds any cell."""
        if self.row:
            self.rows.append(self.row)
            self.row = []


def table_text(cells: TableCells, rules: PageRules) -> str:
    """The table as prose with marks; empty cells of a layout are left out."""
    rows = [[cell.strip(_MARKS) for cell in row] for row in cells.rows]
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    if not cells.equation and _is_data(rows, rules):
        return _markdown(rows)
    out = []
    for row in rows:
        blocks = any(BREAK in cell for cell in row)
        out.append((BREAK if blocks else " ").join(cell for cell in row if cell))
    return BREAK.join(out) if any(BREAK in line for line in out) else LINE.join(out)


def _is_data(rows: list[list[str]], rules: PageRules) -> bool:
    width = max(map(len, rows))
    if len(rows) < rules.min_table_rows or width < rules.min_table_columns:
        return False
    if any(len(cell) > rules.max_table_cell_chars or cell.count(BREAK) > 2 for row in rows for cell in row):
        return False
    return sum(len(row) == width for row in rows) * 2 >= len(rows)


def _markdown(rows: list[list[str]]) -> str:
    width = max(map(len, rows))
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.replace(BREAK, " ").replace(LINE, " ") for cell in row] + [""] * (width - len(row))
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            lines.append("|" + " --- |" * width)
    return LINE.join(lines)
