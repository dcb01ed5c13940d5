r"""Pages with equations that are known: written by us in each way that pages write them, or read off real pages.

    pages = generate("katex", 2_000_000)        # about so many bytes of pages of one kind
    pages = real_pages(Path("docs"), 2_000_000)

A page knows its equations, so that a text taken from it can be judged: `equations_kept` tells how many of them stand
between delimiters, and how many of those are the same TeX but for spaces, braces around one sign, and synonyms.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

KINDS = (
    "docs",  # Sphinx: \( \) and \[ \] in elements of class math, with code between
    "mathjax-parentheses",
    "mathjax-dollars",  # set up by the page's configuration
    "script-tags",  # MathJax 2
    "katex",  # rendered: MathML with its annotation, and the same once more as spans
    "mathml-annotation",  # as wikis write it, with a picture beside it
    "mathml-alttext",  # as LaTeXML writes it
    "mathml-bare",
    "image-alt",  # pictures of WordPress and codecogs
    "asciimath",  # scripts, and backquotes set up by the page's configuration
)
_SPAN = re.compile(r"(?<!\\)\$\$.+?\$\$|(?<!\\)\$.+?(?<!\\)\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_TEXT = (
    "the sequence of partial sums is bounded and increasing so that it has a limit which we call its value and every "
    "other choice of the constant gives the same estimate up to a factor that does not depend on the function or the "
    "interval where we look at it while the proof of the lemma needs nothing but induction and a small computation"
)
_WORDS = _TEXT.split(" ")


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the TeX of its equations."""

    markup: str
    equations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Equation:
    tex: str
    mathml: str  # without its <math>
    ascii: str


def generate(kind: str, num_bytes: int) -> list[Page]:
    """Pages of a kind, the same at every call."""
    draw = random.Random(kind)
    pages: list[Page] = []
    size = count = 0
    while size < num_bytes:
        body = [f"<h1>{_prose(draw, 4)}</h1>"]
        own: list[str] = []
        for _ in range(30):
            sentences = []
            for _ in range(draw.randint(2, 4)):
                equation = _equation(draw, 1_000_000 + count)
                own.append(equation.tex)
                count += 1
                sentences.append(_prose(draw, draw.randint(10, 30)))
                sentences.append(_formula(kind, equation, display=draw.random() < 0.25, draw=draw))
            link = f"<a href='/p/{count}'>{_prose(draw, 2)}</a>"
            body.append(f"<p>{' '.join(sentences)} <em>{_prose(draw, 3)}</em>, {link}.</p>")
            if kind == "docs" and draw.random() < 0.6:
                body.append(_code())
            if draw.random() < 0.2:
                body.append(f"<h2>{_prose(draw, 3)}</h2>")
        markup = _frame(_prose(draw, 5), _head(kind), "\n".join(body))
        pages.append(Page(markup, tuple(own)))
        size += len(markup.encode())
    return pages


def _equation(draw: random.Random, number: int) -> _Equation:
    """An equation with a number of its own in it."""
    n = f"<mn>{number}</mn>"
    forms = [
        _Equation(
            rf"\frac{{x_{{{number}}}}}{{1 + y^{{2}}}} \leq \alpha",
            f"<mfrac><msub><mi>x</mi>{n}</msub><mrow><mn>1</mn><mo>+</mo><msup><mi>y</mi><mn>2</mn></msup></mrow></mfrac>"
            "<mo>&#x2264;</mo><mi>&#x3B1;</mi>",
            f"x_{number}/(1+y^2) <= alpha",
        ),
        _Equation(
            rf"\sum_{{k=1}}^{{{number}}} \sqrt{{k + t}}",
            f"<munderover><mo>&#x2211;</mo><mrow><mi>k</mi><mo>=</mo><mn>1</mn></mrow>{n}</munderover>"
            "<msqrt><mi>k</mi><mo>+</mo><mi>t</mi></msqrt>",
            f"sum_(k=1)^{number} sqrt(k+t)",
        ),
        _Equation(
            rf"f({number}) = \int_{{0}}^{{1}} g(s) \, ds",
            f"<mi>f</mi><mo>(</mo>{n}<mo>)</mo><mo>=</mo><msubsup><mo>&#x222B;</mo><mn>0</mn><mn>1</mn></msubsup>"
            "<mi>g</mi><mo>(</mo><mi>s</mi><mo>)</mo><mi>d</mi><mi>s</mi>",
            f"f({number}) = int_0^1 g(s) d s",
        ),
        _Equation(rf"a_{{{number}}} < b", f"<msub><mi>a</mi>{n}</msub><mo>&lt;</mo><mi>b</mi>", f"a_{number} < b"),
        _Equation(
            rf"\lim_{{m \to \infty}} z_{{m}} = {number}",
            "<munder><mo>lim</mo><mrow><mi>m</mi><mo>&#x2192;</mo><mi>&#x221E;</mi></mrow></munder>"
            f"<msub><mi>z</mi><mi>m</mi></msub><mo>=</mo>{n}",
            f"lim_(m -> oo) z_m = {number}",
        ),
        _Equation(rf"p = {number}", f"<mi>p</mi><mo>=</mo>{n}", f"p = {number}"),
    ]
    return draw.choice(forms)


