"""AsciiMath to LaTeX.  Origin of the cases: the examples and the symbol table of asciimath.org."""

from __future__ import annotations

import time

import pytest

from proof_pile.sources.web.asciimath import asciimath_tex

CASES = [
    ("sum_(i=1)^n i^3=((n(n+1))/2)^2", r"\sum_{i = 1}^{n} i^{3} = \left( \frac{n (n + 1)}{2} \right)^{2}"),
    ("x=(-b +- sqrt(b^2-4ac))/(2a)", r"x = \frac{- b \pm \sqrt{b^{2} - 4 a c}}{2 a}"),
    ("int_0^1 f(x)dx", r"\int_{0}^{1} f (x) dx"),
    ("lim_(x->oo) 1/x", r"\lim_{x \to \infty} \frac{1}{x}"),
    ("abs(x)/2", r"\frac{\left| x \right|}{2}"),
    ("[[a,b],[c,d]]", r"\left[ \begin{matrix} a & b \\ c & d \end{matrix} \right]"),
    ("((n),(k))", r"\left( \begin{matrix} n \\ k \end{matrix} \right)"),
    ('x in RR "if" y != 0', r"x \in \mathbb{R} \text{if} y \ne 0"),
    ("root(3)(x)", r"\sqrt[3]{x}"),
    ("hat x vec(ab)", r"\hat{x} \vec{a b}"),
    ("|x| < 1", r"\left| x \right| < 1"),
    ("alpha xx beta -= gamma", r"\alpha \times \beta \equiv \gamma"),
    ("a_11^2", "a_{11}^{2}"),
    ("{x | x > 0}", r"\left\{ x | x > 0 \right\}"),
    ("50% of $5", r"50 \% o f \$ 5"),
]


@pytest.mark.parametrize(("text", "tex"), CASES)
def test_asciimath_becomes_latex(text: str, tex: str) -> None:
    assert asciimath_tex(text) == tex


@pytest.mark.parametrize("unit", ["(", "sqrt", "|", "^", "a/", "[[", '"', "frac", "\\", "((a,b),"])
def test_text_of_one_construct_is_read_in_bounded_time(unit: str) -> None:
    started = time.process_time()
    asciimath_tex(unit * (5000 // len(unit)))
    assert time.process_time() - started < 5
