"""Counts of words, lines and repetitions, held against slow ones in plain Python."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from proof_pile.quality.rules import STOP_WORDS, Look, look_at, repetition_of
from proof_pile.words import words_of_text

WORDS = [
    "the", "Group", "of", "ORDER", "and", "x2", "3.14", "kernel,", "(map)", "That", "—", "déjà", "...", "ABC", "7",
    "be.", "“the”", '"To",', "(have)…", "with?!", "b.e", "that's", "≤", "ℝ", "×", "the·of", "a\xa0be", "the…of", "Ünd",
]  # fmt: skip


def made_texts() -> list[str]:
    draw = random.Random(6)
    texts = []
    for _ in range(80):
        lines = []
        for _ in range(draw.randrange(1, 8)):
            start = draw.choice(["", "", "- ", "* ", "• ", "  "])
            end = draw.choice(["", "", "...", "…", " "])
            lines.append(start + " ".join(draw.choices(WORDS, k=draw.randrange(0, 9))) + end)
        texts.append("\n".join(lines))
    return texts


def slow_look(text: str) -> dict[str, float]:
    """The counts from their definitions, for texts without formulas and code."""
    words = [word for word in text.split() if any(c.isalpha() or c.isdigit() for c in word)]
    alphabetic = [word for word in words if any(c.isalpha() for c in word)]
    capitals = [w for w in alphabetic if sum(c.isalpha() for c in w) >= 2 and not any(c.islower() for c in w)]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    bullets = [line for line in text.split("\n") if line.lstrip().startswith(("- ", "* ", "+ ", "• "))]
    bare = {re.sub(r"^[\W_]+|[\W_]+$", "", word).lower() for word in words}
    return {
        "num_words": len(words),
        "alphabetic": len(alphabetic),
        "upper": len(capitals),
        "letters": sum(c.isalpha() for word in alphabetic for c in word),
        "stops": sum(word in bare for word in STOP_WORDS),
        "ellipses": len(re.findall(r"\.{3,}|…", text)),
        "lines": len(lines),
        "bullets": len(bullets),
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines),
        "visible": sum(not c.isspace() for c in text),
    }


@pytest.mark.parametrize("text", made_texts())
def test_look_at_a_text_equals_a_slow_count(text: str) -> None:
    look, slow = look_at(text), slow_look(text)
    assert look.num_words == slow["num_words"]
    assert look.num_lines == slow["lines"]
    assert look.visible_chars == slow["visible"]
    assert look.num_stop_words == slow["stops"]
    share = pytest.approx
    assert look.alphabetic_share == share(slow["alphabetic"] / max(1, slow["num_words"]))
    assert look.upper_share == share(slow["upper"] / max(1, slow["alphabetic"]))
    assert look.mean_word_letters == share(slow["letters"] / max(1, slow["alphabetic"]))
    assert look.ellipses_per_word == share(slow["ellipses"] / slow["num_words"] if slow["num_words"] else 0)
    assert look.bullet_line_share == share(slow["bullets"] / max(1, slow["lines"]))
    assert look.ellipsis_line_share == share(slow["ellipsis_lines"] / max(1, slow["lines"]))


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("“the” map", 1),
        ("the… map", 1),
        ('"the", map', 1),
        ("b.e t,he", 0),
        ("that's", 0),
        ("be2", 0),
        ("the\u00a0map", 1),
    ],
)
def test_stop_word_is_told_without_the_signs_around_it(text: str, stops: int) -> None:
    """Once full stops and commas were read over ("b.e" was "be"), and typographic quotation marks were letters of a
    word, so that the pages of careful typesetters had fewer stop words, and "≤" and "—" were words of letters.
    """
    assert look_at(text).num_stop_words == stops


def test_signs_are_no_letters() -> None:
    look = look_at("≤ → ∑ × — “ is")
    assert (look.num_words, look.alphabetic_share) == (1, 1.0)


def test_formulas_and_code_are_no_bad_words() -> None:
    words = "The sum of the terms is bounded and that is all we have to show."
    with_formulas = (
        words + r" $\sum_{i=1}^{n} 3 \cdot 4^{i}$ \[ 1 2 3 4 5 6 7 8 \] `x = 0x7F ^ 3; y[3] += 2` $$ A B C $$"
    )
    plain, marked = look_at(words), look_at(with_formulas)
    assert (marked.num_words, marked.alphabetic_share, marked.upper_share) == (plain.num_words, 1.0, 0.0)
    assert (marked.num_formulas, marked.num_codes) == (3, 1)


def test_empty_text_looks_like_nothing() -> None:
    assert look_at("") == Look(**dict.fromkeys(Look.__slots__, 0))
    assert repetition_of("", (2,), (5,)).top_ngram_shares == {2: 0.0}


def test_repeated_lines_are_counted_by_lines_and_by_bytes() -> None:
    found = repetition_of("one line\nanother, longer line\none   line\n\n---\n---\n\none line")
    assert found.line_share == pytest.approx(2 / 4)
    size, other = len("one line"), len("another, longer line") - 2  # without white space
    assert found.line_byte_share == pytest.approx(2 * (size - 1) / (3 * (size - 1) + other))


def slow_words(text: str) -> list[str]:
    words = words_of_text(text)
    return [words.text(number, number).lower() for number in range(len(words.hashes))]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_repeated_runs_of_words_equal_a_slow_count(n: int) -> None:
    draw = random.Random(n)
    for _ in range(30):
        text = " ".join(draw.choices(["map", "Group", "a", "b", "x2", "=", "+"], k=draw.randrange(3, 60)))
        words = slow_words(text)
        runs = [tuple(words[first : first + n]) for first in range(len(words) - n + 1)]
        total = sum(map(len, words))
        most = max((count * sum(map(len, run)) for run, count in Counter(runs).items() if count > 1), default=0)
        covered = {place for first, run in enumerate(runs) if run in runs[:first] for place in range(first, first + n)}
        found = repetition_of(text, (n,), (n,))
        assert found.top_ngram_shares[n] == pytest.approx(most / total)
        assert found.repeated_ngram_shares[n] == pytest.approx(sum(len(words[k]) for k in covered) / total)
