"""Letters that spell words, and numerals with a base: what is told apart before any expression is built."""

from __future__ import annotations

import re
from fractions import Fraction

from eval_tasks.answers import names, units
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import BaseNumeral, Constant, Product, Quantity, Symbol, Text, Value

CONSTRUCTORS = frozenset(("Matrix", "Rational", "Interval", "FiniteSet"))
_KNOWN = (CONSTRUCTORS, names.FUNCTIONS, names.CONSTANTS, names.GREEK)


def is_word(value: str) -> bool:
    """True for letters that spell a word, not a product of variables."""
    if (
        len(value) < 2
        or value in CONSTRUCTORS
        or value in names.FUNCTIONS
        or value in names.CONSTANTS
        or value in names.GREEK
    ):
        return False
    if len(value) <= 3:
        if value.lower() in names.NUMBER_WORDS:
            return True
        return not (value.islower() or value.isupper())
    return not any(
        value.startswith(name) and len(value) <= len(name) + 2 for name in ("sin", "cos", "tan", "sqrt", "log")
    )


def is_spelled(value: Value) -> bool:
    """True for a product of letters alone, which may have been meant as a word."""
    return type(value) is Product and all(type(factor) in (Symbol, Constant) for factor in value.factors)


def base_numeral(digits: str, base: int) -> BaseNumeral:
    """A numeral in a base from 2 to 36. Raises UnreadableError where a digit does not belong to the base."""
    if not 2 <= base <= 36 or len(digits) > 200:
        raise UnreadableError("not a base")
    try:
        return BaseNumeral(digits.upper(), base, int(digits, base))
    except ValueError:
        raise UnreadableError(f"{digits!r} is no numeral in base {base}") from None


def text_value(words: str) -> Value:
    """Words as a Text; numbers in words, amounts with a known unit and names of known sets as what they mean."""
    folded = " ".join(words.lower().split()).strip(" .,;:!\"'")
    number = spelled_number(folded)
    if number is not None:
        return number
    amount, _, unit = folded.partition(" ")
    if unit and units.unit_of(unit) is not None and (number := spelled_number(amount)) is not None:
        known = units.canonical_word(unit)
        return Quantity(number, known if known in ("%", "deg", "$") else unit)
    if folded in ORDINALS:
        return Quantity(ORDINALS[folded], "th")
    if folded in _REALS:
        return Symbol("mathbbR")
    return Text(_ARTICLE.sub("", folded, count=1) if _ARTICLE.match(folded) else folded)


_ARTICLE = re.compile(r"(?:a|an|the) (?=[a-z]{2})(?!(?:and|or)\b)")
_REALS = ("all real numbers", "all reals", "the real numbers", "real numbers", "the set of all real numbers")
_TENS = {word: 10 * k for k, word in enumerate(names.words("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
ORDINALS = {
    word: k
    for k, word in enumerate(names.words("first second third fourth fifth sixth seventh eighth ninth tenth"), 1)
    if word != "second"  # more often a unit of time
}
_PARTS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "eighth": 8,
    "tenth": 10,
}
_PARTS |= {word + "s": number for word, number in _PARTS.items() if not word.endswith("s") and word != "half"}


def spelled_number(text: str) -> int | Fraction | None:
    """twenty-one, two hundred and five, a half, three quarters; None for other words."""
    parts = text.replace("-", " ").split()
    if not 0 < len(parts) <= 12:
        return None
    if parts[0] in ("a", "an", "one") and len(parts) == 2 and parts[1] in _PARTS:
        return Fraction(1, _PARTS[parts[1]])
    if len(parts) == 2 and parts[1] in _PARTS and parts[1].endswith("s") and parts[0] in names.NUMBER_WORDS:
        return Fraction(names.NUMBER_WORDS[parts[0]], _PARTS[parts[1]])
    if parts[0] == "a" and len(parts) > 1 and (parts[1] == "hundred" or parts[1] in _SCALES):
        parts[0] = "one"
    total, group, last_scale = 0, 0, 10**12
    for place, word in enumerate(parts):
        value = names.NUMBER_WORDS.get(word, _TENS.get(word))
        if value == 0 and len(parts) > 1:
            return None
        if value is not None:
            if group % 100 and (value >= 10 or group % 10 or group % 100 < 20):
                return None  # only after twenty, thirty ... is there room for one to nine
            group += value
        elif word == "hundred" and group < 10:
            group = 100 * max(group, 1)
        elif word in _SCALES and _SCALES[word] < last_scale:
            last_scale = _SCALES[word]
            total, group = total + max(group, 1) * last_scale, 0
        elif word != "and" or not (total or group >= 100) or place == len(parts) - 1:
            return None
    return total + group
