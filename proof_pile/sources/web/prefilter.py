r"""Whether a page may hold mathematics, told from its bytes before it is parsed: OpenWebMath's prefilter.

Source: keirp/OpenWebMath, extract_from_cc/extract_from_warc.py.  A page passes if it names a program that sets formulas
("MathJax", "<math", ...), or its text has one of the frequent LaTeX commands, or a MathScore model gives it enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable

KEYWORDS = (
    b"MathJax", b"mathjax", b"<math", b"math-container", b"katex.min.css", b"latex.php", b"codecogs", b"tex.cgi",
    b'class="tex"', b"class='tex'",
)  # fmt: skip
# Chosen by us: the same things in other letters, which the published list misses.
MORE_KEYWORDS = (b"<mml:math", b"math/tex", b"katex-mathml", b"asciimath", b"ASCIIMath", b"jsMath", b'class="latex"',
                 b"ltx_Math", b"mathtex", b"<MATH", b"[itex]", b"$latex ")  # fmt: skip
MIN_SCORED_CHARS = 500  # OpenWebMath's bound for a page without LaTeX
_COMMAND = re.compile(rb"\\[a-z]{2,}")
_TAG = re.compile(rb"<[^<>]*>")
_SPACES = re.compile(rb"\s{2,}")

Score = Callable[[str], float]


def mathematics_in(data: bytes, score: Score | None = None, min_score: float = 0.8) -> str | None:
    """Why the page may hold mathematics ("MathJax", "latex", "score"), None where nothing speaks for it."""
    for word in KEYWORDS:
        if word in data:
            return word.decode()
    for word in MORE_KEYWORDS:
        if word in data:
            return word.decode()
    has_command = _COMMAND.search(data) is not None
    if not has_command and score is None:
        return None
    text = plain_text(data)
    if has_command:
        from proof_pile.quality.latex_commands import has_commands

        if has_commands(text):
            return "latex"
    if score is not None and len(text) > MIN_SCORED_CHARS and score(text) > min_score:
        return "score"
    return None


def plain_text(data: bytes) -> str:
    """The page's text without scripts and tags, roughly: enough to look for words in it."""
    lowered = data.lower()
    pieces, position = [], 0
    while (start := lowered.find(b"<s", position)) >= 0:
        name = (
            b"script"
            if lowered.startswith(b"<script", start)
            else b"style"
            if lowered.startswith(b"<style", start)
            else b""
        )
        if not name:
            pieces.append(data[position : start + 2])
            position = start + 2
            continue
        pieces.append(data[position:start])
        end = lowered.find(b"</" + name, start)
        position = end if end >= 0 else len(data)
    pieces.append(data[position:])
    return _SPACES.sub(b" ", _TAG.sub(b" ", b"".join(pieces))).decode("utf-8", "replace")