def _prose(draw: random.Random, num_words: int) -> str:
    """Words of no meaning."""
    return " ".join(draw.choice(_WORDS) for _ in range(num_words))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _head(kind: str) -> str:
    library = '<script src="https://cdn.example.org/mathjax@3/tex-mml-chtml.js"></script>\n'
    if kind == "mathjax-dollars":
        return f"<script>MathJax = {{tex: {{inlineMath: [['$', '$'], ['\\\\(', '\\\\)']]}}}};</script>\n{library}"
    if kind == "asciimath":
        return (
            '<script type="text/x-mathjax-config">MathJax.Hub.Config({asciimath2jax: {delimiters: [["`","`"]]}});'
            '</script>\n<script src="https://cdn.example.org/mathjax/2.7.9/MathJax.js?config=AM_HTMLorMML"></script>\n'
        )
    return library if kind in ("docs", "mathjax-parentheses", "script-tags", "mathml-bare") else ""


def _frame(title: str, head: str, body: str) -> str:
    """A page around its content, with the menus that a site has."""
    menu = "".join(
        f'<li class="nav-item"><a class="nav-link" href="/topic/{n}.html">Topic {n}</a></li>' for n in range(30)
    )
    return (
        f"<!DOCTYPE html>\n<html lang=en><head><meta charset='utf-8'><title>{title}</title>\n{head}"
        f"<style>body {{ margin: 0 }} .nav-link {{ color: #336699; padding: 4px }}</style></head><body>\n"
        f'<nav class="navbar"><ul>{menu}</ul></nav>\n<div class="content" role="main">\n{body}\n</div>\n'
        f'<div class="sidebar"><h3>Related</h3><ul>{menu}</ul></div>\n<footer><p>All rights reserved.</p></footer>\n'
        "<script>var page = {views: 12, paths: ['a', 'b']}; window.start && window.start(page);</script></body></html>\n"
    )


def _code() -> str:
    lines = "".join(
        f'<span class="n">total</span> <span class="o">+=</span> <span class="n">step</span><span class="p">(</span>'
        f'<span class="mi">{n}</span><span class="p">)</span>\n'
        for n in range(8)
    )
    return f'<div class="highlight-python notranslate"><div class="highlight"><pre>{lines}</pre></div></div>'


def _formula(kind: str, equation: _Equation, *, display: bool, draw: random.Random) -> str:
    """A formula as pages of the kind write it."""
    tex, mathml = _escaped(equation.tex), equation.mathml
    block = ' display="block"' if display else ""
    annotation = f'<annotation encoding="application/x-tex">{tex}</annotation>'
    if kind == "docs":
        element, inner = ("div", rf"\[{tex}\]") if display else ("span", rf"\({tex}\)")
        return f'<{element} class="math notranslate nohighlight">{inner}</{element}>'
    if kind == "mathjax-parentheses":
        return rf"\[{tex}\]" if display else rf"\({tex}\)"
    if kind == "mathjax-dollars":
        return f"$${tex}$$" if display else f"${tex}$"
    if kind == "script-tags":
        mode = "; mode=display" if display else ""
        return f'<span class="MathJax_Preview">x</span><script type="math/tex{mode}">{equation.tex}</script>'
    if kind == "katex":
        spans = "".join(
            f'<span class="mord"><span class="mord mathnormal" style="margin-right:0.02em">{c}</span></span>'
            for c in "abcdef"
        )
        inline = (
            f'<span class="katex"><span class="katex-mathml"><math xmlns="http://www.w3.org/1998/Math/MathML"{block}>'
            f"<semantics><mrow>{mathml}</mrow>{annotation}</semantics></math></span>"
            f'<span class="katex-html" aria-hidden="true"><span class="base">{spans}</span></span></span>'
        )
        return f'<span class="katex-display">{inline}</span>' if display else inline
    shown = rf"{{\displaystyle {tex}}}"
    if kind == "mathml-annotation":
        return (
            f'<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;"><math{block} '
            f'alttext="{shown}"><semantics><mrow>{mathml}</mrow><annotation encoding="application/x-tex">{shown}'
            f'</annotation></semantics></math></span><img src="/m/svg/1" class="mwe-math-fallback-image-inline" '
            f'alt="{shown}"></span>'
        )
    if kind == "mathml-alttext":
        return f'<math id="S1.m1" class="ltx_Math" alttext="{tex}"{block}><mrow id="S1.m1.1">{mathml}</mrow></math>'
    if kind == "mathml-bare":
        return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{block}>{mathml}</math>'
    if kind == "image-alt":
        if draw.random() < 0.5:
            address = f"https://s0.wp.com/latex.php?latex={quote(equation.tex)}&amp;bg=ffffff&amp;fg=000000&amp;s=0"
            return f'<img src="{address}" alt="{tex}" title="{tex}" class="latex" />'
        return f'<img src="https://latex.codecogs.com/gif.latex?{quote(equation.tex)}" alt="{tex}">'
    if kind == "asciimath":
        if draw.random() < 0.5:
            return f'<script type="math/asciimath">{equation.ascii}</script>'
        return f"`{_escaped(equation.ascii)}`"
    raise ValueError(f"no kind of page is called '{kind}'")


