"""Content MathML to LaTeX: the operators of school and undergraduate mathematics.  Source: MathML 3, chapter 4."""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple

from proof_pile.sources.web.symbols import FUNCTIONS, SYMBOLS

MAX_DEPTH = 60  # chosen by us

_TOKEN = re.compile(r"<(/?)(?:[a-z]+:)?([a-zA-Z-]+)([^>]*)>|([^<]+)|<")
_CONSTANTS = {
    "pi": r"\pi", "exponentiale": "e", "imaginaryi": "i", "infinity": r"\infty", "emptyset": r"\emptyset",
    "reals": r"\mathbb{R}", "integers": r"\mathbb{Z}", "naturalnumbers": r"\mathbb{N}", "rationals": r"\mathbb{Q}",
    "complexes": r"\mathbb{C}", "primes": r"\mathbb{P}", "true": r"\text{true}", "false": r"\text{false}",
    "eulergamma": r"\gamma", "notanumber": r"\text{NaN}",
}  # fmt: skip
_INFIX = {
    "eq": "=", "neq": r"\ne", "lt": "<", "gt": ">", "leq": r"\le", "geq": r"\ge", "equivalent": r"\equiv",
    "approx": r"\approx", "in": r"\in", "notin": r"\notin", "subset": r"\subseteq", "prsubset": r"\subset",
    "notsubset": r"\not\subseteq", "union": r"\cup", "intersect": r"\cap", "setdiff": r"\setminus", "and": r"\wedge",
    "or": r"\vee", "xor": r"\oplus", "implies": r"\implies", "tendsto": r"\to", "compose": r"\circ",
    "cartesianproduct": r"\times", "vectorproduct": r"\times", "scalarproduct": r"\cdot", "factorof": r"\mid",
    "rem": r"\bmod",
}  # fmt: skip
_AROUND = {"abs": (r"\left|", r"\right|"), "floor": (r"\lfloor", r"\rfloor"), "ceiling": (r"\lceil", r"\rceil"),
           "card": (r"\left|", r"\right|"), "determinant": (r"\left|", r"\right|")}  # fmt: skip
_BIG = {"sum": r"\sum", "product": r"\prod", "int": r"\int", "limit": r"\lim"}
_QUALIFIERS = frozenset(
    ["bvar", "lowlimit", "uplimit", "degree", "logbase", "condition", "domainofapplication", "interval"]
)
_LOOSE = frozenset(["plus", "minus", "relation"])


class _Node(NamedTuple):
    tex: str
    kind: str  # an operator's or qualifier's name, "leaf", or how tightly the formula holds together


def convert_content(markup: str) -> str:
    """The TeX of content MathML, "" where it holds none or is nested deeper than MAX_DEPTH."""
    stack: list[tuple[str, str, int]] = []
    nodes: list[_Node] = []
    skipping = 0
    for match in _TOKEN.finditer(markup):
        if match[4] is not None:
            if match[4].strip() and stack and not skipping:
                nodes.append(_Node(unescape(match[4]).strip(), "text"))
            continue
        if match[2] is None:
            continue
        name = match[2].lower()
        if name in ("annotation", "annotation-xml") and not match[1]:
            continue
        if match[1]:
            while stack:
                open_name, attributes, start = stack.pop()
                children = nodes[start:]
                del nodes[start:]
                nodes.append(_element(open_name, attributes, children))
                if open_name == name:
                    break
        elif match[3].endswith("/"):
            nodes.append(_Node(_CONSTANTS.get(name, ""), name))
        else:
            if len(stack) > MAX_DEPTH:
                return ""
            stack.append((name, match[3], len(nodes)))
    return " ".join(" ".join(node.tex for node in nodes if node.tex).split())


def _element(name: str, attributes: str, children: list[_Node]) -> _Node:
    if name in ("ci", "csymbol"):
        text = " ".join(child.tex for child in children)
        if text in FUNCTIONS:
            return _Node("\\" + text, "leaf")
        if len(text) > 1 and text.isalpha() and text.isascii():
            return _Node(rf"\operatorname{{{text}}}", "leaf")
        return _Node("".join(SYMBOLS.get(char, char) for char in text), "leaf")
    if name == "cn":
        parts = [child.tex for child in children if child.kind != "sep"]
        if "rational" in attributes and len(parts) == 2:
            return _Node(rf"\frac{{{parts[0]}}}{{{parts[1]}}}", "leaf")
        if "e-notation" in attributes and len(parts) == 2:
            return _Node(rf"{parts[0]} \times 10^{{{parts[1]}}}", "times")
        return _Node(" ".join(parts), "leaf")
    if name == "apply" or name == "reln":
        return _apply(children)
    if name in _QUALIFIERS and name != "interval":
        return _Node(" ".join(child.tex for child in children), name)
    items = [child.tex for child in children if child.kind not in _QUALIFIERS]
    if name == "interval":
        ends = {"open": "()", "open-closed": "(]", "closed-open": "[)"}.get(_closure(attributes), "[]")
        return _Node(f"{ends[0]}{', '.join(items)}{ends[1]}", "interval" if len(items) == 2 else "leaf")
    if name in ("set", "list", "vector"):
        left, right = {"set": (r"\{", r"\}"), "list": ("[", "]")}.get(name, ("(", ")"))
        return _Node(f"{left}{', '.join(items)}{right}", "leaf")
    if name == "matrixrow":
        return _Node(" & ".join(items), "row")
    if name == "matrix":
        return _Node(r"\begin{pmatrix} " + r" \\ ".join(items) + r" \end{pmatrix}", "leaf")
    if name == "piece" and len(items) == 2:
        return _Node(rf"{items[0]} & \text{{if }} {items[1]}", "row")
    if name == "otherwise":
        return _Node(rf"{' '.join(items)} & \text{{otherwise}}", "row")
    if name == "piecewise":
        return _Node(r"\begin{cases} " + r" \\ ".join(items) + r" \end{cases}", "leaf")
    if name == "lambda":
        bound = ", ".join(child.tex for child in children if child.kind == "bvar")
        return _Node(rf"{bound} \mapsto {' '.join(items)}", "relation")
    if len(children) == 1:
        return children[0]
    return _Node(" ".join(child.tex for child in children if child.tex), "leaf")


