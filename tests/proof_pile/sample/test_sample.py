"""The built-in sample: what its readers and filters must find, and how much of everything there is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from proof_pile.build.recipe import load_recipe
from proof_pile.documents import Document, Quarantined, make_document
from proof_pile.filters import Drop, Keep, make_chain, make_filter
from proof_pile.sample import PLANNED, RECIPE
from proof_pile.sources import list_files, read


@dataclass
class Found:
    kept: dict[tuple[str, str], Document] = field(default_factory=dict)
    dropped: dict[tuple[str, str], str] = field(default_factory=dict)
    quarantined: list[tuple[str, Quarantined]] = field(default_factory=list)
    num_bytes: Counter[str] = field(default_factory=Counter)
    num_documents: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def found() -> Found:
    """Everything that the sample's recipe reads, through its filters."""
    out = Found()
    for source in load_recipe(RECIPE).sources:
        chain = make_chain(source.filters)
        for config in source.inputs:
            for file in list_files(config, RECIPE.parent):
                for record in read(config, file, source.name):
                    if isinstance(record, Quarantined):
                        out.quarantined.append((source.name, record))
                        continue
                    verdict = chain(record)
                    if isinstance(verdict, Drop):
                        out.dropped[source.name, record.name] = verdict.reason
                    else:
                        assert (source.name, record.name) not in out.kept, "two documents of one name"
                        out.kept[source.name, record.name] = verdict.document
                        out.num_bytes[source.name] += len(verdict.document.text.encode())
                        out.num_documents[source.name] += 1
    return out


@pytest.fixture(scope="module")
def planned() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(PLANNED.read_text(encoding="utf-8"))
    return value


def test_sample_holds_about_eight_megabytes_with_text_in_every_source(found: Found) -> None:
    assert 7_000_000 < sum(found.num_bytes.values()) < 9_500_000
    assert found.num_bytes["arxiv"] > 1_500_000
    assert found.num_bytes["web"] > 2_500_000
    assert found.num_bytes["algebraic-code"] > 1_500_000
    assert found.num_bytes["general-text"] > 50_000
    assert found.num_bytes["general-code"] > 300_000


def test_sample_holds_at_least_nine_languages_of_algebraic_stack(found: Found) -> None:
    languages = {d.meta.get("language") for (source, _), d in found.kept.items() if source == "algebraic-code"}
    assert {"lean", "coq", "isabelle", "jupyter"} <= languages
    assert len(languages) >= 15


def test_planned_broken_records_are_quarantined_with_place_and_reason(found: Found, planned: dict[str, Any]) -> None:
    wanted = planned["broken"]
    for entry in wanted:
        assert any(
            source == entry["source"]
            and record.path == entry["path"]
            and record.line == entry.get("line")
            and record.member == entry.get("member")
            and entry["reason"] in record.reason
            for source, record in found.quarantined
        ), entry
    assert len(found.quarantined) == len(wanted)


def test_planned_drops_are_dropped_for_their_reason(found: Found, planned: dict[str, Any]) -> None:
    for entry in planned["dropped"]:
        assert found.dropped[entry["source"], entry["name"]] == entry["reason"]


def test_planned_exact_duplicates_are_equal_texts_that_reach_the_next_step(
    found: Found, planned: dict[str, Any]
) -> None:
    for first, second in planned["exact_duplicates"]:
        texts = [found.kept[d["source"], d["name"]].text for d in (first, second)]
        assert texts[0] == texts[1]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_planned_near_duplicates_are_similar_but_not_equal(found: Found, planned: dict[str, Any]) -> None:
    for first, second in planned["near_duplicates"]:
        a, b = (shingles(found.kept[d["source"], d["name"]].text) for d in (first, second))
        assert 0.75 < len(a & b) / len(a | b) < 1


def test_planned_contaminated_documents_hold_their_problem_word_for_word(found: Found, planned: dict[str, Any]) -> None:
    lines = (RECIPE.parent / "benchmarks.jsonl").read_text(encoding="utf-8").splitlines()
    problems = {row["id"]: row["text"] for row in map(json.loads, lines) if row["part"] == "problem"}
    for entry in planned["contaminated"]:
        text = " ".join(found.kept[entry["source"], entry["name"]].text.split())
        assert " ".join(problems[entry["id"]].split()) in text


def test_pages_keep_their_equations_and_lose_their_menus(found: Found) -> None:
    pages = [d for (s, _), d in found.kept.items() if s == "web" and str(d.meta.get("path", "")).endswith(".html")]
    assert len(pages) >= 11
    text = "\n".join(page.text for page in pages)
    for formula in (
        r"$$(fg)' = f'g + fg'.$$",
        r"$\frac{a + b - c}{2}$",
        r"$a^{p-1} \equiv 1 \pmod p$",
        "$V - E + F = 2 - 2g$",
    ):
        assert formula in text
    for gone in ("Subscribe", "Share", "cookies", "Log in", "Retrieved from", "katex", "MathJax"):
        assert gone not in text
    assert sum(page.meta["num_formulas"] > 0 for page in pages) >= 11


def test_questions_have_their_answers_with_the_best_first_and_their_equations(found: Found) -> None:
    asked = {name: d for (s, name), d in found.kept.items() if s == "web" and d.meta.get("site") == "math.example.org"}
    assert len(asked) == 4
    assert asked["https://math.example.org/questions/1"].meta["answer_scores"] == [10, 9]  # as strings, 9 comes first
    text = asked["https://math.example.org/questions/7"].text
    assert text.startswith("Q: Is the derivative") and "\n\nA: No. Take $f(x)=x^2\\sin(1/x^2)$" in text
    assert r"$$f'(x) = 2x\sin\frac{1}{x^2}-\frac2x\cos\frac1{x^2},$$" in text


def test_papers_lose_comments_macros_and_bibliographies(found: Found) -> None:
    papers = [d for (s, _), d in found.kept.items() if s == "arxiv" and "synthetic" not in d.meta]
    assert len(papers) >= 7
    text = "\n".join(paper.text for paper in papers)
    for gone in (
        "TODO",
        r"\newcommand",
        "thebibliography",
        r"\begin{references}",
        "must not appear",
        r"\inner{",
        r"\legendre",
    ):
        assert gone not in text
    for kept in (
        "this percent sign is no comment",
        "100% of the set is wanted",
        "Gr\u00f6nwall",
        r"100\% of the dependence",
    ):
        assert kept in text
    assert text.count(r"\begin{abstract}") >= 7


@pytest.mark.parametrize("header", ["fftw.h", "fftw3.h", "rfftw.h", "gsl/gsl_math.h", "cblas.h"])
def test_sample_rule_for_c_takes_every_mathematical_header(header: str) -> None:
    """A missing comma in math-lm's process_stack.py joined `fftw3.h` and `rfftw.h`: neither ever matched."""
    source = next(source for source in load_recipe(RECIPE).sources if source.name == "algebraic-code")
    (rules,) = (section for section in source.filters if section.kind == "language-rules")
    decide = make_filter(rules)
    text = f"#include <{header}>\nint main(void) {{ return 0; }}\n"
    assert isinstance(decide(make_document("algebraic-code", "a.c", text, {"language": "c"})), Keep)
    other = text.replace(header, "stdio.h")
    assert isinstance(decide(make_document("algebraic-code", "b.c", other, {"language": "c"})), Drop)
