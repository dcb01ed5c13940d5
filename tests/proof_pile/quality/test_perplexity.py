"""Perplexity as OpenWebMath and cc_net ask for it, held against a slow reader of ARPA files."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import pytest

from llemma.core.errors import DamagedFileError, InputError, MissingPackageError
from proof_pile.quality.perplexity import load_language_model, normalise, perplexity_of

UNIGRAMS = [
    (-1.0, "<unk>", 0.0),
    (-99.0, "<s>", -0.3),
    (-1.2, "</s>", 0.0),
    (-0.7, "the", -0.4),
    (-0.9, "group", -0.2),
    (-1.1, "[EQUATION]", -0.1),
    (-1.5, "cafe", 0.0),
]
BIGRAMS = [(-0.2, "<s> the"), (-0.3, "the group"), (-0.5, "group [EQUATION]"), (-0.4, "[EQUATION] </s>")]
ARPA = (
    f"\\data\\\nngram 1={len(UNIGRAMS)}\nngram 2={len(BIGRAMS)}\n\n\\1-grams:\n"
    + "".join(f"{chance}\t{word}\t{backoff}\n" for chance, word, backoff in UNIGRAMS)
    + "\n\\2-grams:\n"
    + "".join(f"{chance}\t{words}\n" for chance, words in BIGRAMS)
    + "\n\\end\\\n"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("kenlm", reason="needs kenlm (the extra 'perplexity')")
    path = tmp_path / "small.arpa"
    path.write_text(ARPA, encoding="utf-8")
    return path


def slow_log10(words: list[str]) -> float:
    """Katz back-off by hand: the bigram where it is listed, else back-off weight of the first word + the unigram."""
    unigrams = {word: (chance, backoff) for chance, word, backoff in UNIGRAMS}
    bigrams = {tuple(words.split()): chance for chance, words in BIGRAMS}
    total = 0.0
    known = [word if word in unigrams else "<unk>" for word in ["<s>", *words, "</s>"]]
    for before, word in itertools.pairwise(known):
        if (before, word) in bigrams:
            total += bigrams[before, word]
        else:
            total += unigrams[before][1] + unigrams[word][0]
    return total


@pytest.mark.parametrize("text", ["The group $x^2$", "the cafe", "Café THE group", "never heard of", "the"])
def test_perplexity_equals_a_slow_reference(model: Path, text: str) -> None:
    words = normalise(text).split()
    expected = 10 ** (-slow_log10(words) / len(words))
    assert load_language_model(str(model))(text) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The SUM of 12 Terms", "the sum of 00 terms"),
        (r"by $\alpha$ and \[x\] or `code`", "by [EQUATION] and [EQUATION] or [CODE]"),
        ("Poincaré’s “naïve” idea…", 'poincare\'s "naive" idea...'),
        ("a</s>b<s>c", "abc"),
        ("tab\x01\x7f\u0085bed", "tabbed"),
        ("costs $5 and $6", "costs $0 and $0"),
    ],
)
def test_normalised_text_is_lower_case_without_accents_digits_and_formulas(text: str, expected: str) -> None:
    assert " ".join(normalise(text).split()) == expected


def test_one_stray_dollar_does_not_swallow_the_text_after_it() -> None:
    """OpenWebMath replaces everything from one dollar sign to the next, over any number of paragraphs."""
    assert "[EQUATION]" not in normalise("it costs $5 a piece\n\nand much later $6")


def test_text_without_words_has_infinite_perplexity() -> None:
    assert math.isinf(perplexity_of(-3.0, 0))
    assert math.isinf(perplexity_of(-1e6, 1))


def test_missing_model_and_wrong_file_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such KenLM model"):
        load_language_model(str(tmp_path / "none.arpa"))
    wrong = tmp_path / "wrong.arpa"
    wrong.write_text("no model\n", encoding="utf-8")
    with pytest.raises(DamagedFileError, match="KenLM cannot read this"):
        load_language_model(str(wrong))


def test_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'llemma\[perplexity\]'"):
        load_language_model(str(tmp_path / "another.arpa"))
