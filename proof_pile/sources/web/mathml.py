"""MathML to LaTeX, straight from the markup of a <math> element: its TeX annotation, its alttext, or converted.

The converter is a stack machine over the element's tags, so that neither nesting nor length can hurt it: presentation
MathML is handled here, content MathML in `content_mathml`.  Source of the element set: W3C MathML 3, chapters 3 and 4.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from typing import NamedTuple

from proof_pile.sources.web.equations import clean_tex, unwrap_displaystyle
from proof_pile.sources.web.symbols import ACCENTS, FENCES, FONTS, FUNCTIONS, INVISIBLE, SYMBOLS

MAX_DEPTH = 100  # chosen by us: real formulas stay below 30
MAX_MARKUP_CHARS = 500_000  # chosen by us: a longer formula is read as text

_ANNOTATION = re.compile(
    r"<(?:[a-z]+:)?annotation\b[^>]*\bencoding\s*=\s*[\"']?(?:application/x-tex|text/x-tex|tex|latex|"
    r"application/x-latex|text/x-latex|LaTeXMathML)\b[^>]*>([^<]*)",
    re.IGNORECASE,
)
_USUAL_ANNOTATION = '<annotation encoding="application/x-tex">'  # as KaTeX, MediaWiki and LaTeXML write it
_ALTTEXT = re.compile(r"""\balttext\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_DATA_LATEX = re.compile(r"""\bdata-latex\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_DISPLAY = re.compile(r"""\b(?:display\s*=\s*["']?block|mode\s*=\s*["']?display)""", re.IGNORECASE)
_WORDY = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,}){2}")
_TEX_SIGN = re.compile(r"\\[a-zA-Z]|[\^_{}]")
_TOKEN = re.compile(
    r"<(?:[a-z]+:)?(mi|mn|mo|ms|mtext|ci|cn)\b([^>]*[^>/]|)>([^<]*)</(?:[a-z]+:)?\1\s*>"
    r"|<(/?)(?:[a-z]+:)?([a-zA-Z-]+)([^>]*)>|([^<]+)|<",
)
_PRESENTATION = re.compile(r"<(?:[a-z]+:)?m(?:i|n|o|row)\b")
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LIMIT_WORDS = re.compile(r"\\(?:lim|max|min|sup|inf|limsup|liminf|det|gcd|Pr|arg)|\\operatorname\{arg ?(?:max|min)\}")
_BIG = frozenset([
    r"\sum", r"\prod", r"\coprod", r"\int", r"\iint", r"\iiint", r"\oint", r"\bigcup", r"\bigcap", r"\bigoplus",
    r"\bigotimes", r"\bigvee", r"\bigwedge", r"\bigsqcup", r"\biguplus", r"\bigodot", r"\oiint",
])  # fmt: skip
_FENCED_TABLES = {("(", ")"): "pmatrix", ("[", "]"): "bmatrix", ("|", "|"): "vmatrix", (r"\|", r"\|"): "Vmatrix",
                  (r"\{", ""): "cases", (r"\{", r"\}"): "Bmatrix", (r"\mid", r"\mid"): "vmatrix"}  # fmt: skip
_ENCLOSED = {"box": r"\boxed", "roundedbox": r"\boxed", "circle": r"\boxed", "updiagonalstrike": r"\cancel",
             "downdiagonalstrike": r"\bcancel", "horizontalstrike": r"\cancel", "top": r"\overline",
             "bottom": r"\underline", "radical": r"\sqrt", "actuarial": r"\overline"}  # fmt: skip
_IGNORED = frozenset(["annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark", "mprescripts_"])


class TooDeepError(ValueError):
    """Raised for a formula nested deeper than MAX_DEPTH."""


class Item(NamedTuple):
    """A converted element: its TeX and the element that it was."""

    tex: str
    name: str


class _Open(NamedTuple):
    name: str
    attributes: str
    start: int


def math_markup_tex(markup: str) -> tuple[str, bool] | None:
    """TeX of the markup of a <math> element and whether it is displayed; None where nothing is left of it."""
    if len(markup) > MAX_MARKUP_CHARS:
        return None
    return _cached_tex(markup) if len(markup) <= 4000 else _tex(markup)


def _tex(markup: str) -> tuple[str, bool] | None:
    head = markup[: markup.find(">") + 1]
    display = 'display="block"' in head or ("isplay" in head and _DISPLAY.search(head) is not None)
    tex = ""
    annotation = markup.find("annotation")
    if annotation >= 0:
        if markup.startswith(_USUAL_ANNOTATION, annotation - 1):
            start = annotation - 1 + len(_USUAL_ANNOTATION)
            end = markup.find("<", start)
            tex = markup[start : end if end >= 0 else len(markup)]
        else:
            found = _ANNOTATION.search(markup)
            tex = found[1] if found else ""
        tex = unwrap_displaystyle(clean_tex(unescape(tex) if "&" in tex else tex))
    if not tex and "data-latex" in markup:
        latex = _DATA_LATEX.search(head) or _DATA_LATEX.search(markup)
        tex = clean_tex(unescape(latex[1] or latex[2] or "")) if latex else ""
    if not tex and "alttext" in head:
        alttext = _ALTTEXT.search(head)
        text = unescape(alttext[1] or alttext[2] or "") if alttext else ""
        if _TEX_SIGN.search(text) or not _WORDY.search(text):
            tex = unwrap_displaystyle(clean_tex(text))
    if not tex:
        try:
            tex = convert(markup)
        except TooDeepError:
            tex = " ".join(unescape(re.sub(r"<[^>]*>", " ", markup[:20_000])).split())[:2000]
    return (tex, display) if tex else None


_cached_tex = lru_cache(maxsize=20_000)(_tex)


def convert(markup: str) -> str:
    """The TeX of presentation or content MathML.  Raises TooDeepError."""
    if "<apply" in markup or ":apply" in markup:
        from proof_pile.sources.web.content_mathml import convert_content

        content = convert_content(markup)
        if content and not _PRESENTATION.search(markup):
            return content
    stack = [_Open("math", "", 0)]
    items: list[Item] = []
    for match in _TOKEN.finditer(markup):
        which = match.lastindex
        if which == 3:
            item = _leaf(match[1], match[2], match[3])
            if item.tex:
                items.append(item)
            elif stack[-1].name in _ARITY:
                items.append(item)  # an empty base holds its place
        elif which == 6:
            name = match[5].lower()
            if match[4]:
                _close(name, stack, items)
            elif match[6].endswith("/"):
                empty = _empty(name, match[6])
                if empty is not None:
                    items.append(empty)
            else:
                if len(stack) > MAX_DEPTH:
                    raise TooDeepError(f"formula nested deeper than {MAX_DEPTH}")
                stack.append(_Open(name, match[6], len(items)))
        elif which == 7 and not match[7].isspace() and stack[-1].name not in _IGNORED:
            items.append(Item(_symbols(unescape(match[7]).strip()), "mtext"))
    while len(stack) > 1:
        _close(stack[-1].name, stack, items)
    return " ".join(_row(items).split())


def _empty(name: str, attributes: str) -> Item | None:
    if name == "mspace":
        return _space(attributes)
    if name == "mprescripts":
        return Item("", "mprescripts")
    if name in ("none", "mrow", "mi", "mn", "mo", "mtext", "mtd"):
        return Item("", name)
    return None


def _close(name: str, stack: list[_Open], items: list[Item]) -> None:
    """Ends the innermost open element of the name, and what is still open inside it."""
    if name not in (frame.name for frame in stack[1:]):
        return
    while len(stack) > 1:
        frame = stack.pop()
        children = items[frame.start :]
        del items[frame.start :]
        item = _element(frame.name, frame.attributes, children)
        if item is not None:
            items.append(item)
        if frame.name == name:
            return


@lru_cache(maxsize=20_000)
def _leaf(name: str, attributes: str, raw: str) -> Item:
    text = unescape(raw) if "&" in raw else raw
    if name in ("mtext", "ms"):
        text = text.replace("\u00a0", " ")
        if not text.strip():
            return Item("\\ " if text else "", name)
        if len(text.strip()) == 1 and text.strip() in SYMBOLS:
            return Item(_symbols(text), name)
        return Item(r"\text{" + _text(text) + "}", name)
    text = text.strip()
    if name in ("mi", "ci"):
        return Item(_identifier(text, attributes), "mi")
    if name == "mo" and text in FUNCTIONS:
        return Item("\\" + text, name)
    return Item(_symbols(text), "mn" if name == "cn" else name)


def _text(text: str) -> str:
    return "".join(SYMBOLS[c] if c in "{}%#&$" else c for c in " ".join(f"|{text}|".split())[1:-1])


def _attribute(attributes: str, name: str) -> str | None:
    if name not in attributes:
        return None
    for match in _ATTRIBUTE.finditer(attributes):
        if match[1] == name:
            return unescape(match[2] if match[2] is not None else match[3])
    return None


def _identifier(text: str, attributes: str) -> str:
    font = FONTS.get((_attribute(attributes, "mathvariant") or "").lower())
    if text in FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isascii() and text.replace(" ", "").isalpha() and font is None:
        return r"\operatorname{" + text + "}"
    body = _symbols(text)
    return f"{font}{{{body}}}" if font and body else body


def _symbols(text: str) -> str:
    out = []
    for char in text:
        if char in INVISIBLE:
            continue
        symbol = SYMBOLS.get(char, char)
        out.append(symbol + " " if symbol[:1] == "\\" and symbol[-1:].isalpha() else symbol)
    return "".join(out).strip()


def _space(attributes: str) -> Item | None:
    if _attribute(attributes, "linebreak") == "newline":
        return Item(r"\\", "mspace")
    match = re.match(r"\s*([0-9.]{1,6})\s*(em|ex|px|pt)?", _attribute(attributes, "width") or "")
    if not match:
        return None
    try:
        width = float(match[1]) * {"em": 1, "ex": 0.5, "px": 1 / 16, "pt": 1 / 12}.get(match[2] or "em", 1)
    except ValueError:
        return None
    return Item(r"\qquad", "mspace") if width >= 1.9 else Item(r"\quad", "mspace") if width >= 0.9 else None


_ARITY = {"mfrac": 2, "mroot": 2, "msup": 2, "msub": 2, "msubsup": 3, "mover": 2, "munder": 2, "munderover": 3}


def _element(name: str, attributes: str, children: list[Item]) -> Item | None:
    if name in _IGNORED:
        return None
    if name in _ARITY:
        if len(children) == _ARITY[name]:
            return Item(_scripted(name, attributes, children), name)
        return _grouped(children)
    if name in ("semantics", "maction"):
        return children[0] if children else None
    if name == "mfenced":
        return Item(_fenced(attributes, children), name)
    if name in ("mtr", "mlabeledtr"):
        cells = children[1:] if name == "mlabeledtr" else children
        return Item(" & ".join(cell.tex for cell in cells), "mtr")
    if name == "mtd":
        return Item(_row(children), name)
    if name == "mtable":
        rows = [child.tex for child in children]
        return Item(r"\begin{matrix} " + r" \\ ".join(rows) + r" \end{matrix}", name) if rows else None
    if name == "msqrt":
        return Item(r"\sqrt{" + _row(children) + "}", name)
    if name == "menclose":
        return Item(_enclosed(attributes, children), name)
    if name == "mmultiscripts":
        return Item(_multiscripts(children), name)
    if name == "mspace":
        return _space(attributes)
    if name == "mprescripts":
        return Item("", "mprescripts")
    if name in ("mi", "mn", "mo", "mtext", "ms"):  # a leaf with markup in it
        return Item(_row(children), name) if children else None
    return _grouped(children) if children or name in ("none", "mrow") else None


def _grouped(children: list[Item]) -> Item:
    if len(children) == 1:
        return children[0]
    return Item(_row(children), "mrow")


def _row(children: list[Item]) -> str:
    """The children side by side; a table between fences becomes the matrix of that kind."""
    if len(children) > 1 and any(child.name == "mtable" for child in children):
        children = _with_fences(children)
    text = " ".join(child.tex for child in children if child.tex)
    if "(" in text or "," in text or "[" in text or ")" in text:
        text = text.replace("( ", "(").replace(" )", ")").replace(" ,", ",").replace("[ ", "[").replace(" ]", "]")
        text = text.replace(r"\left(", r"\left( ").replace(r"\left[", r"\left[ ")
        text = text.replace(r"\right)", r" \right)").replace("\\ ,", "\\ ,")
    return text


def _with_fences(children: list[Item]) -> list[Item]:
    out: list[Item] = []
    position = 0
    while position < len(children):
        child = children[position]
        if child.name == "mtable" and out and out[-1].name == "mo":
            after = children[position + 1] if position + 1 < len(children) else Item("", "")
            closing = after.tex if after.name == "mo" else ""
            kind = _FENCED_TABLES.get((out[-1].tex, closing))
            if kind is None and out[-1].tex == r"\{":
                kind, closing = "cases", ""
            if kind:
                out.pop()
                body = child.tex.removeprefix(r"\begin{matrix}").removesuffix(r"\end{matrix}")
                out.append(Item(rf"\begin{{{kind}}}{body}\end{{{kind}}}", "mtable"))
                position += 2 if closing else 1
                continue
        out.append(child)
        position += 1
    return out


def _fenced(attributes: str, children: list[Item]) -> str:
    left, right = _attribute(attributes, "open"), _attribute(attributes, "close")
    left = "(" if left is None else left.strip()
    right = ")" if right is None else right.strip()
    if len(children) == 1 and children[0].name == "mtable":
        kind = _FENCED_TABLES.get((SYMBOLS.get(left, left), SYMBOLS.get(right, right)))
        if kind:
            body = children[0].tex.removeprefix(r"\begin{matrix}").removesuffix(r"\end{matrix}")
            return rf"\begin{{{kind}}}{body}\end{{{kind}}}"
    given = _attribute(attributes, "separators")
    separators = "".join((given if given is not None else ",").split())
    joined = children[0].tex if children else ""
    for number, item in enumerate(children[1:]):
        joined += (_symbols(separators[min(number, len(separators) - 1)]) if separators else "") + " " + item.tex
    return rf"\left{_fence(left)} {joined} \right{_fence(right)}"


def _fence(char: str) -> str:
    return FENCES.get(char) or SYMBOLS.get(char) or (char if len(char) == 1 and not char.isalnum() else ".")


def _enclosed(attributes: str, children: list[Item]) -> str:
    inner = _row(children)
    notation = (_attribute(attributes, "notation") or "longdiv").split()
    for word in notation:
        if word in _ENCLOSED:
            return f"{_ENCLOSED[word]}{{{inner}}}"
    return rf"\overline{{){inner}}}" if "longdiv" in notation else inner


def _multiscripts(children: list[Item]) -> str:
    if not children:
        return ""
    names = [child.name for child in children]
    middle = names.index("mprescripts") if "mprescripts" in names else len(children)
    after, before = children[1:middle], children[middle + 1 :]
    left = "".join(_pair(before[n : n + 2]) for n in range(0, len(before), 2))
    right = "".join(_pair(after[n : n + 2]) for n in range(0, len(after), 2))
    return (f"{{}}{left} " if left else "") + _base(children[0]) + right


def _pair(scripts: list[Item]) -> str:
    sub = f"_{{{scripts[0].tex}}}" if scripts and scripts[0].tex else ""
    sup = f"^{{{scripts[1].tex}}}" if len(scripts) > 1 and scripts[1].tex else ""
    return sub + sup


def _base(item: Item) -> str:
    """A base of a script: braced unless it is one symbol or stands in parentheses."""
    tex = item.tex
    if not tex:
        return "{}"
    if item.name in ("mi", "mn", "mo", "mtext", "mfenced", "mfrac_") or len(tex) == 1:
        return tex
    if tex[0] == "(" and tex[-1] == ")" and tex.count("(") == 1:
        return tex
    return tex if tex[0] == "\\" and tex[1:].isalpha() else "{" + tex + "}"


def _scripted(tag: str, attributes: str, children: list[Item]) -> str:
    first, second = children[0], children[1]
    if tag == "mfrac":
        if (_attribute(attributes, "linethickness") or "").rstrip("ptemx% ") in ("0", "0.0"):
            return rf"\binom{{{first.tex}}}{{{second.tex}}}"
        return rf"\frac{{{first.tex}}}{{{second.tex}}}"
    if tag == "mroot":
        return rf"\sqrt[{second.tex}]{{{first.tex}}}"
    if tag in ("mover", "munder", "munderover"):
        return _limits(tag, children)
    if tag == "msup":
        if second.tex and not second.tex.strip("'"):
            return _base(first) + second.tex
        if second.tex == r"\prime":
            return _base(first) + "'"
        base = first.tex if first.name == "msub" else _base(first)
        return f"{base}^{{{second.tex}}}" if second.tex else base
    if tag == "msub":
        return f"{_base(first)}_{{{second.tex}}}" if second.tex else _base(first)
    return _base(first) + _pair(children[1:])


_OVER_ACCENTS = {r"\to": r"\vec", "-": r"\overline", r"\overline": r"\overline", ".": r"\dot", r"\leftarrow":
                 r"\overleftarrow", r"\leftrightarrow": r"\overleftrightarrow", "..": r"\ddot"}  # fmt: skip
_UNDER_ACCENTS = {"_": r"\underline", r"\_": r"\underline", "¯": r"\underline", "‾": r"\underline", "̲": r"\underline",
                  "⏟": r"\underbrace", "-": r"\underline", "~": r"\utilde"}  # fmt: skip


def _limits(tag: str, children: list[Item]) -> str:
    base, first = children[0], children[1]
    if tag == "mover" and first.name == "mo":
        accent = ACCENTS.get(first.tex) or _OVER_ACCENTS.get(first.tex)
        if accent:
            if len(base.tex) > 2 and base.name not in ("mi", "mn", "mo"):
                accent = {r"\hat": r"\widehat", r"\tilde": r"\widetilde", r"\vec": r"\overrightarrow"}.get(
                    accent, accent
                )
            return f"{accent}{{{base.tex}}}"
    if tag == "munder" and first.name == "mo" and first.tex in _UNDER_ACCENTS:
        return f"{_UNDER_ACCENTS[first.tex]}{{{base.tex}}}"
    takes_limits = (
        base.tex in _BIG
        or _LIMIT_WORDS.match(base.tex) is not None
        or base.tex.startswith((r"\underbrace", r"\overbrace", r"\operatorname"))
    )
    if tag == "munderover":
        over = children[2]
        if (not takes_limits and base.name == "mo" and base.tex.endswith("arrow")) or base.tex == r"\to":
            return rf"\xrightarrow[{first.tex}]{{{over.tex}}}"
        return (
            base.tex + _pair([first, over]) if takes_limits or base.name == "mo" else _base(base) + _pair([first, over])
        )
    if takes_limits:
        return base.tex + (f"_{{{first.tex}}}" if tag == "munder" else f"^{{{first.tex}}}")
    if not first.tex:
        return base.tex
    if base.tex in (r"\to", r"\rightarrow", r"\longrightarrow") and tag == "mover":
        return rf"\xrightarrow{{{first.tex}}}"
    return rf"\{'overset' if tag == 'mover' else 'underset'}{{{first.tex}}}{{{base.tex}}}"
