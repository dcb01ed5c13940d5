"""AlgebraicStack's rules number by number and word by word, as its authors published them.

Origin of every figure and list here: EleutherAI/math-lm at 9575d13, process_stack.py and process_github.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from proof_pile.documents import make_document
from proof_pile.filters import Drop, Filter, FilterConfig, make_filter

# The least text that each language keeps; rules of size and digits are tried on it.
LEAST = {
    "agda": "module M where\n",
    "c": "#include <gsl/gsl_math.h>\n",
    "coq": "Qed.\n",
    "cpp": "#include <boost/a.hpp>\n",
    "fortran": "end\n",
    "gap": "f := x;\n",
    "haskell": "import Data.Complex\n",
    "idris": "module M\n",
    "isabelle": "lemma a\n",
    "julia": "f(x) = x\n",
    "jupyter": "from sympy import x\n",
    "lean": "lemma a\n",
    "maple": "f := x:\n",
    "matlab": "y = x;\n",
    "python": "import numpy\n",
    "r": "y <- x\n",
    "tex": "\\section{A}\n",
}
MAX_BYTES = dict.fromkeys(LEAST, 1048575) | {"maple": 100_000, "tex": 10_000_000}
UNBOUNDED = ("julia", "jupyter")
MAX_DIGITS = dict.fromkeys(LEAST, 0.5) | {"cpp": 0.1}


@pytest.fixture(scope="module")
def reason() -> Callable[..., str | None]:
    section = {"kind": "language-rules", "preset": "algebraic-stack", "others": "drop"}
    judge: Filter = make_filter(TypeAdapter(FilterConfig).validate_python(section))

    def ask(language: str, text: str, path: str = "a", **meta: Any) -> str | None:
        path = "a.tex" if language == "tex" and path == "a" else path
        verdict = judge(make_document("s", "n", text, {"language": language, "path": path, **meta}))
        return verdict.reason if isinstance(verdict, Drop) else None

    return ask


@pytest.mark.parametrize("language", sorted(set(LEAST) - set(UNBOUNDED)))
def test_file_of_the_largest_size_stays_and_a_byte_more_goes(language: str, reason: Callable[..., str | None]) -> None:
    least = LEAST[language]
    assert reason(language, least + "a" * (MAX_BYTES[language] - len(least))) is None
    assert reason(language, least + "a" * (MAX_BYTES[language] - len(least) + 1)) == "too-large"


@pytest.mark.parametrize("language", sorted(set(LEAST) - set(UNBOUNDED)))
def test_digits_up_to_the_share_stay_and_one_more_goes(language: str, reason: Callable[..., str | None]) -> None:
    share = MAX_DIGITS[language]
    letters = 900 - len("".join(LEAST[language].split()))
    digits = round(900 * share / (1 - share))
    text = LEAST[language] + "a" * letters
    assert reason(language, text + "\n" + "7 " * digits) is None
    assert reason(language, text + "\n" + "7 " * (digits + 1)) == "digit-share"


@pytest.mark.parametrize("language", UNBOUNDED)
def test_julia_and_notebooks_have_no_bound_below_which_they_stay(
    language: str, reason: Callable[..., str | None]
) -> None:
    assert reason(language, LEAST[language] + "1 " * 40_000) is None
    assert reason("jupyter", LEAST["jupyter"] + "a" * 3_000_000) is None


def test_julia_is_asked_for_tests_from_a_hundred_thousand_bytes_on(reason: Callable[..., str | None]) -> None:
    plain = "x = y + z\n"
    assert reason("julia", plain * 10_000) == "large-without-marker"
    assert reason("julia", (plain * 10_000)[:-1]) is None
    # one line in ten, the last one empty
    block = "@test aaaa\n" + plain * 9
    tests = block * 1010 + "@test a"
    assert tests.count("@test") * 10 == tests.count("\n") + 10 and reason("julia", tests) is None
    fewer = (plain + block) * 1010
    assert fewer.count("@test") / (fewer.count("\n") + 1) < 0.1 and reason("julia", fewer) == "large-without-marker"
    digits = "@test aaaaa" + "1" * 11 + "\n"
    assert reason("julia", digits * 10_000) == "digit-share"
    assert reason("julia", digits[:-2].replace("aaaaa", "aaaaaa") * 10_000) is None


PACKAGES = (
    "numpy scipy sympy sage numba numexpr theano statsmodels networkx mpmath pymc3 astropy cupy pycuda cvxpy pyomo jax"
)
WANTED = {
    "python": [f"{word} {package}\n" for package in PACKAGES.split() for word in ("import", "from")],
    "c": [
        f"#include <{header}\n"
        for header in ("fftw.h>", "fftw3.h>", "rfftw.h>", "gsl/a.h>", "cblas.h>", "blas.h>", "lapacke.h>", "nlopt.h>",
                       "petsc.h>")
    ],
    "cpp": [
        f"#include <{header}\n"
        for header in ("adept_arrays.h>", "adept.h>", "alglib/ap.h>", "boost/a.hpp>", "armadillo>", "blitz/array.h>",
                       "Eigen/Dense>", "deal.II/base/a.h>", "dlib/matrix.h>", "NTL/ZZ.h>", "mtl/mtl.h>")
    ],
    "haskell": [
        f"{word} {module}\n"
        for module in ("Numeric.LinearAlgebra", "Numeric.SpecFunctions", "Numeric.Vector", "Statistics.Sample",
                       "Data.Complex")
        for word in ("import", "import qualified", "import  qualified")
    ],
    "coq": [f"{word} x\n" for word in ("Theorem", "Proof", "Qed", "Inductive", "Definition", "Fixpoint")],
    "lean": ["theorem x\n", "lemma x\n", "example : x\n"],
    "isabelle": ["theorem x\n", "lemma x\n"],
    "jupyter": ["\\begin{equation}", "\\BEGIN{align}", "import sympy", "From SymPy import *"],
    "tex": [
        f"\\{name}{{A}}\n"
        for name in ("chapter", "chapter*", "section", "section*", "subsection", "subsection*", "subsubsection",
                     "subsubsection*", "paragraph", "subparagraph")
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", sorted(WANTED))
def test_each_wanted_word_keeps_a_file_by_itself(language: str, reason: Callable[..., str | None]) -> None:
    """In math-lm "#include <fftw3.h>" and "#include <rfftw.h>" stood without a comma between them.

    Python made one string of the two, which no file holds, so that C with the FFTW of today was not taken.
    """
    assert {text: reason(language, text) for text in WANTED[language]} == dict.fromkeys(WANTED[language])
    assert reason(language, "nothing of the kind\n") == "not-mathematical"


UNWANTED = [
    ("r", "/* Resource fork", "unwanted-content"),
    ("r", "Requirement \n {  Identifier", "unwanted-content"),
    ("r", "<?xml version='1.0'?>", "not-this-language"),
    ("r", '{"cells": []}', "unwanted-content"),
    ("maple", "<?xml version='1.0'?>", "not-this-language"),
    ("python", '\n {"a": "import numpy"}', "not-this-language"),
    ("julia", "%PDF", "not-this-language"),
    ("julia", "{", "not-this-language"),
    ("julia", "[1]", "not-this-language"),
    ("tex", "\\section{A} set terminal gnuplot", "unwanted-content"),
    ("coq", "Definition a.\n(* pragma *)", "unwanted-content"),
    ("coq", "Definition endmodule", "unwanted-content"),
    ("coq", "Definition posedge", "unwanted-content"),
    ("coq", "Definition negedge", "unwanted-content"),
    ("coq", "Definition a.\nwire x;", "unwanted-content"),
    ("coq", "Definition a. (* This file was automatically generated by x *)", "unwanted-content"),
    ("matlab", "#import <a.h>", "unwanted-content"),
    ("matlab", "@interface A", "unwanted-content"),
    ("matlab", "@implementation A", "unwanted-content"),
    ("matlab", "@property a", "unwanted-content"),
    ("matlab", '#include "a.h"', "unwanted-content"),
    ("matlab", "int main(int c, char **v)\n{", "unwanted-content"),
]


@pytest.mark.parametrize(("language", "text", "wanted"), UNWANTED)
def test_each_unwanted_word_drops_a_file_that_else_would_stay(
    language: str, text: str, wanted: str, reason: Callable[..., str | None]
) -> None:
    assert reason(language, text) == wanted
    # without it, what is left of the file stays
    assert reason(language, LEAST[language]) is None


def test_first_characters_that_julia_may_not_have_are_allowed_later(reason: Callable[..., str | None]) -> None:
    assert reason("julia", "x = [1, 2]; y = Dict{Int, Int}(); z = 5 % 3") is None


def test_text_of_white_space_alone_is_no_division_by_zero(reason: Callable[..., str | None]) -> None:
    """Digits over characters that are not white space: math-lm stops with ZeroDivisionError at such a file."""
    assert reason("fortran", " \n\t\n") is None
