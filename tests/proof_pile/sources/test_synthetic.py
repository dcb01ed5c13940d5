"""Generated exercises: the same for a seed, and right by an independent computation."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from proof_pile.documents import Document
from proof_pile.sources import synthetic
from proof_pile.sources.exercises import TOPICS, algebra, calculus, counting, numbers

ALL_TOPICS = [topic for group in TOPICS.values() for topic in group]


def documents(form: str, count: int, seed: int = 3) -> list[Document]:
    config = synthetic.Config(kind="synthetic", form=form, num_documents=count, seed=seed)
    files = synthetic.list_files(config, Path())
    return [d for f in files for d in synthetic.read(config, f, "web") if isinstance(d, Document)]


def test_seed_alone_decides_the_documents() -> None:
    first, again, longer = documents("web", 120), documents("web", 120), documents("web", 140)
    assert [d.text for d in first] == [d.text for d in again] == [d.text for d in longer[:120]]
    assert {d.text for d in first}.isdisjoint(d.text for d in documents("web", 120, seed=4))
    assert len({d.id for d in longer}) == 140


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.__name__)
def test_every_topic_checks_its_answers_and_closes_its_formulas(topic: object) -> None:
    for seed in range(60):
        exercise = topic(Random(seed))  # type: ignore[operator]
        for text in (exercise.statement, exercise.answer, *exercise.steps):
            assert text.replace(r"\$", "").count("$") % 2 == 0, text
            plain = text.replace(r"\{", "").replace(r"\}", "")
            assert plain.count("{") == plain.count("}"), text
            assert "+ -" not in text and "--" not in text, text


def numbers_in(text: str) -> list[Fraction]:
    r"""The integers and \frac's of a formula, in order."""
    pattern = r"(-?)\\frac\{(\d+)\}\{(\d+)\}|(-?\d+)"
    found = re.finditer(pattern, text)
    return [Fraction(int(m[4])) if m[4] else Fraction(int(m[1] + m[2]), int(m[3])) for m in found]


def test_answers_read_back_from_the_text_agree_with_a_computation_of_another_kind() -> None:
    for seed in range(40):
        exercise = numbers.modular_power(Random(seed))
        match = re.search(r"\$(\d+)\^\{(\d+)\} (?:\\bmod|\$ is divided by \$)\s?(\d+)", exercise.statement)
        match = match or re.search(r"\$(\d+)\^\{(\d+)\}\$ is divided by \$(\d+)", exercise.statement)
        assert match is not None
        base, exponent, modulus = (int(match[k]) for k in (1, 2, 3))
        assert numbers_in(exercise.answer) == [base**exponent % modulus]

        exercise = numbers.greatest_common_divisor(Random(seed))
        *_, divisor = numbers_in(exercise.answer)
        a, b = numbers_in(exercise.answer)[:2]
        assert divisor == math.gcd(int(a), int(b))

        exercise = algebra.determinant(Random(seed))
        entries = numbers_in(exercise.statement)[:9]
        import numpy as np

        matrix = np.array([float(v) for v in entries]).reshape(3, 3)
        assert round(float(np.linalg.det(matrix))) == numbers_in(exercise.answer)[0]


def test_integrals_and_limits_agree_with_a_computer_algebra_system() -> None:
    sympy = pytest.importorskip("sympy")
    x = sympy.Symbol("x")
    for seed in range(6):
        exercise = calculus.definite_integral(Random(seed))
        low, high, body = 0, 0, ""
        if match := re.search(r"\\int_\{(-?\d+)\}\^\{(-?\d+)\} \\left\((.*?)\\right\) dx", exercise.statement):
            low, high, body = int(match[1]), int(match[2]), match[3]
        elif match := re.search(
            r"\$y = (.*?)\$ and the \$x\$-axis from \$x = (-?\d+)\$ to \$x = (-?\d+)", exercise.statement
        ):
            low, high, body = int(match[2]), int(match[3]), match[1]
        plain = re.sub(r"(\d)x", r"\1*x", body).replace("^", "**")
        value = sympy.integrate(sympy.sympify(plain), (x, low, high))
        assert Fraction(int(value.p), int(value.q)) == numbers_in(exercise.answer)[0]


def test_documents_are_not_near_duplicates_of_one_another() -> None:
    shingles = []
    for document in documents("latex", 80):
        words = document.text.split()
        shingles.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    worst = max(len(a & b) / len(a | b) for i, a in enumerate(shingles) for b in shingles[:i])
    assert worst < 0.4


def test_counting_answers_agree_with_counting() -> None:
    for seed in range(30):
        exercise = counting.inclusion_exclusion(Random(seed))
        given = [int(v) for v in numbers_in(exercise.statement)]
        limit = max(given)
        a, b = [v for v in given if v not in (1, limit)][:2]
        assert sum(1 for k in range(1, limit + 1) if k % a == 0 or k % b == 0) == numbers_in(exercise.answer)[0]
