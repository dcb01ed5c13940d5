"""Markup to text runs and tags, and the elements whose content is no markup taken out before that.

Both passes read each character a bounded number of times, whatever the page holds: quantifiers are possessive, and an
end tag that was not found once is not looked for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape

from proof_pile.sources.web.scanner import without_tags

# The first letters by themselves: an expression that begins with a literal is searched for at memory speed, and most
# tags (<span, <mi) fail at their second letter.
_RAW = re.compile(
    r"<(?=!-|[sS][cCtTvVeE]|[tT][iIeE]|[mM](?:[aA][tT]|[mM][lL]|:)|[nN][oO]|[iI][fF]|[oO][bB]|[pP][rR]|[xX][mM])"
    r"((?i:!--|script|style|svg|select|title|textarea|template|math|(?:m|mml|mathml):math|"
    r"noscript|iframe|object|pre|xmp|noembed|noframes))(?=[\s>/]|(?<=-))"
)
_SVG_TAG = re.compile(r"<(/?)svg(?=[\s>/])[^>]*?(/?)>", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_SCRIPT_TYPE = re.compile(r"""\btype\s*=\s*["']?\s*(math/[a-z]+[^"'>]*)""", re.IGNORECASE)

_NOT_CODE = ("<math", "<img", "<pre", "<p>", "<p ", "<table", "<h1", "<h2", "<h3", "<h4", "<mjx-", "<IMG", "<P>", "<TABLE",
             'class="math', 'class="MathJax', 'class="katex', 'class="tex"', "\x02")  # fmt: skip
_BREAK_TAG = re.compile(r"<br\b[^>]*>", re.IGNORECASE)
MAX_SCRIPT_CHARS = 20_000  # chosen by us: what sets up delimiters stands near the beginning of a script

_MARKS = "\x01\x02\x03\x04\x05"

OPEN, CLOSE = "\x02", "\x03"  # around the number of something that was lifted out of the text
BREAK, LINE = "\x01", "\x04"  # a new block, a new line


@dataclass(slots=True)
class Lifted:
    """What was lifted out of a page: `<number>` in the text stands for `items[number]`, (text, kind).

    Kinds: "inline" and "display" formulas, "code" and "block" (of code).
    """

    items: list[tuple[str, str]] = field(default_factory=list)

    def put(self, text: str, kind: str) -> str:
        """Keeps the text and gives the mark that stands for it."""
        self.items.append((text, kind))
        mark = f"{OPEN}{len(self.items) - 1}{CLOSE}"
        return mark if kind in ("inline", "code") else f"{BREAK}{mark}{BREAK}"


@dataclass(slots=True)
class RawElements:
    """A page without its raw elements."""

    markup: str
    title: str
    scripts: str  # what the page's scripts say, for what they set up
    has_math_scripts: bool


MathOf = Callable[[str], tuple[str, bool] | None]  # markup of a <math> element -> TeX and whether it is displayed
ScriptMath = Callable[[str, str], tuple[str, bool] | None]  # type and content of a math script -> likewise


def without_controls(markup: str) -> str:
    """The markup without control characters where it has one of those that we use as marks."""
    return _CONTROL.sub("", markup) if any(mark in markup for mark in _MARKS) else markup


def lift_raw_elements(markup: str, lifted: Lifted, math_of: MathOf, script_math: ScriptMath) -> RawElements:
    """Takes out scripts, styles, comments and the like, and sets formulas among them into `lifted`."""
    out: list[str] = []
    scripts: list[str] = []
    title = ""
    has_math_scripts = False
    may_nest = True
    position = search_from = 0
    missing: set[str] = set()
    search = _RAW.search
    while (match := search(markup, search_from)) is not None:
        start, search_from = match.span()
        written = match[1]
        name = written.lower()
        if name in missing:
            continue
        after_name = start + 1 + len(written)
        if name == "!--":
            end = markup.find("-->", start + 2)
            inner_end, after = end, end + 3
        else:
            inner_end, after = _end_tag(markup, written, name, after_name)
            if name == "svg" and may_nest and markup.find("<svg", after_name, inner_end) >= 0:
                whole = _svg_end(markup, after_name)
                may_nest = whole is not None  # in vain once a page only: it walked to the page's end
                inner_end, after = whole or (inner_end, after)
        if inner_end < 0:
            missing.add(name)
            if name in ("script", "style"):
                out.append(markup[position:start])
                position = len(markup)
                break
            continue
        out.append(markup[position:start])
        position = search_from = after
        if name == "script":
            content = markup.find(">", after_name, inner_end) + 1
            kind = _SCRIPT_TYPE.search(markup, start, content) if content else None
            if not kind:
                scripts.append(markup[start : min(inner_end, start + MAX_SCRIPT_CHARS)])
            else:
                has_math_scripts = True
                found = script_math(kind[1].lower(), markup[content:inner_end])
                if found:
                    out.append(lifted.put(found[0], "display" if found[1] else "inline"))
        elif name == "pre":
            out.append(_code_block(markup[start:after], lifted))
        elif name.endswith("math"):
            found = math_of(markup[start:after])
            if found:
                out.append(lifted.put(found[0], "display" if found[1] else "inline"))
        elif name == "title" and not title:
            title = markup[markup.find(">", start, inner_end) + 1 : inner_end]
        elif name not in ("!--", "script"):
            out.append(" ")
    out.append(markup[position:])
    return RawElements("".join(out), title, "\n".join(scripts), has_math_scripts)


def _code_block(markup: str, lifted: Lifted) -> str:
    """The mark of a <pre> that holds code; the markup itself where formulas or other blocks stand in it."""
    head = markup.find(">") + 1
    if "math" in markup[:head] or any(sign in markup[4:] for sign in _NOT_CODE):
        return markup
    end = markup.rfind("</")
    text = markup[head:end]
    if "<" in text:
        text = without_tags(_BREAK_TAG.sub("\n", text) if "<br" in text or "<BR" in text else text)
    text = unescape(text).strip("\r\n").rstrip()
    return lifted.put(text, "block") if text else BREAK


def _end_tag(markup: str, written: str, name: str, position: int) -> tuple[int, int]:
    """Where the element's end tag begins and ends, (-1, -1) where there is none."""
    start = markup.find(f"</{written}", position)
    if start < 0 or written != name:  # the end tag may be written in other letters than the start tag
        match = re.compile(f"</{name}", re.IGNORECASE).search(markup, position)
        start = match.start() if match else -1
    if start < 0:
        return -1, -1
    end = markup.find(">", start)
    return start, end + 1 if end >= 0 else len(markup)


def _svg_end(markup: str, position: int) -> tuple[int, int] | None:
    """Where the end tag of a drawing that holds others, as a page's store of icons, begins and ends; None without."""
    depth = 1
    for match in _SVG_TAG.finditer(markup, position):
        if match[1]:
            depth -= 1
            if depth == 0:
                return match.span()
        elif not match[2]:
            depth += 1
    return None
