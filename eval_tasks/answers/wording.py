"""Letters that spell words, and numerals with a base: what is told apart before any expression is built."""

from __future__ import annotations

from eval_tasks.answers import names
from eval_tasks.answers.limits import UnreadableError
from eval_tasks.answers.values import BaseNumeral, Constant, Product, Symbol, Text, Value

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
    """Words as a Text; number words and the names of well-known sets as what they mean."""
    folded = " ".join(words.lower().split()).strip(" .,;:!\"'")
    if folded in names.NUMBER_WORDS:
        return names.NUMBER_WORDS[folded]
    if folded in (
        "all real numbers",
        "all reals",
        "the real numbers",
        "real numbers",
        "the set of all real numbers",
    ):
        return Symbol("mathbbR")
    return Text(folded)
