r"""One HTML page, or a piece of one, to Markdown-like text: boilerplate goes, equations stay.

    extract_page(markup, rules)     a whole page: its title and its main text
    fragment_text(markup)           a piece of markup that somebody wrote (a post, an answer): nothing is judged

Inline formulas come out as $...$, displayed ones as $$...$$ in paragraphs of their own, whichever way the page wrote
them: MathJax delimiters and scripts, KaTeX and MathML annotations, alttext, plain MathML, AsciiMath, pictures with TeX
in their address or alt.  A dollar that is no delimiter is escaped (\$).  Headings, lists, tables and code are Markdown.
The style is always the same one: OpenWebMath drew it by lot, which makes a build depend on its own history.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from html import unescape

from proof_pile.sources.web.equations import Delimiters, clean_tex, lift_delimited, page_delimiters
from proof_pile.sources.web.markup import Lifted, lift_raw_elements, without_controls
from proof_pile.sources.web.mathml import math_markup_tex
from proof_pile.sources.web.prose import finished_text
from proof_pile.sources.web.rules import DEFAULT_RULES, PageRules
from proof_pile.sources.web.scanner import Scanner
from proof_pile.sources.web.tags import Judge
from proof_pile.sources.web.writer import TooDeepPageError, TooManyLinksError, Writer

_FRAGMENT_RULES = PageRules(max_links=1_000_000, max_link_density=1, boilerplate_lines=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What was taken from a page."""

    title: str
    text: str
    num_formulas: int


def extract_page(markup: str, rules: PageRules = DEFAULT_RULES) -> Page:
    """Title and text of a page, its equations delimited by dollar signs.

    Raises TooManyLinksError and TooDeepPageError where a page passes the bounds of the rules.
    """
    lifted = Lifted()
    raw = lift_raw_elements(without_controls(markup), lifted, math_markup_tex, _script_tex)
    has_formulas = any(kind in ("inline", "display") for _, kind in lifted.items) or _sets_formulas(raw.markup)
    delimiters = page_delimiters(raw.scripts, has_formulas=has_formulas)
    scanner = _scanner(raw.has_math_scripts, rules.comments == "drop")
    prose = Writer(lifted, rules, scanner).write(raw.markup)
    text = finished_text(prose, delimiters, lifted, rules)
    num_formulas = sum(kind in ("inline", "display") for _, kind in lifted.items)
    title = _title(raw.title, delimiters)
    if title and text and not text.startswith("#"):
        text = f"# {title}\n\n{text}"
    return Page(title=title, text=f"{text}\n" if text else "", num_formulas=num_formulas)


def fragment_text(markup: str, *, dollars: bool = True) -> str:
    r"""The text of a piece of markup, equations delimited; boilerplate is not looked for.

    `dollars`: whether the site takes single dollars as delimiters (Stack Exchange's mathematical sites do); else only
    what reads as a formula is taken as one, and other dollars are escaped.  The text has no newline at its end.
    Raises TooDeepPageError.
    """
    lifted = Lifted()
    raw = lift_raw_elements(without_controls(markup), lifted, math_markup_tex, _script_tex)
    prose = Writer(lifted, _FRAGMENT_RULES, _scanner(raw.has_math_scripts, drop_comments=False)).write(raw.markup)
    delimiters = Delimiters(platform=dollars, dollars=dollars, backquotes=False)
    return finished_text(prose, delimiters, lifted, _FRAGMENT_RULES)


def _sets_formulas(markup: str) -> bool:
    return "math-container" in markup or "katex" in markup or 'class="math' in markup


@lru_cache(maxsize=4)
def _scanner(has_math_scripts: bool, drop_comments: bool) -> Scanner:
    return Scanner(Judge(has_math_scripts=has_math_scripts, drop_comments=drop_comments))


def _title(markup: str, delimiters: Delimiters) -> str:
    title = " ".join(unescape(markup).split())[:500]
    lifted = Lifted()
    title = lift_delimited(title, delimiters, lifted, 500)
    for number, (tex, _) in enumerate(lifted.items):
        title = title.replace(f"\x02{number}\x03", f"${tex}$").replace("\x01", "")
    return title


def _script_tex(kind: str, content: str) -> tuple[str, bool] | None:
    display = "mode=display" in kind.replace(" ", "")
    if kind.startswith("math/tex"):
        tex = clean_tex(content)
        return (tex, display) if tex else None
    if kind.startswith("math/asciimath"):
        from proof_pile.sources.web.asciimath import asciimath_tex

        tex = asciimath_tex(unescape(content))
        return (tex, display) if tex else None
    if kind.startswith("math/mml"):
        return math_markup_tex(clean_tex(content))
    return None


__all__ = ["Page", "PageRules", "TooDeepPageError", "TooManyLinksError", "extract_page", "fragment_text"]
