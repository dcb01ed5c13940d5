"""Spelling made uniform before reading: a table of rules, each with its reason and origin.

Every rule is a function from text to text in linear time, and is skipped unless one of its marks is in the text.
No rule changes a value; rules that do (dropping units, say) belong to the published metrics in `published.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

_SUPERSCRIPTS = dict(
    zip(
        "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207f\u2071",
        "0123456789+-ni",
        strict=True,
    )
)
_SUBSCRIPTS = dict(zip("\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089", "0123456789", strict=True))
_FRACTIONS = {
    "\u00bd": (1, 2), "\u00bc": (1, 4), "\u00be": (3, 4), "\u2153": (1, 3), "\u2154": (2, 3), "\u2155": (1, 5),
    "\u2156": (2, 5), "\u2157": (3, 5), "\u2158": (4, 5), "\u2159": (1, 6), "\u215a": (5, 6), "\u215b": (1, 8),
    "\u215c": (3, 8), "\u215d": (5, 8), "\u215e": (7, 8), "\u2150": (1, 7), "\u2151": (1, 9), "\u2152": (1, 10),
}  # fmt: skip
_GREEK = {
    "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma", "\u03b4": "delta", "\u03b5": "epsilon",
    "\u03f5": "epsilon", "\u03b6": "zeta", "\u03b7": "eta", "\u03b8": "theta", "\u03b9": "iota", "\u03ba": "kappa",
    "\u03bb": "lambda", "\u03bc": "mu", "\u00b5": "mu", "\u03bd": "nu", "\u03be": "xi", "\u03c0": "pi",
    "\u03c1": "rho", "\u03c3": "sigma", "\u03c4": "tau", "\u03c5": "upsilon", "\u03c6": "phi", "\u03d5": "phi",
    "\u03c7": "chi", "\u03c8": "psi", "\u03c9": "omega", "\u0394": "Delta", "\u2206": "Delta", "\u0393": "Gamma",
    "\u0398": "Theta", "\u039b": "Lambda", "\u03a0": "Pi", "\u03a3": "Sigma", "\u03a6": "Phi", "\u03a8": "Psi",
    "\u03a9": "Omega",
}  # fmt: skip
_SIGNS = {
    "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\ufe63": "-",
    "\u00d7": "*", "\u22c5": "*", "\u00b7": "*", "\u2217": "*", "\u2022": "*", "\u2219": "*", "\u2062": "*",
    "\u00f7": "/", "\u2044": "/", "\u2215": "/", "\u2236": ":", "\u00b1": r"\pm ", "\u2213": r"\mp ",
    "\u2264": r"\le ", "\u2265": r"\ge ", "\u2a7d": r"\le ", "\u2a7e": r"\ge ", "\u2260": r"\ne ",
    "\u2248": r"\approx ", "\u2261": r"\equiv ", "\u2208": r"\in ", "\u2209": r"\notin ", "\u222a": r"\cup ",
    "\u2229": r"\cap ", "\u2216": r"\setminus ", "\u2205": r"\emptyset ", "\u00d8": r"\emptyset ",
    "\u221e": r"\infty ", "\u221a": r"\sqrt ", "\u221b": r"\sqrt[3]", "\u221c": r"\sqrt[4]", "\u00b0": r"^\circ ",
    "\u02da": r"^\circ ", "\u00ba": r"^\circ ", "\u2218": r"\circ ", "\u2211": r"\sum ", "\u220f": r"\prod ",
    "\u20ac": r"\text{ euros }", "\u00a5": r"\text{ yen }", "\u00a3": r"\text{ gbp }", "\u00a2": r"\text{ cents }",
    "\u222b": r"\int ", "\u2032": "'", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2033": "''",
    "\u27e8": r"\langle ", "\u27e9": r"\rangle ", "\u2329": r"\langle ", "\u232a": r"\rangle ", "\u230a": r"\lfloor ",
    "\u230b": r"\rfloor ", "\u2308": r"\lceil ", "\u2309": r"\rceil ", "\u2228": r"\lor ", "\u2227": r"\land ",
    "\u2192": r"\to ", "\u21d2": r"\implies ", "\u2026": r"\ldots ", "\u22ef": r"\ldots ", "\u211d": r"\mathbb{R}",
    "\u2124": r"\mathbb{Z}", "\u2115": r"\mathbb{N}", "\u211a": r"\mathbb{Q}", "\u2102": r"\mathbb{C}",
    "\u2223": "|", "\u2016": r"\|", "\u2061": "", "\u200b": "", "\u200c": "", "\u200d": "", "\ufeff": "",
    "\u2009": r"\,", "\u202f": r"\,", "\u00a0": " ", "\u3000": " ", "\uff0c": ",", "\u3001": ",", "\uff08": "(",
    "\uff09": ")", "\u2220": "", "\u25b3": "", "\u00ac": r"\neg ", "\u2113": r"\ell ", "\u212f": "e", "\u2148": "i",
}  # fmt: skip
_TABLE = str.maketrans(
    {
        **_SIGNS,
        **{sign: f"\\{name} " for sign, name in _GREEK.items()},
        **{sign: f"\\frac{{{n}}}{{{d}}}" for sign, (n, d) in _FRACTIONS.items()},
    }
)
_RAISED = re.compile("[" + "".join(_SUPERSCRIPTS) + "]+")
_LOWERED = re.compile("[" + "".join(_SUBSCRIPTS) + "]+")
_ROOT_SIGN = re.compile(r"\\sqrt ([0-9.]+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_BRACKET_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")  # not the bracket after a line break, as in \\\\[2pt]
_BACKSLASHES = re.compile(r"\\+")
_ABBREVIATION = re.compile(r"(?<=[A-Za-z])\.(?=[ }]|$)")
_TIMES_TEN = re.compile(r"(?<=[\d ])[xX] ?(?=10 ?(?:\^|\*\*))")
_DOUBLED_COMMAND = re.compile(r"\\\\[A-Za-z]{2}")
_ENDS = " \t\r\n"
_PHRASE = re.compile(
    r"(?:\\text\s*\{\s*)?(?:so,? |thus,? |hence,? |therefore,? )?(?:the )?(?:final )?answer(?: is| is:|:)"
    r"\s*(?:\}\s*)?(?=\S)",
    re.IGNORECASE,
)
_COLOR = re.compile(r"\\(?:text)?color\s{0,3}(?:\[[A-Za-z]{1,20}\])?\s{0,3}\{[^{}]{0,40}\}")
_CHOICE = re.compile(r"(?:(?:option|choice|answer) \(?([A-J])\)?|([A-J])\))", re.IGNORECASE)
_UPRIGHT = r"\\(?:text|mathrm|textrm|mbox)\s*\{\s*(?:st|nd|rd|th)\s*\}"
_ORDINAL = re.compile(
    rf"(\d{{1,30}})\s*(?:st|nd|rd|th|\^\s*(?:\{{\s*(?:{_UPRIGHT}|st|nd|rd|th)\s*\}}|{_UPRIGHT})|{_UPRIGHT})"
)
_FRENCH = re.compile(r"(?:\\left\s*)?([\[\]])([^\[\]]*)(?:\\right\s*)?([\[\]])")
_MINUS_NOTHING = re.compile(r"-0,\d{1,30}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One spelling rule: applied when any of `marks` is in the text (always when there are none)."""

    name: str
    origin: str
    marks: tuple[str, ...]
    apply: Callable[[str], str]


