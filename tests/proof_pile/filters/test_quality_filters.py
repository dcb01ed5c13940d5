"""The filters language, math-score, perplexity and quality-rules: what they keep, and why they drop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from proof_pile.documents import Document, make_document
from proof_pile.filters import Drop, FilterConfig, Keep, make_filter
from proof_pile.filters.quality_rules import without_filler, without_short_lines

ENGLISH = (
    "Let us suppose that the sequence converges to a limit. Then every subsequence of it converges to the same limit, "
    "and we have to show that the limit of the product is the product of the limits. "
)
GERMAN = (
    "Wir nehmen an, dass die Folge gegen einen Grenzwert konvergiert. Dann konvergiert jede Teilfolge gegen denselben "
    "Grenzwert, und wir haben zu zeigen, dass der Grenzwert des Produkts das Produkt der Grenzwerte ist. "
)


def verdict(text: str, meta: dict[str, Any] | None = None, **config: Any) -> Keep | Drop:
    settings: Any = TypeAdapter(FilterConfig).validate_python(config)
    return make_filter(settings)(make_document("s", "n", text, meta))


def reason(text: str, meta: dict[str, Any] | None = None, **config: Any) -> str:
    found = verdict(text, meta, **config)
    return found.reason if isinstance(found, Drop) else ""


def kept(text: str, meta: dict[str, Any] | None = None, **config: Any) -> Document:
    found = verdict(text, meta, **config)
    assert isinstance(found, Keep), found
    return found.document


# ---------------------------------------------------------------- language


@pytest.mark.parametrize(
    ("text", "meta", "config", "expected"),
    [
        (ENGLISH, {}, {}, ""),
        (GERMAN, {}, {}, "language-de"),
        (GERMAN, {}, {"languages": ["en", "de"]}, ""),
        (GERMAN, {"language": "python"}, {"only_for": ["tex"]}, ""),
        (GERMAN, {"language": "tex"}, {"only_for": ["tex"], "min_probability": 0}, "language-de"),
        ("% " + ENGLISH + "\n" + GERMAN, {"language": "tex"}, {"only_for": ["tex"]}, "language-de"),
        (ENGLISH, {}, {"min_probability": 1}, "language-unsure"),
        (r"$$ x = 1 $$ 2 3", {}, {}, ""),
        (r"$$ x = 1 $$ 2 3", {}, {"without_prose": "drop"}, "no-prose"),
        (GERMAN + r"$\text{" + ENGLISH * 3 + "}$ `" + ENGLISH + "`", {}, {}, "language-de"),
    ],
)
def test_language_is_judged_by_prose_alone(text: str, meta: Any, config: Any, expected: str) -> None:
    pytest.importorskip("py3langid", reason="needs py3langid (the extra 'web')")
    assert reason(text, meta, kind="language", **config) == expected


def test_language_is_noted_where_asked() -> None:
    pytest.importorskip("py3langid", reason="needs py3langid (the extra 'web')")
    assert kept(ENGLISH, {"url": "u"}, kind="language", note=True).meta == {"url": "u", "natural_language": "en"}


# ---------------------------------------------------------------- MathScore


def test_math_score_keeps_mathematics_and_drops_a_story() -> None:
    story = (
        "The ferry left at nine. Anna had packed bread and cheese, and her brother carried the lamp to the old quay. "
    )
    assert reason(ENGLISH, kind="math-score") == ""
    assert reason(story * 3, kind="math-score") == "math-score"


def test_math_score_asks_more_of_a_page_without_latex() -> None:
    config: dict[str, Any] = {"kind": "math-score", "min_score": 0.0, "min_score_without_latex": 0.9999}
    assert reason(ENGLISH, **config) == "math-score-without-latex"
    assert reason(ENGLISH + r"$\alpha$", **config) == ""
    assert reason(ENGLISH + "$x^2 + y^2 = 1$", **config) == ""
    assert reason(ENGLISH + "It costs $5 here and $6 there.", **config) == "math-score-without-latex"
    short: dict[str, Any] = {"kind": "math-score", "min_score": 0.0, "min_chars_without_latex": 500}
    assert reason(ENGLISH, **short) == "short-without-latex"


def test_math_score_is_noted_where_asked() -> None:
    assert 0 < kept(ENGLISH, kind="math-score", min_score=0, note=True).meta["math_score"] <= 1


# ---------------------------------------------------------------- perplexity


def test_perplexity_drops_what_the_model_finds_surprising(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="needs kenlm (the extra 'perplexity')")
    path = tmp_path / "m.arpa"
    grams = "-3\t<unk>\t0\n-99\t<s>\t0\n-0.5\t</s>\t0\n-0.5\tthe\t0\n-0.5\tlimit\t0\n\n\\2-grams:\n-0.5\tthe limit\n"
    text = f"\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n{grams}\n\\end\\\n"
    path.write_text(text, encoding="utf-8")
    config: dict[str, Any] = {"kind": "perplexity", "model": str(path), "max_perplexity": 50}
    assert reason("the limit the limit", **config) == ""
    assert reason("qwz jkx vbn", **config) == "perplexity"
    assert kept("the limit", **config, note=True).meta["perplexity"] == pytest.approx(10**0.75, abs=0.1)


@pytest.mark.parametrize("kind", ["language", "math-score", "perplexity"])
def test_settled_filter_names_its_model_by_path_and_hash(kind: str, tmp_path: Path) -> None:
    """A model at the same path with other bytes makes another section, and so another step folder."""
    (tmp_path / "m.bin").write_bytes(b"a model")
    config: Any = TypeAdapter(FilterConfig).validate_python({"kind": kind, "model": "m.bin"})
    settled = config.settled(tmp_path)
    assert (settled.model, settled.model_hash) == (str(tmp_path / "m.bin"), sha256_file(tmp_path / "m.bin"))
    with pytest.raises(InputError, match="there is no such model file"):
        config.model_copy(update={"model": "gone.bin"}).settled(tmp_path)


def test_settled_filter_without_a_path_names_the_packaged_model(tmp_path: Path) -> None:
    from proof_pile.quality.math_score import SHIPPED

    config: Any = TypeAdapter(FilterConfig).validate_python({"kind": "math-score"})
    assert config.settled(tmp_path).model_hash == sha256_file(SHIPPED)
    assert config.settled(tmp_path).model is None


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("text", "config", "expected"),
    [
        (ENGLISH * 2, {}, ""),
        ("Too short a text.", {}, "few-words"),
        (ENGLISH * 2, {"max_words": 10}, "many-words"),
        ("a b c d e f g h i j k l m n o p q r s t u v", {}, "little-text"),
        ("a b c d e f g h i j k l " * 30, {}, "short-words"),
        ("Donaudampfschifffahrtsgesellschaft " * 30, {}, "long-words"),
        ("12.5 30.7 44.1 x " * 60, {"min_mean_word_letters": None}, "few-alphabetic-words"),
        (ENGLISH.upper() * 2, {}, "capitals"),
        ("word... another... " * 20, {}, "ellipses"),
        (
            "And so the story goes on and on...\n" * 3 + ENGLISH,
            {"max_repeated_line_byte_share": None},
            "ellipsis-lines",
        ),
        ("".join(f"- the item number {n} of the list\n" for n in range(30)), {}, "bullet-lines"),
        ("alpha beta gamma delta " * 40, {}, "few-stop-words"),
        ("alpha beta gamma delta " * 20, {}, ""),  # a short text needs no stop words
        ("The same long line of a menu stands here again and again.\n" * 9, {}, "repeated-lines"),
        ("The same long line of a menu.\n" * 9, {"max_repeated_line_byte_share": None}, ""),
        (ENGLISH * 2, {"max_repeated_ngram_shares": {5: 0.15}}, "repeated-words"),
        (ENGLISH + "and the map " * 20, {"max_top_ngram_shares": {2: 0.2}}, "frequent-words"),
        (r"Solve. $x^2 = 1$, $x^3 = 1$. " * 12, {"max_repeated_line_byte_share": None}, ""),
    ],
)
def test_quality_rule_drops_with_its_reason(text: str, config: dict[str, Any], expected: str) -> None:
    assert reason(text, kind="quality-rules", **config) == expected


def test_quality_rules_all_left_out_keep_everything() -> None:
    from proof_pile.filters.quality_rules import Config

    none = {
        name: None
        for name, field in Config.model_fields.items()
        if name.startswith(("min_", "max_")) and "ngram" not in name
    }
    assert reason("x", kind="quality-rules", **none) == ""


def test_quality_rules_keep_a_page_of_formulas() -> None:
    text = "".join(
        f"Then $x_{{{n}}} = {n}^2 + \\frac{{1}}{{{n}}}$ by the lemma, and $y_{n} \\le {n}$.\n" for n in range(1, 30)
    )
    assert reason(text, kind="quality-rules") == ""


def test_quality_rules_keep_a_short_page_of_long_formulas() -> None:
    """A formula counted as ten characters, however long: a page on a distribution with its density, its distribution
    function, its moments and a sentence had "little text".
    """
    formula = r"$$f(x) = \frac{1}{\pi (1 + x^2)}, \quad F(x) = \frac{1}{2} + \frac{1}{\pi} \arctan x$$"
    prose = "It has no mean, the median is zero, and for each real number we have"
    text = f"# The Cauchy distribution\n\n{prose}\n\n{formula}\n"
    assert reason(text + formula, kind="quality-rules", min_words=10) == ""
    assert reason(text, kind="quality-rules", min_words=10) == "little-text"


def test_quality_rules_take_lines_of_filler_out() -> None:
    text = f"{ENGLISH}\nPlease enable JavaScript to view this page.\nLorem ipsum dolor sit amet\n{ENGLISH}."
    assert kept(text, kind="quality-rules").text == f"{ENGLISH}\n{ENGLISH}."
    long_line = "The course explains how to enable JavaScript in a browser " + ENGLISH * 2
    assert without_filler(long_line) == long_line


def test_short_lines_are_really_removed() -> None:
    """MathPile's remove_short_lines filters the lines of a document into a list, and then joins the list of all of
    them: no document ever lost a line.
    """
    text = "Home\nAbout us\nThe proof has two parts.\nContact\n"
    assert without_short_lines(text, 20) == "The proof has two parts.\n"
    assert kept(f"{text}{ENGLISH * 2}", kind="quality-rules", min_line_chars=20).text.startswith(
        "The proof has two parts."
    )


def test_short_lines_of_headings_lists_formulas_tables_and_code_stay() -> None:
    text = "# Sets\n\n- one\n1. two\n$$\nx\n$$\n$$ y $$\n| a |\n```\nx = 1\ny\n```\nDone.\nwith $z$"
    assert without_short_lines(text, 20) == text


def test_quality_rules_refuse_a_length_that_is_none() -> None:
    with pytest.raises(ValidationError, match="wanted n between 2 and 20"):
        TypeAdapter(FilterConfig).validate_python({"kind": "quality-rules", "max_top_ngram_shares": {1: 0.2}})
