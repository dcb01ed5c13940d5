"""MathML to LaTeX, case by case."""

from __future__ import annotations

import pytest
from selectolax.lexbor import LexborHTMLParser

from proof_pile.sources.mathml import MAX_DEPTH, TooDeepError, math_element_tex

CASES = [
    ("<mfrac><mi>a</mi><mi>b</mi></mfrac>", r"\frac{a}{b}"),
    ("<msqrt><mn>2</mn><mi>x</mi></msqrt>", r"\sqrt{2 x}"),
    ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
    ("<msubsup><mo>&int;</mo><mn>0</mn><mn>1</mn></msubsup>", r"\int_{0}^{1}"),
    (
        "<munderover><mo>&sum;</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>",
        r"\sum_{i = 1}^{n}",
    ),
    ("<mover><mi>v</mi><mo>&rarr;</mo></mover>", r"\vec{v}"),
    ("<mi>sin</mi><mo>&#8289;</mo><mi>x</mi>", r"\sin x"),
    ("<mi>rank</mi><mi>A</mi>", r"\operatorname{rank} A"),
    ('<mi mathvariant="double-struck">R</mi>', r"\mathbb{R}"),
    ("<mtext>if </mtext><mi>x</mi>", r"\text{if } x"),
    ('<mfenced open="[" close=")"><mi>a</mi><mi>b</mi></mfenced>', r"\left[ a, b \right)"),
    ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", r"\begin{matrix} 1 & 2 \end{matrix}"),
    ('<mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac>', r"\binom{n}{k}"),
    ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>2</mn></msup>", r"{a b}^{2}"),
]


@pytest.mark.parametrize(("markup", "tex"), CASES)
def test_presentation_mathml_becomes_latex(markup: str, tex: str) -> None:
    node = LexborHTMLParser(f"<math>{markup}</math>").css_first("math")
    assert math_element_tex(node) == tex


def test_formula_beyond_the_depth_limit_is_refused() -> None:
    depth = MAX_DEPTH + 5
    node = LexborHTMLParser("<math>" + "<mrow>" * depth + "<mi>x</mi></math>").css_first("math")
    with pytest.raises(TooDeepError):
        math_element_tex(node)
