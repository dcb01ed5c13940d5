"""AlgebraicStack's rules as they ship: each language with the smallest file that it keeps and those that it drops."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proof_pile.documents import make_document
from proof_pile.filters import Drop, FilterConfig, make_filter
from proof_pile.filters.language_rules import preset_rules

ADAPTER: TypeAdapter[Any] = TypeAdapter(FilterConfig)
PRESET = {"kind": "language-rules", "preset": "algebraic-stack", "others": "drop"}
LANGUAGES = [
    "agda", "c", "coq", "cpp", "fortran", "gap", "haskell", "idris", "isabelle", "julia", "jupyter", "lean", "maple",
    "matlab", "python", "r", "tex",
]  # fmt: skip


def reason(language: str, text: str, section: dict[str, Any] = PRESET, **meta: Any) -> str | None:
    judge = make_filter(ADAPTER.validate_python(section))
    verdict = judge(make_document("code", meta.pop("path", "name"), text, {"language": language, **meta}))
    return verdict.reason if isinstance(verdict, Drop) else None


def test_preset_has_a_rule_for_each_of_the_17_languages() -> None:
    """In math-lm's list "haskell" "python" stood without a comma: with `--langs all` neither was built."""
    assert sorted(preset_rules("algebraic-stack")) == LANGUAGES


# What differs from EleutherAI/math-lm at 9575d13 ("ours"), and forms that its words may take; the words and numbers
# themselves are tried one by one in test_published_rules.py.
CASES = [
    ("c", "#  include <petsc.h>", None),
    ("c", '#include "gsl.h"', "not-mathematical"),
    ("c", "#include <stdio.h>", "not-mathematical"),
    ("coq", "Lemma a : True.", "not-mathematical"),
    ("coq", "Theorem\nalways @(posedge clk)", "unwanted-content"),
    ("coq", "// Definition of the bus\n  wire [7:0] data;\n", "unwanted-content"),
    ("coq", "(* A pragmatic choice of wires, see rewire. *)\nDefinition wire := nat.", None),  # ours: once dropped
    ("cpp", "#include <vector>", "not-mathematical"),
    ("gap", "grammar Expr;", "unwanted-content"),  # ours
    ("gap", "extends Node2D", "unwanted-content"),  # ours
    ("haskell", "> import Numeric.LinearAlgebra", None),
    ("haskell", "import Data.List", "not-mathematical"),
    ("isabelle", "ML ‹val x = 1›", "not-mathematical"),
    ("julia", "x = 1\n" * 20_000, "large-without-marker"),
    ("lean", "def a := 1", "not-mathematical"),
    ("matlab", "BeginPackage[a]", "unwanted-content"),  # ours: Mathematica shares the ending
    ("python", "from sage.all import ZZ", None),
    ("python", "import os", "not-mathematical"),
    ("python", "import sagemaker", "not-mathematical"),  # kept by math-lm
    ("r", "{\n  f <- function(x) x\n}", None),  # ours: a block of R, no notebook
    ("awk", "BEGIN", "language"),
]


@pytest.mark.parametrize(("language", "text", "wanted"), CASES)
def test_language_of_algebraic_stack_keeps_and_drops_as_published(language: str, text: str, wanted: str | None) -> None:
    assert reason(language, text, path="a.tex" if language == "tex" else "a") == wanted


@pytest.mark.parametrize(
    ("language", "meta", "wanted"),
    [
        ("lean", {"repo": "zhangir-azerbayev/ProofNet"}, "unwanted-repository"),
        ("lean", {"repo": "openai/miniF2F"}, "unwanted-repository"),
        ("lean", {"repo": "x/miniF2F-lean4"}, "unwanted-repository"),
        ("lean", {"repo": "x/ProofNetwork"}, None),
        ("lean", {"path": "_target/deps/mathlib/a.lean"}, "unwanted-path"),
        ("lean", {"path": ".lake/packages/mathlib/a.lean"}, "unwanted-path"),
        ("isabelle", {"repo": "isabelle-prover/mirror-afp-2021-1"}, "unwanted-repository"),
        ("isabelle", {"repo": "isabelle-prover/mirror-afp-devel"}, None),
    ],
)
def test_copies_and_benchmarks_go_by_repository_and_path(
    language: str, meta: dict[str, Any], wanted: str | None
) -> None:
    assert reason(language, "theorem a: true", **meta) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("doc/a.tex", None), ("doc/a.sty", "unwanted-path"), ("build/latex/a.tex", "unwanted-path")],
)
def test_tex_is_judged_by_its_path(path: str, wanted: str | None) -> None:
    assert reason("tex", "\\section{A}", path=path) == wanted


def test_notebook_is_judged_by_its_json_where_the_reader_noted_it() -> None:
    """The published rule looks at the JSON, outputs included; they are gone by the time filters see the text."""
    assert reason("jupyter", "plain text", raw_holds=["\\begin{align}"]) is None
    assert reason("jupyter", "import sympy", raw_holds=[]) == "not-mathematical"
    assert reason("jupyter", "From Sympy import *") is None


def test_size_rule_is_the_published_number_of_bytes_of_utf8() -> None:
    assert reason("agda", "é" * 524_287 + "a") is None
    assert reason("agda", "é" * 524_288) == "too-large"


def test_inline_rule_overrides_the_preset_key_by_key() -> None:
    section = {**PRESET, "rules": {"lean": {"contains_any": ["def "]}, "awk": {"contains_any": ["BEGIN"]}}}
    assert reason("lean", "def a := 1", section) is None
    assert reason("lean", "def a", section, path="_target/deps/a.lean") == "unwanted-path"
    assert reason("awk", "BEGIN", section) is None
    assert reason("agda", "x", section) is None


def test_section_with_a_preset_is_the_same_after_a_round_trip_through_json() -> None:
    config = ADAPTER.validate_python(PRESET)
    dumped = config.model_dump(mode="json")
    assert len(dumped["rules"]) == 17  # what is hashed holds the rules themselves
    assert ADAPTER.validate_python(dumped) == config


def test_unknown_preset_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValidationError, match="did you mean 'algebraic-stack'"):
        ADAPTER.validate_python({"kind": "language-rules", "preset": "algebraic-stak"})
    with pytest.raises(ValidationError, match="give 'preset', 'rules' or both"):
        ADAPTER.validate_python({"kind": "language-rules"})
