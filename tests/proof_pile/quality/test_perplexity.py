"""Perplexity as OpenWebMath and cc_net ask for it, held against a slow reader of ARPA files."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import proof_pile
from llemma.core.errors import DamagedFileError, InputError, MissingPackageError
from proof_pile.documents import make_document
from proof_pile.filters import Drop, Keep
from proof_pile.filters.perplexity import Config, make
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


def trained_arpa(texts: list[str]) -> str:
    """A bigram model with Witten-Bell smoothing, interpolated, as an ARPA file: written from its definition."""
    unigrams: Counter[str] = Counter()
    bigrams: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        words = normalise(text).split()
        unigrams.update([*words, "</s>"])
        for before, word in itertools.pairwise(["<s>", *words, "</s>"]):
            bigrams[before][word] += 1
    total = unigrams.total() + len(unigrams) + 1
    chance = {word: (count + 1) / total for word, count in unigrams.items()} | {"<unk>": 1 / total, "<s>": 1e-99}
    left = {word: len(after) / (after.total() + len(after)) for word, after in bigrams.items()}
    ones = [f"{math.log10(chance[w])}\t{w}\t{math.log10(left.get(w, 1.0))}" for w in sorted(chance)]
    twos = [
        f"{math.log10(count / (after.total() + len(after)) + left[before] * chance[word])}\t{before} {word}"
        for before, after in sorted(bigrams.items())
        for word, count in sorted(after.items())
    ]
    parts = [f"\\data\\\nngram 1={len(ones)}\nngram 2={len(twos)}\n", "\\1-grams:", *ones, "", "\\2-grams:", *twos, ""]
    return "\n".join([*parts, "\\end\\", ""])


def test_model_trained_on_prose_tells_prose_from_word_salad(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="needs kenlm (the extra 'perplexity')")
    folder = Path(proof_pile.__file__).parent / "sample/documents/text"
    pages = [path.read_text(encoding="utf-8") for path in sorted([*folder.glob("*.md"), *folder.glob("*.txt")])]
    path = tmp_path / "prose.arpa"
    path.write_text(trained_arpa(pages[:-2]), encoding="utf-8")
    perplexity = load_language_model(str(path))
    draw = random.Random(4)
    for page in pages[-2:]:
        words = page.split()
        salad = " ".join(draw.sample(words, len(words)))
        german = "Die alte Karte zeigte eine Insel vor der Küste, drei Hügel und einen Hafen. " * 5
        assert perplexity(pages[0]) < perplexity(page) < perplexity(salad)
        assert perplexity(page) < perplexity(german)
        limit = (perplexity(page) + perplexity(salad)) / 2
        config = Config(kind="perplexity", model=str(path), max_perplexity=limit, note=True)
        judge = make(config.settled(tmp_path))
        kept = judge(make_document("s", "page", page))
        assert isinstance(kept, Keep)
        assert kept.document.meta["perplexity"] == round(perplexity(page), 1)
        assert judge(make_document("s", "salad", salad)) == Drop("perplexity")
