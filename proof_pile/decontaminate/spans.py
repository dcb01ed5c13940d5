"""What is cut out of a document that quotes a benchmark: the quoted words, widened to where the text falls apart.

Each end of a match moves outwards, independently of the other, to the nearest of these within MAX_WIDENED_BYTES:
    an empty line, or the end of the document      (a paragraph, a problem in a list of problems, a block of code),
        or an \\item of LaTeX, or the \\begin or \\end of a list or of an environment of prose, which stay
    else the end of a line                         (one record a line, hard-wrapped text without paragraphs)
    else the end of a sentence                     (a page in one line)
    else it stays where the match ends
Spans that meet are one.  The separator after a span goes with it, so that no two empty lines come together.
"""

from __future__ import annotations

import re

MAX_WIDENED_BYTES = 1000  # chosen by us: nine of ten problems of MATH and GSM8K are shorter
MAX_CUT_SHARE = 0.5
"""A document that would lose more than this share of its bytes goes as a whole (chosen by us)."""
MAX_SPANS = 1000  # chosen by us: of one document; with more it is a copy of a benchmark

_PROSE = (
    rb"\\(?:begin|end)\{(?:enumerate|itemize|description|parts|questions?|exercises?|exer|problems?|prob|examples?|"
    rb"theorem|thm|lemma|lem|proposition|prop|corollary|cor|definition|defn|remark|proof|solution|soln|answer|"
    rb"quot(?:e|ation)|document)\*?\}"
)
_EMPTY_LINE = rb"\n[ \t\r]*\n\s*"
_BORDER_BEFORE = re.compile(_EMPTY_LINE + rb"|" + _PROSE + rb"(?:\[[^]\n]*\])?[ \t]*\n?|(?=\\item\b)", re.IGNORECASE)
_BORDER_AFTER = re.compile(_EMPTY_LINE + rb"|(?=" + _PROSE + rb")|(?=\\item\b)", re.IGNORECASE)
_WEAKER = (re.compile(rb"\n"), re.compile(rb"[.?!][)\]}\"'$*_]*\s+"))
Span = tuple[int, int]


def _left(text: bytes, begin: int) -> int:
    low = max(0, begin - MAX_WIDENED_BYTES)
    for separator in (_BORDER_BEFORE, *_WEAKER):
        found = 0 if low == 0 and separator is _BORDER_BEFORE else -1
        for match in separator.finditer(text, low, begin):
            found = match.end()
        if found >= 0:
            return found
    return 0 if low == 0 else begin


def _right(text: bytes, end: int) -> int:
    high = min(len(text), end + MAX_WIDENED_BYTES)
    for separator in (_BORDER_AFTER, *_WEAKER):
        match = separator.search(text, end, high)
        if match is not None:
            return match.end()
        if high == len(text) and separator is _BORDER_AFTER:
            return high
    return high if high == len(text) else end


def widened(text: bytes, begin: int, end: int) -> Span:
    """The span that is cut for a match of bytes begin:end."""
    return _left(text, begin), _right(text, end)


def spans_to_cut(text: bytes, matches: list[Span]) -> list[Span]:
    """The spans for all matches in a text: widened, joined where they meet, in order."""
    spans: list[Span] = []
    for begin, end in sorted(widened(text, begin, end) for begin, end in matches):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans


def is_frame(text: bytes, spans: list[Span]) -> bool:
    """True where so much is to be cut that the document is not worth keeping."""
    cut = sum(end - begin for begin, end in spans)
    return len(spans) > MAX_SPANS or cut > MAX_CUT_SHARE * len(text) or not text[:0].join(_rest(text, spans)).strip()


def _rest(text: bytes, spans: list[Span]) -> list[bytes]:
    pieces, at = [], 0
    for begin, end in spans:
        pieces.append(text[at:begin])
        at = end
    return [*pieces, text[at:]]


def without_spans(text: str, spans: list[Span]) -> str:
    """The text without the spans (bytes of its UTF-8)."""
    return b"".join(_rest(text.encode("utf-8"), spans)).decode("utf-8", "replace")