def _closure(attributes: str) -> str:
    match = re.search(r"closure\s*=\s*[\"']([a-z-]+)", attributes)
    return match[1] if match else "closed"


def _held(node: _Node, *, against: frozenset[str]) -> str:
    return rf"\left( {node.tex} \right)" if node.kind in against else node.tex


def _apply(children: list[_Node]) -> _Node:
    if not children:
        return _Node("", "leaf")
    head, rest = children[0], children[1:]
    marks = {child.kind: child.tex for child in rest if child.kind in _QUALIFIERS}
    given = [child for child in rest if child.kind not in _QUALIFIERS]
    name = head.kind if head.kind not in ("leaf", "text") else ""
    return _arithmetic(name, given, marks) or _analysis(name, given, marks) or _named(name, head, given)


def _arithmetic(name: str, given: list[_Node], marks: dict[str, str]) -> _Node | None:
    if name == "plus":
        return _Node(" + ".join(node.tex for node in given), "plus")
    if name == "minus" and given:
        if len(given) == 1:
            return _Node("-" + _held(given[0], against=_LOOSE), "minus")
        return _Node(f"{given[0].tex} - {_held(given[1], against=_LOOSE)}", "minus")
    if name == "times":
        return _Node(" ".join(_times_part(node, number) for number, node in enumerate(given)), "times")
    if name == "divide" and len(given) == 2:
        return _Node(rf"\frac{{{given[0].tex}}}{{{given[1].tex}}}", "times")
    if name == "power" and len(given) == 2:
        base = _held(given[0], against=_LOOSE | {"times", "power", "applied"})
        return _Node(f"{base}^{{{given[1].tex}}}", "power")
    if name == "root" and given:
        degree = marks.get("degree", "")
        return _Node(
            rf"\sqrt[{degree}]{{{given[0].tex}}}" if degree not in ("", "2") else rf"\sqrt{{{given[0].tex}}}", "leaf"
        )
    if name == "factorial" and given:
        return _Node(_held(given[0], against=_LOOSE | {"times", "power"}) + "!", "times")
    if name in _AROUND and given:
        left, right = _AROUND[name]
        return _Node(f"{left} {given[0].tex} {right}", "leaf")
    if name in _INFIX and given:
        return _Node(
            f" {_INFIX[name]} ".join(_held(node, against=frozenset(["relation"])) for node in given), "relation"
        )
    return None


def _times_part(node: _Node, number: int) -> str:
    text = _held(node, against=_LOOSE)
    return r"\cdot " + text if number and text[:1].isdigit() else text


def _analysis(name: str, given: list[_Node], marks: dict[str, str]) -> _Node | None:
    variable = marks.get("bvar", "")
    body = given[0].tex if given else ""
    if name in _BIG:
        low, high = marks.get("lowlimit", ""), marks.get("uplimit", "")
        below = marks.get("condition", "") or marks.get("domainofapplication", "")
        if not below and low:
            below = low if name == "int" else rf"{variable} \to {low}" if name == "limit" else f"{variable} = {low}"
        scripts = (f"_{{{below}}}" if below else "") + (f"^{{{high}}}" if high else "")
        tail = rf" \, d{variable}" if name == "int" and variable else ""
        inner = _held(given[0], against=_LOOSE if name != "int" else frozenset()) if given else ""
        return _Node(f"{_BIG[name]}{scripts} {inner}{tail}", "minus")
    if name in ("diff", "partialdiff") and given:
        sign = "d" if name == "diff" else r"\partial "
        if not variable:
            return _Node(_held(given[0], against=_LOOSE) + "'", "applied")
        return _Node(rf"\frac{{{sign}}}{{{sign}{variable}}} {_held(given[0], against=_LOOSE)}", "times")
    if name in ("forall", "exists"):
        condition = f" {marks['condition']}" if "condition" in marks else ""
        return _Node(rf"\{name} {variable}{condition} : {body}", "relation")
    if name == "log" and given:
        base = f"_{{{marks['logbase']}}}" if "logbase" in marks else ""
        return _Node(rf"\log{base} {_held(given[0], against=_LOOSE)}", "applied")
    if name == "not" and given:
        return _Node(rf"\neg {_held(given[0], against=frozenset(['relation']))}", "applied")
    return None


def _named(name: str, head: _Node, given: list[_Node]) -> _Node:
    if name in FUNCTIONS:
        if len(given) == 1:
            return _Node(rf"\{name} {_held(given[0], against=_LOOSE | {'times'})}", "applied")
        return _Node(rf"\{name}({', '.join(node.tex for node in given)})", "applied")
    if name == "transpose" and given:
        return _Node(_held(given[0], against=_LOOSE | {"times"}) + "^{T}", "power")
    if name == "inverse" and given:
        return _Node(given[0].tex + "^{-1}", "power")
    if name == "selector" and given:
        return _Node(f"{given[0].tex}_{{{', '.join(node.tex for node in given[1:])}}}", "leaf")
    called = head.tex or rf"\operatorname{{{name}}}"
    return _Node(f"{called}({', '.join(node.tex for node in given)})", "applied")
