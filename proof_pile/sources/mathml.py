"""MathML to LaTeX: a small converter of presentation MathML, for pages that carry no TeX of their own.

Works on any node with `tag`, `attributes`, `text(deep=...)` and `iter()` (selectolax's).  Source of the
element set: W3C MathML Core and MathML 3, chapter 3.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 60  # chosen by us: real formulas stay below 30


class TooDeepError(ValueError):
    """Raised for a formula nested deeper than MAX_DEPTH."""


SYMBOLS: dict[str, str] = {
    "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "≅": r"\cong",
    "∝": r"\propto",
    "×": r"\times", "·": r"\cdot", "⋅": r"\cdot", "÷": r"\div", "±": r"\pm", "∓": r"\mp", "∘": r"\circ", "⊕": r"\oplus",
    "⊗": r"\otimes", "∗": "*", "−": "-", "∈": r"\in", "∉": r"\notin", "∋": r"\ni", "⊂": r"\subset", "⊆": r"\subseteq",
    "⊃": r"\supset", "⊇": r"\supseteq", "∪": r"\cup", "∩": r"\cap", "∖": r"\setminus", "∅": r"\emptyset",
    "∀": r"\forall",
    "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee", "→": r"\to", "←": r"\leftarrow",
    "↔": r"\leftrightarrow",
    "⇒": r"\Rightarrow", "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow", "↦": r"\mapsto", "∞": r"\infty", "∂": r"\partial",
    "∇": r"\nabla", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∬": r"\iint", "∮": r"\oint", "√": r"\surd",
    "∠": r"\angle",
    "⊥": r"\perp", "∥": r"\parallel", "∣": r"\mid", "…": r"\dots", "⋯": r"\cdots", "⋮": r"\vdots", "⋱": r"\ddots",
    "′": "'", "″": "''", "ℓ": r"\ell", "ℏ": r"\hbar", "ℜ": r"\Re", "ℑ": r"\Im", "ℵ": r"\aleph", "⟨": r"\langle",
    "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|", "{": r"\{",
    "}": r"\}",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "ϵ": r"\epsilon", "ζ": r"\zeta",
    "η": r"\eta", "θ": r"\theta", "ϑ": r"\vartheta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu",
    "ν": r"\nu", "ξ": r"\xi", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "ς": r"\varsigma", "τ": r"\tau",
    "υ": r"\upsilon", "φ": r"\varphi", "ϕ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma",
    "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon",
    "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega", "ℕ": r"\mathbb{N}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}",
    "ℝ": r"\mathbb{R}", "ℂ": r"\mathbb{C}", "ℙ": r"\mathbb{P}", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$",
}  # fmt: skip
INVISIBLE = "\u2061\u2062\u2063\u2064\u200b"
FUNCTIONS = frozenset(
    [
        "arccos",
        "arcsin",
        "arctan",
        "arg",
        "cos",
        "cosh",
        "cot",
        "csc",
        "deg",
        "det",
        "dim",
        "exp",
        "gcd",
        "hom",
        "inf",
        "ker",
        "lim",
        "liminf",
        "limsup",
        "ln",
        "log",
        "max",
        "min",
        "mod",
        "Pr",
        "sec",
        "sin",
        "sinh",
        "sup",
        "tan",
        "tanh",
    ]
)
ACCENTS = {
    "^": r"\hat", "ˆ": r"\hat", "~": r"\tilde", "˜": r"\tilde", "¯": r"\overline", "‾": r"\overline",
    "_": r"\underline",
    "→": r"\vec", "⃗": r"\vec", "˙": r"\dot", "¨": r"\ddot", "⏞": r"\overbrace", "⏟": r"\underbrace",
}  # fmt: skip
FONTS = {
    "bold": r"\mathbf", "double-struck": r"\mathbb", "script": r"\mathcal", "fraktur": r"\mathfrak",
    "sans-serif": r"\mathsf", "monospace": r"\mathtt", "bold-italic": r"\boldsymbol",
}  # fmt: skip
FENCES = {"(": "(", ")": ")", "[": "[", "]": "]", "|": "|", "∣": "|", "{": r"\{", "}": r"\}", "⟨": r"\langle",
          "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "": "."}  # fmt: skip


def math_element_tex(node: Any) -> str:
    """The TeX of a <math> element: its TeX annotation, else its alttext, else converted; "" where nothing is left.

    Raises TooDeepError for a formula nested deeper than MAX_DEPTH.
    """
    annotation = tex_annotation(node)
    if annotation:
        return annotation
    alttext = (node.attributes.get("alttext") or "").strip()
    if alttext:
        return unwrap_displaystyle(alttext)
    return " ".join(_row(_children(node), 0).split())


def tex_annotation(node: Any) -> str:
    """The text of the first annotation in TeX below the node, or ""."""
    for found in node.css("annotation"):
        if (found.attributes.get("encoding") or "").lower() in (
            "application/x-tex",
            "tex",
            "latex",
            "application/x-latex",
        ):
            return unwrap_displaystyle((found.text(deep=True) or "").strip())
    return ""


def unwrap_displaystyle(tex: str) -> str:
    r"""The formula without the `{\displaystyle ...}` that wikis put around it."""
    if tex.startswith(r"{\displaystyle") and tex.endswith("}"):
        inner = tex[len(r"{\displaystyle") : -1].strip()
        depth = 0
        for char in inner:
            depth += (char == "{") - (char == "}")
            if depth < 0:
                return tex
        return inner
    return tex


def _children(node: Any) -> list[Any]:
    return list(node.iter(include_text=False))


def _row(nodes: list[Any], depth: int) -> str:
    return " ".join(part for part in (_convert(node, depth + 1) for node in nodes) if part)


def _group(node: Any, depth: int) -> str:
    return "{" + _convert(node, depth) + "}"


def _base(node: Any, depth: int) -> str:
    """A base of a script: braced unless it is one symbol."""
    text = _convert(node, depth)
    single = len(text) <= 1 or text in SYMBOLS.values() or (text.startswith("\\") and text[1:].isalpha())
    return text if single or node.tag in ("mi", "mn", "mo") else "{" + text + "}"


def _symbols(text: str) -> str:
    out = []
    for char in text:
        if char in INVISIBLE:
            continue
        symbol = SYMBOLS.get(char, char)
        out.append(symbol + " " if symbol[:1] == "\\" and symbol[-1:].isalpha() else symbol)
    return "".join(out).strip()


def _identifier(node: Any) -> str:
    text = (node.text(deep=True) or "").strip()
    font = FONTS.get((node.attributes.get("mathvariant") or "").lower())
    if text in FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isascii() and text.isalpha() and font is None:
        return r"\operatorname{" + text + "}"
    body = _symbols(text)
    return f"{font}{{{body}}}" if font and body else body


def _table(node: Any, depth: int) -> str:
    rows = []
    for row in _children(node):
        cells = [cell for cell in _children(row) if cell.tag == "mtd"] if row.tag in ("mtr", "mlabeledtr") else [row]
        rows.append(" & ".join(_row(_children(cell), depth + 1) for cell in cells))
    return r"\begin{matrix} " + r" \\ ".join(rows) + r" \end{matrix}"


def _fenced(node: Any, depth: int) -> str:
    given = node.attributes
    left, right = given.get("open", "("), given.get("close", ")")
    separators = (given.get("separators", ",") or "").strip() or ""
    items = [_convert(child, depth + 1) for child in _children(node)]
    joined = items[0] if items else ""
    for number, item in enumerate(items[1:]):
        joined += (separators[min(number, len(separators) - 1)] if separators else "") + " " + item
    return rf"\left{FENCES.get(left or '', left or '.')} {joined} \right{FENCES.get(right or '', right or '.')}"


def _convert(node: Any, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise TooDeepError(f"formula nested deeper than {MAX_DEPTH}")
    tag = node.tag
    if tag == "mi":
        return _identifier(node)
    if tag == "mn":
        return _symbols((node.text(deep=True) or "").strip())
    if tag == "mo":
        text = (node.text(deep=True) or "").strip()
        return "\\" + text if text in FUNCTIONS else _symbols(text)
    if tag in ("mtext", "ms"):
        text = (node.text(deep=True) or "").replace("\u00a0", " ")
        return r"\text{" + text + "}" if text.strip() else (r"\ " if text else "")
    if tag == "mspace":
        return ""
    if tag in ("annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark"):
        return ""
    children = _children(node)
    if tag == "semantics":
        return _convert(children[0], depth + 1) if children else ""
    if tag == "mfenced":
        return _fenced(node, depth)
    if tag == "mtable":
        return _table(node, depth)
    if tag == "msqrt":
        return r"\sqrt{" + _row(children, depth) + "}"
    if tag in _FIXED_ARITY and len(children) == _FIXED_ARITY[tag]:
        return _scripted(tag, node, children, depth + 1)
    return _row(children, depth)


_FIXED_ARITY = {"mfrac": 2, "mroot": 2, "msup": 2, "msub": 2, "msubsup": 3, "mover": 2, "munder": 2, "munderover": 3}


def _scripted(tag: str, node: Any, children: list[Any], depth: int) -> str:
    first, second = children[0], children[1]
    if tag == "mfrac":
        if (node.attributes.get("linethickness") or "").rstrip("ptemx% ") in ("0", "0.0"):
            return rf"\binom{_group(first, depth)}{_group(second, depth)}"
        return rf"\frac{_group(first, depth)}{_group(second, depth)}"
    if tag == "mroot":
        return rf"\sqrt[{_convert(second, depth)}]{_group(first, depth)}"
    if tag in ("mover", "munder"):
        accent = ACCENTS.get((second.text(deep=True) or "").strip()) if second.tag == "mo" else None
        if accent:
            return accent + _group(first, depth)
    base = _base(first, depth)
    if tag in ("msup", "mover"):
        return f"{base}^{_group(second, depth)}"
    if tag in ("msub", "munder"):
        return f"{base}_{_group(second, depth)}"
    return f"{base}_{_group(second, depth)}^{_group(children[2], depth)}"
