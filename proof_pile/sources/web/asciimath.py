"""AsciiMath to LaTeX.  Source of the grammar and the symbols: asciimath.org, the syntax table.

Any text gives some TeX: what is no symbol stands for itself.  Nesting is bounded, time is linear in the length.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_DEPTH = 40  # chosen by us
MAX_CHARS = 5000  # chosen by us: a longer text between backquotes is no formula

_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_SAME = (
    "cdot ast star times div ltimes rtimes bowtie circ oplus otimes odot sum prod wedge bigwedge vee bigvee cap bigcap "
    "cup bigcup ne lt le gt ge prec succ subset supset subseteq supseteq equiv cong approx propto neg implies iff forall "
    "exists bot top vdash models int oint partial nabla pm emptyset infty aleph therefore because cdots ldots vdots ddots "
    "quad angle triangle square diamond frown lfloor rfloor lceil rceil uparrow downarrow rightarrow leftarrow to mapsto "
    "leftrightarrow Rightarrow Leftarrow Leftrightarrow langle rangle setminus in notin"
)
_FUNCTIONS = (
    "sin cos tan sinh cosh tanh arcsin arccos arctan coth csc sec cot exp log ln det dim lim max min gcd Pr sup inf ker "
    "deg arg"
)
_OTHER = {
    "**": r"\ast", "***": r"\star", "*": r"\cdot", "//": "/", "\\\\": r"\backslash", "xx": r"\times", "-:": r"\div",
    "|><": r"\ltimes", "><|": r"\rtimes", "|><|": r"\bowtie", "@": r"\circ", "o+": r"\oplus", "ox": r"\otimes",
    "o.": r"\odot", "^^": r"\wedge", "^^^": r"\bigwedge", "vv": r"\vee", "vvv": r"\bigvee", "nn": r"\cap",
    "nnn": r"\bigcap", "uu": r"\cup", "uuu": r"\bigcup", "!=": r"\ne", "<=": r"\le", ">=": r"\ge", "lt=": r"\le",
    "gt=": r"\ge", "<": "<", ">": ">", "-<": r"\prec", "-lt": r"\prec", ">-": r"\succ", "-<=": r"\preceq",
    ">-=": r"\succeq", "!in": r"\notin", "sub": r"\subset", "sup": r"\supset", "sube": r"\subseteq",
    "supe": r"\supseteq", "-=": r"\equiv", "~=": r"\cong", "~~": r"\approx", "~": r"\sim", "prop": r"\propto",
    "and": r"\text{ and }", "or": r"\text{ or }", "not": r"\neg", "=>": r"\implies", "if": r"\text{ if }",
    "<=>": r"\iff", "AA": r"\forall", "EE": r"\exists", "_|_": r"\bot", "TT": r"\top", "|--": r"\vdash",
    "|==": r"\models", "oint": r"\oint", "del": r"\partial", "grad": r"\nabla", "+-": r"\pm", "-+": r"\mp",
    "O/": r"\emptyset", "oo": r"\infty", ":.": r"\therefore", ":'": r"\because", "...": r"\dots", "|...|": r"|\dots|",
    "|cdots|": r"|\cdots|", "/_": r"\angle", "/_\\": r"\triangle", "\\ ": r"\ ", "qquad": r"\qquad", "'": "'",
    "CC": r"\mathbb{C}", "NN": r"\mathbb{N}", "QQ": r"\mathbb{Q}", "RR": r"\mathbb{R}", "ZZ": r"\mathbb{Z}",
    "|->": r"\mapsto", "->": r"\to", "larr": r"\leftarrow", "rarr": r"\rightarrow", "uarr": r"\uparrow",
    "darr": r"\downarrow", "harr": r"\leftrightarrow", "rArr": r"\Rightarrow", "lArr": r"\Leftarrow",
    "hArr": r"\Leftrightarrow", ">->": r"\rightarrowtail", "->>": r"\twoheadrightarrow", "dx": "dx", "dy": "dy",
    "dz": "dz", "dt": "dt", "lcm": r"\operatorname{lcm}", "lub": r"\operatorname{lub}", "glb": r"\operatorname{glb}",
    "mod": r"\operatorname{mod}", "sech": r"\operatorname{sech}", "csch": r"\operatorname{csch}", "Sin": r"\operatorname{Sin}",
    "Cos": r"\operatorname{Cos}", "Tan": r"\operatorname{Tan}", "f": "f", "g": "g", "|": "|", "^": "^", "_": "_", "/": "/",
    "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
}  # fmt: skip
_SYMBOLS = {
    **{name: "\\" + name for name in (_GREEK + " " + _SAME + " " + _FUNCTIONS).split()},
    **_OTHER,
}
_UNARY = {
    "sqrt": r"\sqrt", "text": r"\text", "mbox": r"\text", "hat": r"\hat", "bar": r"\overline", "overline": r"\overline",
    "vec": r"\vec", "tilde": r"\tilde", "dot": r"\dot", "ddot": r"\ddot", "ul": r"\underline", "underline": r"\underline",
    "ubrace": r"\underbrace", "underbrace": r"\underbrace", "obrace": r"\overbrace", "overbrace": r"\overbrace",
    "cancel": r"\cancel", "bb": r"\mathbf", "mathbf": r"\mathbf", "bbb": r"\mathbb", "mathbb": r"\mathbb",
    "cc": r"\mathcal", "mathcal": r"\mathcal", "tt": r"\mathtt", "mathtt": r"\mathtt", "fr": r"\mathfrak",
    "mathfrak": r"\mathfrak", "sf": r"\mathsf", "mathsf": r"\mathsf", "abs": "abs", "norm": "norm", "floor": "floor",
    "ceil": "ceil", "Abs": "abs",
}  # fmt: skip
_AROUND = {"abs": ("|", "|"), "norm": (r"\|", r"\|"), "floor": (r"\lfloor", r"\rfloor"), "ceil": (r"\lceil", r"\rceil")}
_BINARY = {"frac": r"\frac", "root": r"\sqrt", "stackrel": r"\stackrel", "overset": r"\overset", "underset": r"\underset",
           "color": r"\color"}  # fmt: skip
_LEFT = {"(": "(", "[": "[", "{": r"\{", "(:": r"\langle", "<<": r"\langle", "{:": ".", "langle": r"\langle"}
_RIGHT = {")": ")", "]": "]", "}": r"\}", ":)": r"\rangle", ">>": r"\rangle", ":}": ".", "rangle": r"\rangle"}
_KEYS = sorted({*_SYMBOLS, *_UNARY, *_BINARY, *_LEFT, *_RIGHT}, key=lambda key: (-len(key), key))
_TOKENS = re.compile(r'"[^"]*"|[0-9]+(?:\.[0-9]+)?|' + "|".join(re.escape(key) for key in _KEYS) + r"|\\?[^\s]|\s+")


class _TooDeepError(Exception):
    """Raised for a formula nested deeper than MAX_DEPTH."""


@lru_cache(maxsize=4096)
def asciimath_tex(text: str) -> str:
    """The LaTeX of AsciiMath; of one that is nested too deeply or too long, the text itself."""
    text = text.strip()
    if len(text) > MAX_CHARS:
        return rf"\text{{{' '.join(text.split())}}}"
    tokens = [token for token in _TOKENS.findall(text) if not token.isspace()]
    try:
        return " ".join(_Reader(tokens).expression(0, frozenset()).split())
    except _TooDeepError:
        return " ".join(text.split())


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expression(self, depth: int, ends: frozenset[str]) -> str:
        """Intermediate expressions up to one of the closing tokens, fractions among them."""
        if depth > MAX_DEPTH:
            raise _TooDeepError
        parts: list[str] = []
        while self.at < len(self.tokens) and self.peek() not in ends:
            first = self.intermediate(depth)
            if self.peek() == "/" and self.at + 1 < len(self.tokens):
                self.take()
                second = self.intermediate(depth)
                first = rf"\frac{{{_bare(first)}}}{{{_bare(second)}}}"
            parts.append(first)
        return " ".join(parts)

    def intermediate(self, depth: int) -> str:
        """A simple expression with its scripts."""
        base = self.simple(depth)
        if self.peek() == "_":
            self.take()
            base += f"_{{{_bare(self.simple(depth))}}}"
        if self.peek() == "^":
            self.take()
            base += f"^{{{_bare(self.simple(depth))}}}"
        return base

    def simple(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise _TooDeepError
        token = self.take()
        if not token:
            return ""
        if token[0] == '"':
            return rf"\text{{{token[1:-1]}}}"
        if token in _UNARY:
            return self.unary(token, depth)
        if token in _BINARY:
            first, second = _bare(self.simple(depth + 1)), _bare(self.simple(depth + 1))
            if token == "root":
                return rf"\sqrt[{first}]{{{second}}}"
            return f"{_BINARY[token]}{{{first}}}{{{second}}}"
        if token in _LEFT:
            return self.fenced(token, depth)
        if token == "|":
            return self.bars(depth)
        return _SYMBOLS.get(token) or _RIGHT.get(token) or token

    def unary(self, token: str, depth: int) -> str:
        command = _UNARY[token]
        if command == r"\text":
            return rf"\text{{{self.words()}}}"
        inner = _bare(self.simple(depth + 1))
        around = _AROUND.get(command)
        return rf"\left{around[0]} {inner} \right{around[1]}" if around else f"{command}{{{inner}}}"

    def words(self) -> str:
        if self.peek() not in ("(", "[", "{"):
            return self.take().strip('"')
        self.take()
        words = []
        while self.at < len(self.tokens) and self.peek() not in (")", "]", "}"):
            words.append(self.take().strip('"'))
        self.take()
        return " ".join(words)

    def fenced(self, left: str, depth: int) -> str:
        inner = self.expression(depth + 1, frozenset(_RIGHT))
        right = self.take()
        rows = _matrix_rows(inner) if left in ("[", "(", "{", "{:", "|") else None
        open_, close = _LEFT[left], _RIGHT.get(right, ".")
        if rows:
            return rf"\left{open_} \begin{{matrix}} {rows} \end{{matrix}} \right{close}"
        if open_ in "([" and close in ")]" and "\\frac" not in inner and "\\sum" not in inner:
            return f"{open_}{inner}{close}"
        return rf"\left{open_} {inner} \right{close}"

    def bars(self, depth: int) -> str:
        try:
            closing = self.tokens.index("|", self.at)
        except ValueError:
            return "|"
        if closing == self.at or closing - self.at > 200:
            return "|"
        inner = self.expression(depth + 1, frozenset(["|", *_RIGHT]))
        if self.peek() != "|":
            return "|" + inner
        self.take()
        return rf"\left| {inner} \right|"


def _bare(tex: str) -> str:
    """The argument without the parentheses that only group it."""
    if len(tex) >= 2 and tex[0] in "([" and tex[-1] in ")]" and _closes_last(tex):
        return tex[1:-1].strip()
    for left, right in (
        (r"\left(", r"\right)"),
        (r"\left\{", r"\right\}"),
        (r"\left[", r"\right]"),
        (r"\left.", r"\right."),
    ):
        if tex.startswith(left) and tex.endswith(right) and tex.count(r"\left") == 1:
            return tex[len(left) : -len(right)].strip()
    return tex


def _closes_last(tex: str) -> bool:
    depth = 0
    for position, char in enumerate(tex):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return position == len(tex) - 1
    return False


def _matrix_rows(inner: str) -> str | None:
    """The rows of [[a, b], [c, d]] as a matrix's body, None where the content is no list of equal rows."""
    if inner[:1] not in ("[", "(") or inner[-1:] not in ("]", ")") or "," not in inner:
        return None
    rows: list[list[str]] = []
    depth, start = 0, 0
    cells: list[str] = []
    for position, char in enumerate(inner):
        if char in "([{":
            depth += 1
            if depth == 1:
                cells, start = [], position + 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                rows.append([*cells, inner[start:position].strip()])
        elif char == "," and depth == 1:
            cells.append(inner[start:position].strip())
            start = position + 1
        elif depth == 0 and char not in ", ":
            return None
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        return None
    return r" \\ ".join(" & ".join(row) for row in rows)
