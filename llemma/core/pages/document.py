"""A whole page. It loads nothing and runs nothing: a content policy in its head forbids both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llemma.core.pages.html import escape
from llemma.core.pages.style import STYLE


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section: its anchor, its title, and its HTML, in which everything from outside is escaped already."""

    key: str
    title: str
    html: str


def render_document(
    *,
    kind: str,
    title: str,
    lead: str,
    cards: Sequence[tuple[str, str, str]],
    sections: Sequence[Section],
    notes: Sequence[str] = (),
    footer: str = "",
) -> str:
    """One HTML document. All arguments are plain text but the sections' `html`, and `footer`, which is HTML.

    `kind` says what sort of page it is ("Training report"); `cards` are (name, value, small print).
    """
    links = "".join(f'<li><a href="#{section.key}">{escape(section.title)}</a></li>' for section in sections)
    body = "".join(
        f'<section id="{s.key}" aria-labelledby="h-{s.key}"><h2 id="h-{s.key}">{escape(s.title)}</h2>{s.html}</section>'
        for s in sections
    )
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(small)}</small></dd></div>"
        for name, value, small in cards
    )
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    first = sections[0].key if sections else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: {escape(kind.lower())}</title>"
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body>'
        f'<a class="skip" href="#{first}">To the content</a>'
        f'<header><p class="eyebrow">{escape(kind)}</p><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>'
        f'<dl class="cards">{items}</dl>{said}</header><nav aria-label="Sections"><ul>{links}</ul></nav>'
        f"<main>{body}</main><footer>{footer}</footer></body></html>\n"
    )
