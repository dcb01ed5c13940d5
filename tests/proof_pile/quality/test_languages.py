"""Languages are told from prose alone, with py3langid's own answers."""

from __future__ import annotations

import pytest

from proof_pile.quality.languages import MIN_LETTER_BYTES, PROSE_BYTES, prose_sample

langid = pytest.importorskip("py3langid.langid", reason="needs py3langid (the extra 'web')")

TEXTS = {
    "en": "Let us suppose that the sequence converges; then every subsequence of it converges to the same limit.",
    "de": "Wir nehmen an, dass die Folge konvergiert; dann konvergiert jede Teilfolge gegen denselben Grenzwert.",
    "fr": "Supposons que la suite converge ; alors toute suite extraite converge vers la même limite que la suite.",
    "ru": "Предположим, что последовательность сходится; тогда любая подпоследовательность сходится к тому же пределу.",
    "ja": "数列が収束すると仮定する。このとき、任意の部分列も同じ極限に収束することを証明しなさい。",
}


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_language_and_probability_are_those_of_py3langid(code: str) -> None:
    from proof_pile.quality.languages import packaged_identifier

    reference = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    sample = TEXTS[code].encode()
    label, probability = packaged_identifier()(sample)
    expected_label, expected = reference.classify(sample)
    assert (label, expected_label) == (code, code)
    assert probability == pytest.approx(expected, abs=1e-4)


def test_sample_holds_no_formulas_code_or_addresses() -> None:
    text = (
        TEXTS["de"]
        + r" $\text{where the English words stand}$ `for x in range(10)` https://example.org/the/english/page"
    )
    assert prose_sample(text).decode() == TEXTS["de"] + " "


def test_sample_of_a_text_with_hardly_any_letters_is_empty() -> None:
    assert prose_sample("$x$ 1 2 3 = 4 a b c") == b""
    assert prose_sample("a " * MIN_LETTER_BYTES) != b""


def test_sample_of_a_long_text_is_short_and_from_all_of_it() -> None:
    text = f"{TEXTS['en']}\n" * 3000 + f"{TEXTS['fr']}\n" * 3000
    sample = prose_sample(text).decode()
    assert len(sample.encode()) <= PROSE_BYTES + 10
    assert "subsequence" in sample
    assert "suite" in sample


def test_sample_of_latex_source_leaves_its_comments_out() -> None:
    text = "% this is an English comment in a German paper\n" * 20 + TEXTS["de"]
    assert "English" not in prose_sample(text, comments=True).decode()
    assert "English" in prose_sample(text).decode()
