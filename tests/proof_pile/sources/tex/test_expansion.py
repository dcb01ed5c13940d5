r"""Macros, conditions and the bounds on them."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from proof_pile.sources.tex.expansion import expand

CASES = [
    # \newcommand and its kin
    (r"\newcommand{\R}{\mathbb{R}}$\R^n$", r"$\mathbb{R}^n$"),
    (r"\newcommand\R{\mathbb R}$x\in\R$", r"$x\in\mathbb R$"),
    (r"\newcommand*{\R}{R}\R", "R"),
    (r"\newcommand{\abs}[1]{|#1|}$\abs{x+\abs{y}}$", r"$|x+|y||$"),
    (r"\newcommand{\norm}[2][2]{\|#2\|_{#1}}$\norm{x} \norm[p]{x}$", r"$\|x\|_{2} \|x\|_{p}$"),
    (r"\newcommand{\x}{1}\x\renewcommand{\x}{2}\x", "12"),
    (r"\newcommand{\x}{1}\providecommand{\x}{2}\x", "1"),
    (r"\DeclareRobustCommand{\x}[1]{<#1>}\x y", "<y>"),
    (r"\renewcommand{\epsilon}{\varepsilon}$\epsilon$", r"$\varepsilon$"),
    (r"\newcommand{\nc}{\newcommand}\nc{\R}{R}\R", "R"),
    (r"\newcommand{\mk}[1]{\expandafter\newcommand\csname c#1\endcsname{\mathcal{#1}}}\mk{A}$\cA$", r"$\mathcal{A}$"),
    # \def
    (r"\def\eps{\varepsilon}$\eps x$", r"$\varepsilon x$"),
    (r"\def\pair#1#2{(#1,#2)}$\pair ab$", r"$(a,b)$"),
    (r"\def\swap#1:#2;{#2#1}\swap a:b;", "ba"),
    (r"\def\at(#1,#2){[#1|#2]}\at(x,{y,z})", "[x|y,z]"),
    (r"\def\outer#1{\def\inner##1{#1##1}\inner{b}}\outer{a}", "ab"),
    (r"{\def\x{1}\x}\x", r"{1}\x"),
    (r"{\gdef\x{1}}\x", "{}1"),
    (r"{\global\def\x{1}}\x", "{}1"),
    # \let keeps what the name meant
    (r"\let\phi\varphi$\phi$", r"$\varphi$"),
    (r"\let\old\vec\renewcommand{\vec}[1]{\old{\mathbf{#1}}}$\vec{x}$", r"$\vec{\mathbf{x}}$"),
    (r"\let\nc=\newcommand\nc{\x}{1}\x", "1"),
    # operators, delimiters, xparse
    (
        r"\DeclareMathOperator{\tr}{tr}\DeclareMathOperator*{\am}{arg\,min}$\tr A,\am_x$",
        r"$\operatorname{tr} A,\operatorname*{arg\,min}_x$",
    ),
    (
        r"\DeclarePairedDelimiter{\norm}{\lVert}{\rVert}$\norm{x},\norm*{y},\norm[\big]{z}$",
        r"$\lVert x\rVert,\left\lVert y\right\rVert,\bigl\lVert z\bigr\rVert$",
    ),
    (r"\NewDocumentCommand{\ip}{O{x} m}{\langle #1,#2\rangle}$\ip{y}\ip[z]{y}$", r"$\langle x,y\rangle\langle z,y\rangle$"),
    # what must stand between the parts
    (r"\newcommand{\half}{\frac12}$x^\half$", r"$x^{\frac12}$"),
    (r"\newcommand{\vx}{\mathbf{x}}$\hat\vx,\frac\vx2$", r"$\hat{\mathbf{x}},\frac{\mathbf{x}}2$"),
    (r"\newcommand{\al}{\alpha}$\al b$", r"$\alpha b$"),
    (r"\newcommand{\al}{\alpha}${\al}b$", r"${\alpha}b$"),
    (r"\newcommand{\m}[1]{\alpha#1}$\m{b}$", r"$\alpha b$"),
    (r"\newcommand{\m}[1]{#1n}$\m{\alpha}$", r"$\alpha n$"),
    (r"\newcommand{\R}{R}$\alpha\R$", r"$\alpha R$"),
    (r"\def\od{\"o}Schr\od dinger, \od sterreich", "Schr\\\"odinger, \\\"o sterreich"),
    (r"\newcommand{\ie}{i.e.\xspace}\ie{} so \ie then", "i.e. so i.e. then"),
    (r"\newcommand{\F}{F}$\F{}_2$", r"$F{}_2$"),
    # mathematics or text
    (r"\newcommand{\N}{\ensuremath{\mathbb{N}}}\N\ is $\N$, \(\N\), $x=\mbox{\N}$", r"$\mathbb{N}$\ is $\mathbb{N}$, \(\mathbb{N}\), $x=\mbox{$\mathbb{N}$}$"),
    (r"\newcommand{\x}{\ifmmode x\else$x$\fi}\x and \begin{align}\x\end{align}", r"$x$ and \begin{align}x\end{align}"),
    # environments that only stand for another one
    (r"\newcommand{\be}{\begin{equation}}\newcommand{\ee}{\end{equation}}\be x\ee", r"\begin{equation} x\end{equation}"),
    (r"\newenvironment{eq}[1]{\begin{equation}\label{#1}}{\end{equation}}\begin{eq}{a}x\end{eq}", r"\begin{equation}\label{a}x\end{equation}"),
    (r"\newenvironment{hint}{\textit{Hint.} }{}\begin{hint}x\end{hint}", r"\begin{hint}x\end{hint}"),
    # conditions
    (r"\newif\ifa\ifa yes\else no\fi.\atrue\ifa yes\else no\fi", "no.yes"),
    (r"\iffalse gone \ifx a b c \fi\else kept\fi x", "keptx"),
    (r"\iftrue kept \else gone\fi x", "kept x"),
    (r"\ifx\a\b one\else two\fi", r"\ifx\a\b one\else two\fi"),
    (r"\newif\ifdraft\ifdraft \input{x} \iff \ifthenelse{a}{b}{c}\fi d", "d"),
    # left as they stand
    (r"\newcommand{\code}{C}\verb|\code| \code", r"\verb|\code| C"),
    (r"\newcommand{\c}{C}\begin{verbatim}\c\end{verbatim}", r"\begin{verbatim}\c\end{verbatim}"),
    (r"\newcommand{\ab}{X}\abc \ab", r"\abc X"),
    (r"\newcommand{\odd}{\csname x\endcsname}\odd", r"\odd"),
    (r"\def\lsim{\mathrel{\rlap{\lower4pt\hbox{$\sim$}}<}}$a\lsim b$", r"$a\lsim b$"),
    (r"\newcommand{\needs}[2]{#1#2}\needs{a}", r"\needs{a}"),
    (r"\renewcommand{\section}[1]{\textbf{#1}}\section{A}", r"\section{A}"),
    (r"\makeatletter\def\a@b{1}\makeatother\a@b", r"\a@b"),
    (r"\makeatletter\let\@old\maketitle\renewcommand{\maketitle}{\@old Notes}\makeatother\maketitle{}x", "{}x"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "wanted"), CASES)
def test_macro_is_expanded_as_tex_reads_it(source: str, wanted: str) -> None:
    assert expand(source.encode()).text.decode() == wanted


def test_definition_on_its_own_line_takes_the_line_with_it() -> None:
    assert expand(b"a\n\\newcommand{\\x}{1}\nb\n").text == b"a\nb\n"


def test_macros_are_left_where_the_recipe_says_so() -> None:
    text = rb"\newcommand{\x}[1]{1}\newcommand{\y}{2}\iffalse a\fi\x{3}\y"
    assert expand(text, macros=False).text == text.replace(rb"\iffalse a\fi", b"")
    assert expand(text, max_args=0).text == rb"\x{3}2"


def test_style_files_of_the_paper_give_macros_but_redefine_nothing_of_latex() -> None:
    style = (
        rb"\newcommand{\R}{\mathbb{R}}\def\section{\@startsection{x}}\renewcommand{\epsilon}{e}\def\in@{y}\def\z{\@z}"
    )
    assert expand(rb"\section{A} $\R\epsilon\z$", packages=style).text == rb"\section{A} $\mathbb{R}\epsilon\z$"


@pytest.mark.parametrize(
    "bomb",
    [
        r"\def\b{\b\b}\b",
        r"\def\b{x\b}\b",
        r"\def\b#1{\b{#1#1}}\b{x}",
        r"\def\a{\b}\def\b{\a}\a",
        r"\newcommand{\b}[1]{#1#1#1#1#1#1#1#1}" + r"\b{" * 60 + "x" + "}" * 60,
        r"\newenvironment{b}{\begin{b}}{\end{b}}\begin{b}x\end{b}",
    ],
)
def test_macro_bomb_is_left_as_it_stands_and_counted(bomb: str) -> None:
    result = expand((bomb + " the end $x$").encode())
    assert result.num_left > 0 or result.text.count(b"\\b") > 0
    assert result.text.endswith(b"the end $x$")
    assert len(result.text) < 2_000_000


def test_call_within_the_end_of_an_environment_that_runs_away_leaves_the_end() -> None:
    text = rb"\def\b{\b\b}\newenvironment{e}{\begin{center}}{\b\end{center}}\begin{e}x\end{e} y"
    assert expand(text).text == rb"\begin{center}x\end{e} y"


def test_bomb_of_many_macros_stops_at_the_bound_of_one_call() -> None:
    """Forty macros, each calling the one before twice, would expand to 2^40 letters."""
    names = [f"\\m{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40)]
    lines = [f"\\newcommand{{{names[0]}}}{{x}}", *(f"\\newcommand{{{b}}}{{{a}{a}}}" for a, b in pairwise(names))]
    result = expand("\n".join([*lines, names[-1], names[10]]).encode())
    assert result.num_left > 0
    assert result.text.strip().startswith(names[-1].encode())
    assert result.text.endswith(b"x" * 1024)


@pytest.mark.parametrize(
    "unit",
    ["{", "}", "\\iftrue ", "\\iffalse ", "\\fi", "$", "\\begin{a}", "\\begin{verbatim}", "\\verb|", "\\f{", "\\f", "\\def\\g",
     "\\newcommand{", "\\newif\\ifq\\ifq", "^", "\\frac", "\\let\\x", "[", "\\f\n\n", "\\csname", "\\makeatletter\\catcode`\\%=12 ",
     "{\\def\\f{y}", "\\section{", "\\end{document"],
)  # fmt: skip
def test_text_of_one_construct_takes_time_in_proportion_to_its_length(unit: str) -> None:
    expand(b"x")

    def seconds(size: int) -> float:
        text = ("\\newcommand{\\f}[1]{#1#1}" + unit * (size // len(unit))).encode()
        start = time.process_time()
        expand(text)
        return time.process_time() - start

    seconds(1000)
    small, large = min(seconds(50_000) for _ in range(2)), seconds(400_000)
    assert large < 40 * small + 0.5


def test_every_short_string_of_special_parts_is_expanded_without_reading_beyond_its_end() -> None:
    """Compiled code does not check its bounds."""
    import itertools

    parts = [b"\\", b"{", b"}", b"\\x", b"\\def\\x", b"#1", b"[", b"\\begin{", b"$", b"\n", b"\\fi"]
    for chosen in itertools.islice(itertools.product(parts, repeat=4), 0, None, 7):
        text = b"\\newcommand{\\x}[1][a]{b#1}" + b"".join(chosen)
        assert len(expand(text).text) < 500