def _unicode(text: str) -> str:
    if text.isascii():
        return text
    text = _RAISED.sub(lambda run: "^{" + "".join(_SUPERSCRIPTS[sign] for sign in run[0]) + "}", text)
    text = _LOWERED.sub(lambda run: "_{" + "".join(_SUBSCRIPTS[sign] for sign in run[0]) + "}", text)
    text = text.translate(_TABLE)
    text = _ROOT_SIGN.sub(r"\\sqrt{\1}", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_TABLE)
    return text


def _doubled_backslashes(text: str) -> str:
    """Halved where every run of backslashes is even and one comes before a letter: the text was escaped twice."""
    if not _DOUBLED_COMMAND.search(text):
        return text
    runs = _BACKSLASHES.findall(text)
    if any(len(run) % 2 for run in runs):  # partly: no line break can stand outside an environment
        return text if "\\begin" in text else _DOUBLED_COMMAND.sub(lambda run: run[0][1:], text)
    return _BACKSLASHES.sub(lambda run: run[0][: len(run[0]) // 2], text)


def _control_characters(text: str) -> str:
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def _delimiters(text: str) -> str:
    """Math delimiters go; a single dollar before a digit stays as money."""
    text = _BRACKET_DELIMITER.sub(" ", text)
    if "$" in text and (text.count("$") - text.count("\\$")) % 2 == 0:
        return _without_bare_dollars(text)
    return text


def _without_bare_dollars(text: str) -> str:
    return text.replace("\\$", "\x00").replace("$", " ").replace("\x00", "\\$")


def _markdown(text: str) -> str:
    inner = text[2:-2]
    return inner if text.startswith("**") and text.endswith("**") and "**" not in inner and inner else text


def _box(text: str) -> str:
    """The content of a box that is the whole text."""
    stripped = text.strip(_ENDS + ".")
    if not stripped.startswith(("\\boxed{", "\\fbox{")) or not stripped.endswith("}"):
        return text
    depth = 0
    for place, character in enumerate(stripped):
        depth += (character == "{") - (character == "}")
        if not depth and character == "}":
            return stripped[stripped.index("{") + 1 : -1] if place == len(stripped) - 1 else text
    return text


def _quotes(text: str) -> str:
    stripped = text.strip(_ENDS)
    inner = stripped[1:-1].strip(_ENDS)
    is_quoted = len(stripped) > 2 and stripped[0] == stripped[-1] and stripped[0] in "\"'`" and stripped[0] not in inner
    return inner if is_quoted else text


def _phrase(text: str) -> str:
    match = _PHRASE.match(text.lstrip(_ENDS)[:80])
    if match is None:
        return text
    rest = text.lstrip(_ENDS)[match.end() :]
    return rest if match[0].count("{") == match[0].count("}") else rest.replace("}", "", 1)


def _choice(text: str) -> str:
    match = _CHOICE.fullmatch(text.strip(_ENDS))
    return (match[1] or match[2]).upper() if match else text


def _ordinal(text: str) -> str:
    match = _ORDINAL.fullmatch(text.strip(_ENDS))
    return match[1] + r"\text{ th}" if match else text


def _french_brackets(text: str) -> str:
    """]1, 2[ is (1, 2), where the whole text is such intervals."""
    stripped = text.strip(_ENDS)
    if not (stripped.removeprefix("\\left").lstrip().startswith("]") or stripped.endswith("[")):
        return text
    return _FRENCH.sub(lambda m: ("[" if m[1] == "[" else "(") + m[2] + ("]" if m[3] == "]" else ")"), stripped)


def _abbreviations(text: str) -> str:
    for spelling in ("a.m.", "p.m.", "A.M.", "P.M."):
        text = text.replace(spelling, spelling.replace(".", "").lower())
    return _ABBREVIATION.sub("", text)


def _ends(text: str) -> str:
    """White space and sentence punctuation at the ends."""
    text = text.strip(_ENDS)
    if text.endswith("\\"):  # a line break, or a space that strip has cut in two
        text = text.rstrip("\\ ")
    while text and text[-1] in ".,;:" and not text.endswith(("...", "\\,", "\\;", "\\:", "\\.")):
        text = text[:-1].rstrip(_ENDS)
    return text


RULES: tuple[Rule, ...] = (
    Rule(
        "control characters",
        "chosen by us: they are invisible, and JSON carries them",
        (),
        _control_characters,
    ),
    Rule(
        "doubled backslashes",
        "JSON escaped twice, as in the peers' own test cases",
        ("\\\\",),
        _doubled_backslashes,
    ),
    Rule("unicode to LaTeX", "Unicode's mathematical operators; answers of chat models", (), _unicode),
    Rule(
        "math delimiters",
        "LaTeX: $...$, \\(...\\), \\[...\\]; a lone $ is money",
        ("$", "\\(", "\\["),
        _delimiters,
    ),
    Rule("bold markdown", "answers of chat models", ("**",), lambda text: _markdown(text.strip(_ENDS))),
    Rule("abbreviations", "a.m., sq. ft.: a full stop after a letter is no mathematics", (".",), _abbreviations),
    Rule(
        "x before a power of ten",
        "plain text: 4.5 x 10^3",
        ("x", "X"),
        lambda text: _TIMES_TEN.sub("*", text),
    ),
    Rule("box", "MATH: the answer stands in \\boxed{}", ("box",), _box),
    Rule("per cent", "British spelling", ("per cent",), lambda text: text.replace("per cent", "percent")),
    Rule("quotation marks", "answers of chat models", ('"', "'", "`"), _quotes),
    Rule("answer phrase", "answers of chat models", ("nswer",), _phrase),
    Rule("colour", "xcolor: it tells nothing", ("color",), lambda text: _COLOR.sub(" ", text)),
    Rule("choice", "multiple choice: B), option B", (")", "ption", "hoice", "nswer"), _choice),
    Rule("ordinal", "English: 5th, 21st", ("th", "st", "nd", "rd"), _ordinal),
    Rule("French brackets", "ISO 80000-2: ]a, b[ is (a, b)", ("]", "["), _french_brackets),
    Rule(
        "decimal comma after minus nothing",
        "-0,5 cannot be a list: nobody writes -0",
        ("-0,",),
        lambda text: text.replace(",", ".") if _MINUS_NOTHING.fullmatch(text.strip(_ENDS)) else text,
    ),
    Rule("ends", "a full stop ends a sentence, not an answer", (), _ends),
)


def clean(text: str) -> str:
    """The text in one spelling."""
    for rule in RULES:
        if not rule.marks or any(mark in text for mark in rule.marks):
            text = rule.apply(text)
    return text
