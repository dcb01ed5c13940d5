"""The native word pass against a slow reference in plain Python."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from proof_pile.words import (
    LETTERS_BIT,
    OPERATOR_BIT,
    find_ngrams,
    lookup_table,
    ngram_hashes,
    words_of_array,
    words_of_text,
)

OPERATORS = "+-*/=<>^|&%~@#"
MASK = (1 << 64) - 1


def reference_words(text: str) -> list[tuple[str, str]]:
    """(kind, lower-cased word) by the rules of the module's docstring, character by character."""
    words: list[tuple[str, str]] = []
    current = ""
    previous = ""
    for character in text + " ":
        inside = (character.isascii() and character.isalnum()) or ord(character) >= 0x80
        if inside:
            current += lower(character)
        elif current:
            words.append(("word", current))
            current = ""
        if character in OPERATORS and character != previous:
            words.append(("operator", character))
        previous = character
    return words


def lower(character: str) -> str:
    """The small letter where it and the capital take the same one or two bytes in UTF-8."""
    small = character.lower()
    same = len(small) == 1 and len(small.encode()) == len(character.encode()) <= 2
    return small if same else character


def reference_hash(kind: str, word: str) -> int:
    value = 0xCBF29CE484222325
    data = word.encode()
    for start in range(0, len(data), 8):
        value = mix(value ^ int.from_bytes(data[start : start + 8], "little"))
    value &= ~3
    if kind == "operator":
        return value | OPERATOR_BIT
    letters = sum(c.isascii() and c.isalpha() for c in word) + 2 * sum(not c.isascii() for c in word)
    return value | (LETTERS_BIT if letters >= 2 else 0)


def mix(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def reference_ngrams(hashes: list[int], n: int) -> list[int]:
    result = []
    for start in range(len(hashes) - n + 1):
        value = 0
        for item in hashes[start : start + n]:
            value = (value * 0x9E3779B97F4A7C15 + item) & MASK
        result.append(mix(value))
    return result


TEXTS = [
    "",
    "   \n\t",
    "Let $x_1 + y^2 = 3.14$; then x<=y.",
    "\\frac{a}{b} -- a rule: ------ and == twice, = once",
    "Éclair ÀÉÎ Ωμέγα ДОМ straße İstanbul ∑∫ 数学 😀 naïve",
    "snake_case CamelCase don't 1,000.50 a-b a - b",
    "# a comment\n## another\nfor i in range(10): x += 1",
    "a1234567 1234567a 12345678a9 a1234567b 123456789012345678901234567890 supercalifragilisticexpialidocious",
    "é",
    "x" * 8,
    "x" * 9,
    "1" * 16 + "a" + "2" * 16 + "b",
    "++",
    "a+",
    "+a",
    "É" + "1" * 7,
]


def random_texts(count: int) -> list[str]:
    draw = random.Random(7)
    alphabet = "abcXYZ019 .,_$\\{}()+-*/=<>^|&%~@#\n\tÉéßΩωДд∑数😀'\"`;:?!"
    return ["".join(draw.choice(alphabet) for _ in range(draw.randrange(80))) for _ in range(count)]


@pytest.mark.parametrize("text", TEXTS)
def test_words_of_a_text_are_those_of_the_reference(text: str) -> None:
    assert words_of_text(text).hashes.tolist() == [reference_hash(*word) for word in reference_words(text)]


def test_words_of_random_texts_in_one_batch_are_those_of_the_reference() -> None:
    texts = random_texts(300)
    for type_ in (pa.string(), pa.large_string()):
        words = words_of_array(pa.array(texts, type_))
        for number, text in enumerate(texts):
            found = words.hashes[words.offsets[number] : words.offsets[number + 1]].tolist()
            assert found == [reference_hash(*word) for word in reference_words(text)]


def test_words_of_a_sliced_array_are_those_of_the_slice() -> None:
    texts = random_texts(20)
    sliced = words_of_array(pa.array(texts, pa.large_string()).slice(5, 7))
    whole = words_of_array(pa.array(texts[5:12], pa.large_string()))
    assert sliced.hashes.tolist() == whole.hashes.tolist()
    assert sliced.offsets.tolist() == whole.offsets.tolist()


def test_words_of_formulas_that_differ_by_a_sign_differ() -> None:
    assert words_of_text("x + y = 1").hashes.tolist() != words_of_text("x - y = 1").hashes.tolist()
    assert words_of_text("x + y = 12").hashes.tolist() != words_of_text("x + y = 13").hashes.tolist()


def test_words_of_the_same_sentence_in_latex_and_plain_text_are_equal() -> None:
    latex = r"Find \textbf{all} $x_{1}$ with $x_{1}^{2}=4$.".replace(r"\textbf", "")
    assert words_of_text(latex).hashes.tolist() == words_of_text("find all x 1 with x 1^2 = 4").hashes.tolist()


def test_text_of_words_is_what_stands_in_the_document() -> None:
    texts = ["first one", "The Map $f\\colon A \\to B$ is ONTO, so g exists."]
    words = words_of_array(pa.array(texts, pa.large_string())).without_operators()
    begin = int(words.offsets[1])
    assert words.text(begin + 1, begin + 4) == "Map $f\\colon A"


def test_without_operators_leaves_the_other_words_in_their_documents() -> None:
    texts = ["a + b", "- = *", "", "c*d"]
    words = words_of_array(pa.array(texts, pa.string())).without_operators()
    assert words.offsets.tolist() == [0, 2, 2, 2, 4]
    assert words.hashes.tolist() == [reference_hash("word", letter) for letter in "abcd"]


@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_ngram_hashes_are_those_of_the_reference(n: int) -> None:
    text = " ".join(random_texts(10))
    words = words_of_text(text)
    hashes = [reference_hash(*word) for word in reference_words(text)]
    assert ngram_hashes(words, 0, n).tolist() == reference_ngrams(hashes, n)


def test_find_ngrams_finds_just_the_places_of_the_table() -> None:
    texts = random_texts(50)
    words = words_of_array(pa.array(texts, pa.large_string()))
    wanted = set()
    for number in (3, 17, 40):
        wanted |= set(ngram_hashes(words, number, 4)[:2].tolist())
    documents, firsts, keys = find_ngrams(words, 4, lookup_table(np.array(sorted(wanted), np.uint64)))
    expected = [
        (number, int(words.offsets[number]) + place, key)
        for number in range(len(texts))
        for place, key in enumerate(ngram_hashes(words, number, 4).tolist())
        if key in wanted
    ]
    assert list(zip(documents.tolist(), firsts.tolist(), keys.tolist(), strict=True)) == expected


def test_find_ngrams_with_more_hits_than_room_finds_all() -> None:
    words = words_of_text("again and " * 3000)
    table = lookup_table(ngram_hashes(words, 0, 2))
    assert len(find_ngrams(words, 2, table)[0]) == 5999
