"""Small pieces of HTML. Whatever comes from a model, a corpus or a file goes through `escape`."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

# Control characters are not allowed in HTML; direction marks (U+202A and others) could turn the text around them.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def escape(text: object) -> str:
    """Text for use inside an element or a quoted attribute; what cannot be shown becomes a replacement mark."""
    return html.escape(_UNSHOWABLE.sub("\ufffd", str(text)), quote=True)


def shortened(text: str, limit: int) -> str:
    """The text, cut at `limit` characters with a note of how many more there were."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    numeric: Sequence[int] = (),
    prose: Sequence[int] = (),
) -> str:
    """A table of ready-made HTML cells: the first cell of a row is its header; columns in `numeric` align right,
    those in `prose` hold running text and keep a readable width.
    """
    numbers, texts = set(numeric), set(prose)

    def kind(column: int) -> str:
        if column in numbers:
            return ' class="number"'
        return ' class="prose"' if column in texts else ""

    titles = "".join(f'<th scope="col"{kind(column)}>{escape(title)}</th>' for column, title in enumerate(head))
    lines = []
    for row in rows:
        cells = [f'<th scope="row"{kind(0)}>{row[0]}</th>']
        cells += [f"<td{kind(column)}>{cell}</td>" for column, cell in enumerate(row) if column]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    inner = (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
    # A wide table scrolls by itself, and by keyboard, instead of pushing the page sideways.
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{inner}</div>'


def not_run(what: str, command: str | None = None) -> str:
    """The line that stands where a part of the run has not been done."""
    how = f" Run <code>{escape(command)}</code>, then make the report again." if command else ""
    return f'<p class="not-run"><strong>Not run.</strong> {escape(what)}{how}</p>'


def code(text: object) -> str:
    """A hash, a path or a name, in the fixed-width face; may break anywhere."""
    return f"<code>{escape(text)}</code>"
