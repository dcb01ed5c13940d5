r"""Formulas in running text: which delimiters a page uses, where they stand, and what is between them.

Every formula comes out the same way: inline ones between single dollars, displayed ones between double dollars.  An
environment of its own (\begin{align}...) counts as displayed.  A dollar that is no delimiter is written \$.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from proof_pile.sources.web.markup import BREAK, LINE, Lifted

MAX_INLINE_CHARS = 5000  # chosen by us, as are all bounds of this file
MAX_DOLLAR_WORDS = 4  # between dollars that are delimiters, where nothing else reads as TeX
MAX_BREAKS = 6  # blocks that a displayed formula may stretch over, where an editor put it into paragraphs

_PLATFORMS = ("MathJax", "mathjax", "katex", "KaTeX", "tex2jax", "jsMath", "jsmath", "math/tex", "asciimath",
              "ASCIIMath", "texme", "mathquill", "MathML")  # fmt: skip
_DOLLAR_CONFIG = re.compile(
    r"""\[\s*(['"])\$\1\s*,\s*(['"])\$\2\s*\]|left["']?\s*:\s*(['"])\$\3\s*,|&quot;\$&quot;\s*,\s*&quot;\$&quot;"""
    r"""|singleDollars?["']?\s*:\s*true"""
)
_BACKQUOTE_CONFIG = re.compile(
    r"asciimathml|AM_HTMLorMML|AM[-_]?CHTML|AM[-_]?HTML|input/asciimath|asciimath2jax|config=[a-z_,-]*AM_",
    re.IGNORECASE,
)
_SHORTCODE = {
    "itex": False,
    "tex": False,
    "math": False,
    "latex": False,
    "imath": False,
    "dmath": True,
    "equation": True,
}
_ENVIRONMENTS = frozenset(
    [
        "equation",
        "align",
        "gather",
        "multline",
        "eqnarray",
        "alignat",
        "flalign",
        "displaymath",
        "math",
        "array",
        "cases",
        "matrix",
        "pmatrix",
        "bmatrix",
        "vmatrix",
        "aligned",
        "gathered",
        "split",
        "dmath",
        "subequations",
        "CD",
        "tikzcd",
    ]
)
_OPENER = re.compile(
    r"\\[\\$]|\\\(|\\\[|\$latex(?=[\s\\{(])|\$\$|\$|\\begin\{([a-zA-Z]+)\*?\}"
    r"|\[(itex|tex|math|latex|imath|dmath|equation)\]|`",
    re.IGNORECASE,
)
# A whole formula that holds no delimiter, block, line or lifted thing; else one of the openers, looked at step by step.
_INNER = r"[^\\$\x01-\x04]*+(?:\\(?:[^()\[\]$\\\x01-\x04]|\\(?![()\[\]\\]))[^\\$\x01-\x04]*+)*+"
_WHOLE = rf"\\\(({_INNER})\\\)|\\\[({_INNER})\\\]|\$\$({_INNER})\$\$"
# Alternatives of the first rank, all with a literal before them: that is what lets a search skip plain text.
_WHOLE_OR_OPENER = re.compile(rf"{_WHOLE}|{_OPENER.pattern}", re.IGNORECASE)
_WHOLE_OR_DOLLAR = re.compile(rf"{_WHOLE}|\$(?![$\s]|latex)({_INNER})\$|{_OPENER.pattern}", re.IGNORECASE)
_TEX_SIGN = re.compile(r"\\[a-zA-Z]|[\^_]|\\[{}|,;!]")
_PLAIN_FORMULA = re.compile(r"[A-Za-z0-9\s.,+\-*/=<>!|()\[\]{}':;~&]{1,60}")
_LETTER_OR_SIGN = re.compile(r"[A-Za-z=<>+*/^\\|]")
_RELATION = re.compile(r"[=<>]")
_WORDS = re.compile(r"[A-Za-z]{3,}")
_BRACE = re.compile(r"[{}]")
_CDATA = re.compile(r"(?:%\s*)?(?:<!\[CDATA\[|\]\]>)")
_WRAPPERS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What the page's own configuration says of delimiters."""

    platform: bool  # the page loads a program that sets formulas
    dollars: bool  # ... which takes single dollars as delimiters
    backquotes: bool  # ... which takes backquotes as delimiters of AsciiMath


def page_delimiters(scripts: str, *, has_formulas: bool) -> Delimiters:
    """The delimiters that the page's scripts set up; `has_formulas`: whether the page is known to set formulas."""
    platform = any(word in scripts for word in _PLATFORMS)
    lowered = scripts.lower() if platform else ""
    return Delimiters(
        platform=platform or has_formulas,
        dollars=any(_DOLLAR_CONFIG.search(part) for part in _configurations(scripts)),
        backquotes=("ciimath" in lowered or "am_" in lowered) and _BACKQUOTE_CONFIG.search(scripts) is not None,
    )


def _configurations(scripts: str) -> Iterator[str]:
    """The pieces of the page's scripts that may set up delimiters."""
    for word in ("inlineMath", "delimiters", "singleDollar"):
        position = scripts.find(word)
        for _ in range(8):
            if position < 0:
                break
            yield scripts[position : position + 600]
            position = scripts.find(word, position + len(word))


def clean_tex(tex: str) -> str:
    """A formula's TeX without wrappers of its script element and without dollar signs or brackets around it."""
    if "CDATA" in tex:
        tex = _CDATA.sub("", tex)
    tex = tex.strip()
    for left, right in _WRAPPERS:
        if tex.startswith(left) and tex.endswith(right) and len(tex) > len(left) + len(right) - 1:
            inner = tex[len(left) : len(tex) - len(right)]
            if left not in inner:
                return inner.strip()
    return tex


def unwrap_displaystyle(tex: str) -> str:
    r"""The formula without the `{\displaystyle ...}` that wikis and LaTeXML put around it."""
    if tex.startswith(r"{\displaystyle") and tex.endswith("}"):
        inner = tex[len(r"{\displaystyle") : -1].strip()
        depth = 0
        for brace in _BRACE.findall(inner) if "}" in inner else ():
            depth += 1 if brace == "{" else -1
            if depth < 0:
                return tex
        return inner
    if tex.startswith(r"\displaystyle") and not tex[len(r"\displaystyle") :][:1].isalpha():
        tex = tex[len(r"\displaystyle") :].strip()
        if tex[:1] == "{" and tex.find("}") == len(tex) - 1:
            tex = tex[1:-1].strip()
    return tex


def bare_formula(text: str, max_chars: int) -> str | None:
    """The TeX of an element that says it is mathematics, None where its text is no single formula."""
    text = text.strip()
    if not text or len(text) > max_chars or "\x02" in text:
        return None
    inner = clean_tex(text)
    if any(sign in inner for sign in (r"\(", r"\[", "$")):
        return None  # several formulas, or prose with formulas in it
    if inner != text:
        return unwrap_displaystyle(inner)
    return inner if _TEX_SIGN.search(inner) and _is_balanced(inner) else None


def lift_delimited(text: str, delimiters: Delimiters, lifted: Lifted, max_chars: int) -> str:
    """The text with each delimited formula set into `lifted` and other dollars escaped."""
    if "\\" not in text and "$" not in text and "[" not in text and "`" not in text:
        return text
    scan = _Scan(text, delimiters, lifted, max_chars)
    return scan.run()


class _Scan:
    """One pass over the text; an end that was looked up once is remembered, so that the pass is linear."""

    def __init__(self, text: str, delimiters: Delimiters, lifted: Lifted, max_chars: int) -> None:
        self.text = text
        self.delimiters = delimiters
        self.lifted = lifted
        self.max_chars = max_chars
        self.ends: dict[str, int] = {}

    def run(self) -> str:
        text, out, position, written = self.text, [], 0, 0
        platform, dollars = self.delimiters.platform, self.delimiters.dollars
        pattern = (_WHOLE_OR_DOLLAR if dollars else _WHOLE_OR_OPENER) if platform else _OPENER
        num_whole = 0 if not platform else 4 if dollars else 3
        search, put = pattern.search, self.lifted.put
        longest = min(MAX_INLINE_CHARS, self.max_chars)
        while (match := search(text, position)) is not None:
            start, position = match.span()
            which = match.lastindex
            if which and which <= num_whole:
                tex = match[which]
                inner = tex.strip()
                if inner and len(tex) <= longest and (which < 4 or _is_whole_dollar(tex)):
                    mark = put(inner, "display" if which in (2, 3) else "inline")
                    out.append(f"{text[written:start]}{mark}")
                    written = position
                    continue
            if num_whole:
                match = _OPENER.match(text, start)
                assert match is not None
                position = match.end()
            opener = match[0]
            if opener in ("\\\\", r"\$"):
                continue
            found = self._formula(match)
            if found is None:
                if opener[0] == "$":
                    out.append(text[written:start])
                    out.append(opener.replace("$", r"\$"))
                    written = position
                continue
            tex, display, after = found
            out.append(text[written:start])
            out.append(self.lifted.put(self._content(tex), "display" if display else "inline"))
            position = written = after
        out.append(text[written:])
        return "".join(out)

    def _content(self, tex: str) -> str:
        tex = tex.replace(BREAK, "\n").replace(LINE, "\n")
        if "\x02" in tex:  # something lifted out of an element within the formula: a picture, a <code>
            items = self.lifted.items
            tex = re.sub("\x02([0-9]+)\x03", lambda m: items[int(m[1])][0], tex)
        return clean_tex(tex) if tex[:1] in "$\\" and tex[-1:] in "$)]" else tex.strip()

    def _end(self, closer: str, position: int) -> int:
        known = self.ends.get(closer, -2)
        if known == -1 or known >= position:
            return known
        found = self.text.find(closer, position)
        self.ends[closer] = found
        return found

    def _formula(self, match: re.Match[str]) -> tuple[str, bool, int] | None:
        """TeX, whether it is displayed, and where it ends; None where no formula begins here."""
        opener, start = match[0], match.end()
        if opener == "$":
            return self._dollar(start)
        if opener == "`":
            return self._backquote(start) if self.delimiters.backquotes else None
        if match[1]:
            return self._environment(match)
        if match[2]:
            name = match[2]
            return self._between(start, f"[/{name}]", display=_SHORTCODE[name.lower()], sure=True)
        if opener == "$$":
            return self._between(start, "$$", display=True, sure=self.delimiters.platform)
        if opener == r"\(":
            return self._between(start, r"\)", display=False, sure=self.delimiters.platform)
        if opener == r"\[":
            return self._between(start, r"\]", display=True, sure=self.delimiters.platform)
        return self._wordpress(start)

    def _between(self, start: int, closer: str, *, display: bool, sure: bool) -> tuple[str, bool, int] | None:
        end = self._end(closer, start)
        if closer == r"\]":
            while end > 0 and self.text[end - 1] == "\\" and end - 1 > start:  # \\] ends a row of a matrix, [2pt] say
                end = self._end(closer, end + 1)
        if end < 0 or end - start > (self.max_chars if display else min(MAX_INLINE_CHARS, self.max_chars)):
            return None
        tex = self.text[start:end]
        if not tex.strip():
            return None
        num_breaks = tex.count(BREAK)
        if num_breaks > (MAX_BREAKS if display else 0):
            return None
        opener = closer.replace(")", "(").replace("]", "[") if closer[0] == "\\" else ""
        if opener and opener in tex.replace("\\\\", ""):
            return None
        if not sure and not (_TEX_SIGN.search(tex) or _PLAIN_FORMULA.fullmatch(tex.strip())):
            return None
        return tex, display, end + len(closer)

    def _dollar(self, start: int) -> tuple[str, bool, int] | None:
        position = start
        for _ in range(4):  # the next dollar may stand inside braces: $a \text{ if $b$}$
            end = self._end("$", position)
            while end > 0 and self.text[end - 1] == "\\" and self.text[end - 2] != "\\":
                end = self._end("$", end + 1)
            if end < 0 or end - start > MAX_INLINE_CHARS:
                return None
            tex = self.text[start:end]
            if not tex.strip() or BREAK in tex:
                return None
            if _is_balanced(tex):
                return (tex, False, end + 1) if self._is_dollar_formula(tex, end) else None
            position = end + 1
        return None

    def _is_dollar_formula(self, tex: str, end: int) -> bool:
        has_sign = _TEX_SIGN.search(tex) is not None
        if self.delimiters.dollars:
            return has_sign or len(_WORDS.findall(tex)) <= MAX_DOLLAR_WORDS
        if tex[0].isspace() or tex[-1].isspace() or self.text[end + 1 : end + 2].isdigit():
            return has_sign and self.delimiters.platform and len(_WORDS.findall(re.sub(r"\\[a-zA-Z]+", "", tex))) <= 4
        if has_sign:
            return len(_WORDS.findall(re.sub(r"\\[a-zA-Z]+(?:\{[^{}]*\})?", "", tex))) <= 6
        if not self.delimiters.platform and (tex[0].isdigit() or not _RELATION.search(tex)):
            return False
        return (
            _PLAIN_FORMULA.fullmatch(tex) is not None
            and _LETTER_OR_SIGN.search(tex) is not None
            and not _WORDS.search(tex)
        )

    def _wordpress(self, start: int) -> tuple[str, bool, int] | None:
        """WordPress's $latex ...$, perhaps with &s=2 at its end."""
        end = self._end("$", start)
        while end > 0 and self.text[end - 1] == "\\":
            end = self._end("$", end + 1)
        if end < 0 or end - start > MAX_INLINE_CHARS or BREAK in self.text[start:end]:
            return None
        tex = re.sub(r"&(?:s|bg|fg)=[0-9a-fA-F-]+", "", self.text[start:end])
        return (tex, False, end + 1) if tex.strip() else None

    def _backquote(self, start: int) -> tuple[str, bool, int] | None:
        end = self._end("`", start)
        if end < 0 or end - start > 2000 or not self.text[start:end].strip() or BREAK in self.text[start:end]:
            return None
        from proof_pile.sources.web.asciimath import asciimath_tex

        return asciimath_tex(self.text[start:end]), False, end + 1

    def _environment(self, match: re.Match[str]) -> tuple[str, bool, int] | None:
        name = match[1]
        if name not in _ENVIRONMENTS:
            return None
        closer = match[0].replace("begin", "end")
        end = self._end(closer, match.end())
        if end < 0 or end - match.start() > self.max_chars:
            return None
        after = end + len(closer)
        tex = self.text[match.start() : after]
        return (tex, True, after) if tex.count(BREAK) <= 4 * MAX_BREAKS else None


def _is_whole_dollar(tex: str) -> bool:
    """Whether it is a formula what stands between single dollars on a page that sets those up as delimiters."""
    if tex.count("{") != tex.count("}"):
        return False
    return "^" in tex or "_" in tex or _TEX_SIGN.search(tex) is not None or len(_WORDS.findall(tex)) <= MAX_DOLLAR_WORDS


def _is_balanced(tex: str) -> bool:
    if tex.count("{") == tex.count("}"):
        return True
    bare = tex.replace("\\\\", "").replace(r"\{", "").replace(r"\}", "")
    return bare.count("{") == bare.count("}")
