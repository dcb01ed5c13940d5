"""The same problem has the same words in LaTeX, in Unicode and typed plainly; a long text the same as its parts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from llemma.core.text.normalized_words import LETTERS_BIT, OPERATOR_BIT, native_tables, read_words, words_of_text


def spelled(text: str) -> list[str]:
    """The words as they stand in the text, operators marked."""
    data, words = text.encode(), words_of_text(text)
    pieces = [data[begin:end].decode() for begin, end in zip(words.starts, words.ends, strict=True)]
    marks = [bool(hash_ & np.uint64(OPERATOR_BIT)) for hash_ in words.hashes]
    return [piece + "!" * mark for piece, mark in zip(pieces, marks, strict=True)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (r"Compute $\frac{1}{2}+\sqrt{3}$.", "compute 1/2 + √3"),
        (r"$\frac12\pi$", "½ π"),
        (r"$\dfrac{a}{b}$", "a/b"),
        (r"$x^{12}\le 5\cdot y_1$", "x¹² ≤ 5·y₁"),
        (r"$3x_1 \times 2$", "3 x1 * 2"),
        (r"$f(x) = x^2y$", "f(x) = x²y"),
        (r"\begin{align*} f(x)&=x^2\\ &\geq 3 \end{align*}", "f(x) = x² ≥ 3"),
        (r"an angle of $60^\circ$", "an angle of 60°"),
        (r"\sqrt2", "√2"),
        (r"\text{Janet's} ducks", "Janet’s ducks"),
        (r"50\% of \$1{,}000", "50% of $1,000"),
        (r"$10\,\text{cm}$", "10cm"),
        ("efﬁcient naïve Erdős", "efficient naive Erdos"),
        (r"$x \in \mathbb{R}$", "x ∈ ℝ"),
        (r"$\varphi$ and $\Delta$", "φ and Δ"),
        ("a ==== b", "a = b"),
        ("𝑥 + 𝟐", "x + 2"),
        ("> quoted\n> mail", "quoted mail"),
        ("three-digit", "three–digit"),
    ],
)
def test_words_are_the_same_in_another_typography(first: str, second: str) -> None:
    assert words_of_text(first).hashes.tolist() == words_of_text(second).hashes.tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [("2 + 3", "2 - 3"), ("x^2", "x_2"), ("12", "1 2"), ("a < b", "a > b"), ("sine", "sin"), ("\\sqrt 2", "2")],
)
def test_words_differ_where_the_mathematics_does(first: str, second: str) -> None:
    assert words_of_text(first).hashes.tolist() != words_of_text(second).hashes.tolist()


def test_words_stand_where_they_are_in_the_text() -> None:
    assert spelled(r"Let $x=\pi^2$, not \emph{five}.") == ["Let", "x", "=!", "pi", "^!", "2", "not", "five"]
    assert spelled("x² ≤ ½") == ["x", "²!", "²", "≤!", "≤!", "½", "½"]


def test_words_of_two_letters_are_told_from_numbers_and_single_letters() -> None:
    hashes = words_of_text("ab c 12 π é").hashes
    assert [bool(hash_ & np.uint64(LETTERS_BIT)) for hash_ in hashes] == [True, False, False, True, False]


def test_letters_of_other_scripts_are_words() -> None:
    assert spelled("Найдите x: 方程 ok") == ["Найдите", "x", "方程", "ok"]


def test_text_read_in_small_blocks_has_the_same_words() -> None:
    draw = random.Random(5)
    pieces = ["word", "12", "\\frac12", "\\begin{align}", "π", "x²y³", "+", "=" * 50, " ", "\n> ", "½½", "é" * 9, "\\"]
    text = "".join(draw.choice(pieces) for _ in range(4000))
    data = np.frombuffer(text.encode(), np.uint8)
    wanted = words_of_text(text)
    hashes, starts, ends = np.empty(100, np.uint64), np.empty(100, np.int64), np.empty(100, np.int64)
    found, position = [], 0
    while position < len(data):
        position, count = read_words(data, 0, position, len(data), native_tables(), hashes, starts, ends, 0)
        found += list(zip(hashes[:count].tolist(), starts[:count].tolist(), ends[:count].tolist(), strict=True))
    assert found == list(zip(wanted.hashes.tolist(), wanted.starts.tolist(), wanted.ends.tolist(), strict=True))


def test_damaged_utf8_is_read_to_its_end() -> None:
    data = np.frombuffer(b"abc \xff\xe2\x82 \xf0\x9f def\xc3", np.uint8)
    hashes, starts, ends = np.empty(100, np.uint64), np.empty(100, np.int64), np.empty(100, np.int64)
    position, count = read_words(data, 0, 0, len(data), native_tables(), hashes, starts, ends, 0)
    assert position == len(data)
    assert int(ends[:count].max()) <= len(data)