# ---------------------------------------------------------------- real pages


def real_pages(folder: Path, num_bytes: int) -> list[Page]:
    """Pages of a folder up to so many bytes in an order of chance, the same at every call."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".html", ".htm", ".xhtml") and p.is_file())
    random.Random(0).shuffle(files)
    pages: list[Page] = []
    size = 0
    for file in files:
        data = file.read_bytes()
        if size + len(data) > num_bytes or b"\0" in data:
            continue
        markup = data.decode("utf-8", "replace")
        pages.append(Page(markup, tuple(written_equations(markup))))
        size += len(data)
    return pages


def written_equations(markup: str) -> list[str]:
    r"""The TeX that the page itself writes as such, by the standard library's parser: an independent reading.

    Elements of class math that hold \( \) or \[ \] (Sphinx), math scripts (MathJax 2) and annotations of MathML.
    """
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.inside = ""
        self.depth = 0
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self.inside:
            self.depth += tag == self.inside
        elif (
            (tag in ("span", "div") and "math" in (given.get("class") or "").split())
            or (tag == "script" and (given.get("type") or "").startswith("math/tex"))
            or (tag == "annotation" and given.get("encoding") == "application/x-tex")
        ):
            self.inside, self.depth, self.text = tag, 1, []

    def handle_endtag(self, tag: str) -> None:
        if tag != self.inside:
            return
        self.depth -= 1
        if self.depth == 0:
            text = "".join(self.text).strip()
            if tag in ("span", "div"):
                self.found += [m[1] for m in re.finditer(r"\\[(\[](.+?)\\[)\]]", text, re.DOTALL)]
            elif text:
                self.found.append(text)
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text.append(data)


# ---------------------------------------------------------------- judging a text


def equations_kept(text: str, equations: Iterable[str]) -> tuple[int, int]:
    """How many of the equations stand between delimiters in the text, and how many of them as the same TeX.

    An equation with a number of seven digits is known by it, any other one by its TeX alone.
    """
    spans = [span.strip("$").removeprefix(r"\(").removeprefix(r"\[") for span in _SPAN.findall(text)]
    spans = [span.removesuffix(r"\)").removesuffix(r"\]") for span in spans]
    same = {normal_tex(span) for span in spans}
    numbers = set(re.findall(r"\d{7}", " ".join(spans)))
    num_kept = num_same = 0
    for tex in equations:
        is_same = normal_tex(tex) in same
        number = re.search(r"1\d{6}", tex)
        num_same += is_same
        num_kept += is_same or (number is not None and number[0] in numbers)
    return num_kept, num_same


_SYNONYMS = {r"\leq": r"\le", r"\geq": r"\ge", r"\rightarrow": r"\to", r"\neq": r"\ne", r"\lt": "<", r"\gt": ">"}
_WITHOUT_MEANING = re.compile(
    r"\\[,;!: ]|\\(?:displaystyle|textstyle|limits|left|right|thinspace|quad|qquad)(?![A-Za-z])|\s+|~"
)


def normal_tex(tex: str) -> str:
    """TeX without what does not change its meaning, for comparison only."""
    tex = tex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    tex = re.sub(r"\\[A-Za-z]+", lambda m: _SYNONYMS.get(m[0], m[0]), tex)
    tex = _WITHOUT_MEANING.sub("", tex)
    tex = re.sub(r"\\(?:math(?:rm|it)|operatorname)\{([^{}]*)\}", r"\1", tex)
    before = ""
    while before != tex:
        before, tex = tex, re.sub(r"(?<![A-Za-z}])\{(\\[A-Za-z]+|[^{}\\])\}|(?<=[\^_])\{(\w+)\}", r"\1\2", tex)
    return tex.strip("{}")
