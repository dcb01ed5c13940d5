"""Expansion of macros, and its limits."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proof_pile.sources.tex_macros import Expander, MacroLimits

CASES = [
    (r"\newcommand{\R}{\mathbb{R}}$\R^n$", r"$\mathbb{R}^n$"),
    (r"\newcommand\R{\mathbb R}$x\in\R$", r"$x\in\mathbb R$"),
    (r"\newcommand{\abs}[1]{|#1|}$\abs{x+\abs{y}}$", r"$|x+|y||$"),
    (r"\newcommand{\norm}[2][2]{\|#2\|_{#1}}$\norm{x} \norm[p]{x}$", r"$\|x\|_{2} \|x\|_{p}$"),
    (r"\def\eps{\varepsilon}$\eps x$", r"$\varepsilon x$"),
    (r"\def\pair#1#2{(#1,#2)}$\pair ab$", r"$(a,b)$"),
    (r"\newcommand{\half}{\frac12}$x^\half$", r"$x^{\frac12}$"),
    (
        r"\DeclareMathOperator{\tr}{tr}\DeclareMathOperator*{\am}{arg\,min}$\tr A,\am_x$",
        r"$\operatorname{tr} A,\operatorname*{arg\,min}_x$",
    ),
    (r"\newcommand{\a}{A}\newcommand{\b}{\a\a}$\b$", r"$AA$"),
    (r"\newcommand{\x}{1}\x\renewcommand{\x}{2}\x", "12"),
    (r"\newcommand{\x}{1}\providecommand{\x}{2}\x", "1"),
    (r"\let\phi\varphi$\phi$", r"$\varphi$"),
    (r"\newcommand{\al}{\alpha}$\al b$", r"$\alpha b$"),
    (r"\newcommand{\al}{\alpha}${\al}b$", r"${\alpha}b$"),
    (r"\newcommand{\code}{C}\verb|\code| \code", r"\verb|\code| C"),
    (r"\newcommand{\ab}{X}\abc \ab", r"\abc X"),
    (r"\def\swap#1:#2;{#2#1}\swap a:b;", r"\def\swap#1:#2;{#2#1}\swap a:b;"),
    (r"\newcommand{\odd}{\csname x\endcsname}\odd", r"\odd"),
    (r"\newcommand{\needs}[2]{#1#2}\needs{a}", r"\needs{a}"),
]


@pytest.mark.parametrize(("source", "wanted"), CASES)
def test_macro_is_expanded(source: str, wanted: str) -> None:
    assert Expander().expand(source) == wanted


def test_definition_on_its_own_line_takes_the_line_with_it() -> None:
    assert Expander().expand("a\n\\newcommand{\\x}{1}\nb\n") == "a\nb\n"


def test_macro_that_calls_itself_is_expanded_once() -> None:
    assert Expander().expand(r"\renewcommand{\vec}[1]{\mathbf{\vec{#1}}}$\vec{x}$") == r"$\mathbf{\vec{x}}$"


def test_macro_bomb_stops_at_its_limit_and_says_so() -> None:
    """Forty macros, each calling the one before twice, would expand to 2^40 letters."""
    names = [f"\\m{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40)]
    lines = [f"\\newcommand{{{names[0]}}}{{x}}"]
    lines += [f"\\newcommand{{{b}}}{{{a}{a}}}" for a, b in pairwise(names)]
    expander = Expander(limits=MacroLimits())
    text = expander.expand("\n".join([*lines, names[-1], names[10]]))
    assert len(text) < 5_000_000
    assert expander.stopped is not None


def test_bomb_of_growing_arguments_stops_at_the_size_limit() -> None:
    source = r"\newcommand{\d}[1]{#1#1#1#1#1#1#1#1}" + r"\d{" * 14 + "x" + "}" * 14
    expander = Expander(limits=MacroLimits(max_growth_chars=100_000))
    assert len(expander.expand(source)) < 2_000_000
    assert expander.stopped is not None
