"""What normalized words read alike: the same problem in LaTeX, in Unicode and in plain ASCII.

Two tables for `llemma.core.text.normalized_words`.  Commands of LaTeX that only lay out text (\\frac, \\left) are no
words; those that stand for an operator (\\times) are that operator; all others (\\sqrt, \\pi) are the word that they
spell.  A character beyond ASCII is what it would be in ASCII: an accented letter without its accent, a typographic
quote nothing, a sign of mathematics the operator or the name of its LaTeX command.  All lists are ours.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

ONE_ARGUMENT, TWO_ARGUMENTS, ENVIRONMENT = 1, 2, 3
"""What follows a command: one or two digits that are arguments of their own (\\frac12), or {the name of a thing}."""

_LAYOUT = (
    "left right middle big bigg bigl bigr bigm biggl biggr biggm text textbf textit textrm textsf texttt textsc "
    "textup textnormal emph mbox hbox vbox mathrm mathbf mathit mathsf mathtt mathbb mathcal mathfrak mathscr "
    "boldsymbol bm pmb operatorname rm bf it sf tt cal displaystyle textstyle scriptstyle scriptscriptstyle "
    "limits nolimits quad qquad phantom hphantom vphantom boxed fbox ldots dots cdots dotsc dotsb dotsm dotso "
    "vdots ddots overline underline overrightarrow overleftarrow bar hat widehat vec tilde widetilde dot ddot "
    "over par noindent item hfill smallskip medskip bigskip newline linebreak strut mathstrut ensuremath "
    "underbrace overbrace cancel circ degree lfloor rfloor lceil rceil langle rangle lbrace rbrace lbrack rbrack "
    "mathop mathrel mathbin mathord displaylimits centering hline prime dollar textdollar div slash sim approx "
    "mid vert lvert rvert"
)
_MEANINGS = {
    "*": "times cdot ast bullet",
    "<=": "le leq leqslant leqq",
    ">=": "ge geq geqslant geqq",
    "<": "lt",
    ">": "gt",
    "<>": "ne neq",
    "+-": "pm",
    "-+": "mp",
    "=": "equiv",
    "->": "to rightarrow longrightarrow mapsto",
    "=>": "implies Rightarrow Longrightarrow",
    "%": "percent",
    " phi ": "varphi",
    " epsilon ": "varepsilon",
    " theta ": "vartheta",
    " emptyset ": "varnothing",
    " land ": "wedge",
    " lor ": "vee",
    " subset ": "subseteq",
    " neg ": "lnot",
}
_WITH_ARGUMENTS = {
    "frac": TWO_ARGUMENTS, "dfrac": TWO_ARGUMENTS, "tfrac": TWO_ARGUMENTS, "cfrac": TWO_ARGUMENTS,
    "begin": ENVIRONMENT, "end": ENVIRONMENT, "hspace": ENVIRONMENT, "vspace": ENVIRONMENT, "label": ENVIRONMENT,
    "color": ENVIRONMENT,
}  # fmt: skip

# Characters whose ASCII is not their Unicode decomposition. A space ends a word.
_SIGNS = {
    "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": " ", "\u00d7": "*",
    "\u00b7": "*", "\u22c5": "*", "\u2217": "*", "\u2219": "*", "\u2022": " ", "\u00f7": " ", "\u2215": " ",
    "\u2044": " ",
    "\u2264": "<=", "\u2a7d": "<=", "\u2265": ">=", "\u2a7e": ">=", "\u2260": "<>", "\u00b1": "+-", "\u2213": "-+",
    "\u2261": "=", "\u2192": "->", "\u27f6": "->", "\u21a6": "->",
    "\u21d2": "=>", "\u27f9": "=>", "\u2227": " land ", "\u221a": " sqrt ", "\u221e": " infty ", "\u2208": " in ",
    "\u2209": " notin ", "\u2220": " angle ", "\u25b3": " triangle ", "\u22a5": " perp ", "\u27c2": " perp ",
    "\u2225": " parallel ", "\u2245": " cong ", "\u222a": " cup ", "\u2229": " cap ", "\u2282": " subset ",
    "\u2286": " subset ", "\u2205": " emptyset ", "\u2200": " forall ", "\u2203": " exists ", "\u2228": " lor ",
    "\u00ac": " neg ", "\u222b": " int ", "\u2202": " partial ", "\u2207": " nabla ", "\u2211": " sum ",
    "\u220f": " prod ", "\u00b0": "^", "\u2032": " ", "\u2033": " ", "\u2218": " ", "\u2026": " ", "\u22ef": " ",
    "\u00ad": "", "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u00df": "ss", "\u00f8": "o",
    "\u00d8": "o", "\u0142": "l", "\u0141": "l", "\u00e6": "ae", "\u00c6": "ae", "\u0153": "oe", "\u0152": "oe",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
)
# Where a sign, a letter of a mathematical alphabet or an accented letter may stand; all else beyond ASCII is a letter.
_RANGES = (
    (0x80, 0x250), (0x300, 0x370), (0x391, 0x3CA), (0x3D0, 0x3F7), (0x1E00, 0x1F00), (0x2000, 0x2C00), (0x3000, 0x3004),
    (0xFB00, 0xFB07), (0xFE00, 0xFE10), (0xFEFF, 0xFF00), (0xFF01, 0xFF5F), (0x1D400, 0x1D800),
)  # fmt: skip
SUPERSCRIPT = "^"


def _ascii_of(character: str) -> str | None:
    """What a character is in ASCII, letters in lower case; None where it is a letter of its own."""
    if character in _SIGNS:
        return _SIGNS[character]
    point = ord(character)
    plain = unicodedata.normalize("NFKD", character)
    greek = plain.lower()
    if len(greek) == 1 and 0x3B1 <= ord(greek) <= 0x3C9:
        return f" {_GREEK.split()[ord(greek) - 0x3B1]} "
    if character in "\u03d5\u03f5\u03d1":
        return {"\u03d5": " phi ", "\u03f5": " epsilon ", "\u03d1": " theta "}[character]
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    if unicodedata.combining(character):
        return ""
    if kept.isascii() and kept != "":
        kept = kept.lower()
        if 0x2070 <= point < 0x2080 or character in "\u00b2\u00b3\u00b9":
            return SUPERSCRIPT + kept if kept.isdigit() else " " + kept
        if 0x2080 <= point < 0x20A0:
            return " " + kept
        if character in "\u2102\u210d\u2115\u2119\u211a\u211d\u2124":  # the sets of numbers, as \mathbb{R} is a word R
            return f" {kept} "
        return kept
    if "\u2044" in plain and plain.replace("\u2044", "").isascii():  # a fraction: one half is 1 2, as 1/2 is
        return " " + plain.replace("\u2044", " ") + " "
    return None if character.isalnum() else " "


@cache
def character_table() -> tuple[np.ndarray, np.ndarray]:
    """(codes uint16 [0x20000], texts uint8 [codes, 12]): codes[point] = 0 for a letter of its own, else the row of its
    ASCII in `texts`, ended by NUL.
    """
    codes = np.zeros(0x20000, np.uint16)
    rows: dict[str, int] = {}
    for first, stop in _RANGES:
        for point in range(first, stop):
            text = _ascii_of(chr(point))
            if text is not None:
                codes[point] = rows.setdefault(text[:11], len(rows) + 1)
    texts = np.zeros((len(rows) + 1, 12), np.uint8)
    for text, row in rows.items():
        texts[row, : len(text)] = np.frombuffer(text.encode("ascii"), np.uint8)
    return codes, texts


def commands() -> dict[str, tuple[str, int]]:
    """Lower-cased command of LaTeX -> (the ASCII that it stands for, what follows it)."""
    known: dict[str, tuple[str, int]] = dict.fromkeys(_LAYOUT.split(), ("", 0))
    known.update({name.lower(): (sign, 0) for sign, names in _MEANINGS.items() for name in names.split()})
    known.update({name: ("", kind) for name, kind in _WITH_ARGUMENTS.items()})
    return known
