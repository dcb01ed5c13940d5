"""MathML to LaTeX, case by case: presentation, content, and what pages put beside them."""

from __future__ import annotations

import time

import pytest

from proof_pile.sources.web.mathml import MAX_DEPTH, TooDeepError, convert, math_markup_tex

# Markup inside <math> and the TeX wanted; forms as MathJax, LaTeXML, MathType, Word and the MathML test suite write them.
PRESENTATION = [
    ("<mfrac><mi>a</mi><mi>b</mi></mfrac>", r"\frac{a}{b}"),
    ("<msqrt><mn>2</mn><mi>x</mi></msqrt>", r"\sqrt{2 x}"),
    ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
    ("<msubsup><mo>&int;</mo><mn>0</mn><mn>1</mn></msubsup>", r"\int_{0}^{1}"),
    (
        "<munderover><mo>&sum;</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>",
        r"\sum_{i = 1}^{n}",
    ),
    ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>&#x2192;</mo><mn>0</mn></mrow></munder>", r"\lim_{x \to 0}"),
    ("<mover><mi>v</mi><mo>&rarr;</mo></mover>", r"\vec{v}"),
    ("<mover><mrow><mi>A</mi><mi>B</mi></mrow><mo>&#xAF;</mo></mover>", r"\overline{A B}"),
    ("<mover><mo>=</mo><mtext>def</mtext></mover>", r"\overset{\text{def}}{=}"),
    ("<munder><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mo>&#x23DF;</mo></munder>", r"\underbrace{a + b}"),
    ("<mi>sin</mi><mo>&#8289;</mo><mi>x</mi>", r"\sin x"),
    ("<mi>rank</mi><mi>A</mi>", r"\operatorname{rank} A"),
    ('<mi mathvariant="double-struck">R</mi>', r"\mathbb{R}"),
    ("<mi>&#x1D53D;</mi><mi>&#x1D6FC;</mi>", r"\mathbb{F} \alpha"),
    ("<mtext>if </mtext><mi>x</mi>", r"\text{if } x"),
    ('<mfenced open="[" close=")"><mi>a</mi><mi>b</mi></mfenced>', r"\left[ a, b \right)"),
    ('<mfenced open="{" close="" separators=""><mtable><mtr><mtd><mn>1</mn></mtd></mtr></mtable></mfenced>',
     r"\begin{cases} 1 \end{cases}"),
    ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", r"\begin{matrix} 1 & 2 \end{matrix}"),
    ("<mo>(</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr><mtr><mtd><mn>2</mn></mtd></mtr></mtable><mo>)</mo>",
     r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ("<mtable><mlabeledtr><mtd><mtext>(3)</mtext></mtd><mtd><mi>x</mi></mtd></mlabeledtr></mtable>",
     r"\begin{matrix} x \end{matrix}"),
    ('<mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac>', r"\binom{n}{k}"),
    ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>2</mn></msup>", r"{a b}^{2}"),
    ("<msup><mrow><mo>(</mo><mi>a</mi><mo>+</mo><mi>b</mi><mo>)</mo></mrow><mn>2</mn></msup>", r"(a + b)^{2}"),
    ("<msup><mi>f</mi><mo>&#x2032;</mo></msup>", "f'"),
    ("<msup><msub><mi>x</mi><mi>i</mi></msub><mn>2</mn></msup>", "x_{i}^{2}"),
    ("<mmultiscripts><mi>F</mi><mn>1</mn><none/><mprescripts/><mn>2</mn><none/></mmultiscripts>", "{}_{2} F_{1}"),
    ('<menclose notation="box"><mi>x</mi></menclose>', r"\boxed{x}"),
    ('<mi>a</mi><mspace width="2em"/><mi>b</mi>', r"a \qquad b"),
    ("<mphantom><mi>q</mi></mphantom><mi>b</mi>", "b"),
    ("<m:mi>x</m:mi><m:mo>&lt;</m:mo><m:mi>y</m:mi>", "x < y"),
    ("<msup><mi></mi><mn>2</mn></msup>", "{}^{2}"),
    ("<mn>50</mn><mo>%</mo>", r"50 \%"),
]  # fmt: skip
CONTENT = [
    ("<apply><plus/><ci>x</ci><apply><power/><ci>y</ci><cn>2</cn></apply></apply>", "x + y^{2}"),
    ("<apply><times/><cn>2</cn><apply><plus/><ci>a</ci><ci>b</ci></apply></apply>", r"2 \left( a + b \right)"),
    ("<apply><eq/><ci>y</ci><apply><root/><ci>x</ci></apply></apply>", r"y = \sqrt{x}"),
    ("<apply><minus/><ci>x</ci></apply>", "-x"),
    (
        "<apply><int/><bvar><ci>x</ci></bvar><lowlimit><cn>0</cn></lowlimit><uplimit><infinity/></uplimit>"
        "<apply><exp/><ci>x</ci></apply></apply>",
        r"\int_{0}^{\infty} \exp x \, dx",
    ),
    (
        "<apply><sum/><bvar><ci>k</ci></bvar><lowlimit><cn>1</cn></lowlimit><uplimit><ci>n</ci></uplimit>"
        "<apply><divide/><cn>1</cn><ci>k</ci></apply></apply>",
        r"\sum_{k = 1}^{n} \frac{1}{k}",
    ),
    ("<apply><in/><ci>x</ci><reals/></apply>", r"x \in \mathbb{R}"),
    ("<apply><diff/><bvar><ci>x</ci></bvar><apply><sin/><ci>x</ci></apply></apply>", r"\frac{d}{dx} \sin x"),
    ("<matrix><matrixrow><cn>1</cn><cn>0</cn></matrixrow></matrix><apply><abs/><ci>x</ci></apply>",
     r"\begin{pmatrix} 1 & 0 \end{pmatrix} \left| x \right|"),
]  # fmt: skip


@pytest.mark.parametrize(("markup", "tex"), PRESENTATION + CONTENT)
def test_mathml_becomes_latex(markup: str, tex: str) -> None:
    assert convert(f"<math>{markup}</math>") == tex


def test_annotation_is_preferred_to_alttext_and_alttext_to_the_elements() -> None:
    annotation = '<annotation encoding="application/x-tex">a &lt; b</annotation>'
    both = f'<math alttext="x^2"><semantics><mi>q</mi>{annotation}</semantics></math>'
    assert math_markup_tex(both) == ("a < b", False)
    assert math_markup_tex('<math alttext="x^2" display="block"><mi>q</mi></math>') == ("x^2", True)
    assert math_markup_tex("<math><mi>q</mi></math>") == ("q", False)


def test_alttext_in_words_is_not_taken_for_tex() -> None:
    assert math_markup_tex('<math alttext="the square of x"><msup><mi>x</mi><mn>2</mn></msup></math>') == (
        "x^{2}",
        False,
    )


def test_tex_that_mathjax_4_leaves_in_an_attribute_is_taken() -> None:
    assert math_markup_tex(r'<math data-latex="\frac{a}{b}"><mi>q</mi></math>') == (r"\frac{a}{b}", False)


def test_displaystyle_of_wikis_is_unwrapped() -> None:
    markup = r'<math alttext="{\displaystyle \int _{0}^{1}f}"></math>'
    assert math_markup_tex(markup) == (r"\int _{0}^{1}f", False)


def test_formula_beyond_the_depth_limit_is_refused_and_read_as_text() -> None:
    depth = MAX_DEPTH + 5
    markup = "<math>" + "<mrow>" * depth + "<mi>x</mi></math>"
    with pytest.raises(TooDeepError):
        convert(markup)
    assert math_markup_tex(markup) == ("x", False)


@pytest.mark.parametrize(
    "unit",
    ["<mrow>", "<msup>", "</mrow>", "<mi>x</mi>", "<apply>", "<mfenced>", "<mtable><mtr><mtd>", "<annotation>",
     '<annotation encoding="TeX">', "&", "<", "<mi", "<mi>"],
)  # fmt: skip
def test_mathml_made_of_one_construct_takes_linear_time(unit: str) -> None:
    markup = "<math>" + unit * (400_000 // len(unit)) + "</math>"
    started = time.process_time()
    math_markup_tex(markup)
    assert time.process_time() - started < 5  # a square of the length would take hours
