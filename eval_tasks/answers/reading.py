"""One text to one typed value: clean, tokenize, read; words that are no mathematics become Text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.dates import read_date
from eval_tasks.answers.limits import UndefinedError, UnreadableError
from eval_tasks.answers.normalize import clean
from eval_tasks.answers.parse import Reader
from eval_tasks.answers.tokens import Token, tokenize
from eval_tasks.answers.values import Text, Value
from eval_tasks.answers.wording import text_value

_TEXT_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|mbox|emph|textsf)\b\s*")
_WORDS_ONLY = re.compile(r"[A-Za-z][A-Za-z\s.,;:'\"()/&!?-]*")
_COMMAND = re.compile(r"\\[A-Za-z]")
_TWO_LETTERS = re.compile(r"[A-Za-z]{2}")
_NOTHING = frozenset(("", "?", "nan", "none given", "n/a", "null", "[invalidanswer]", "...", "{", "}", "{}", "$", "-"))


class Reading:
    """A text as read: `value`, or why there is none. `tokens` compare two spellings of what cannot be read."""

    __slots__ = ("empty", "problem", "text", "tokens", "value")

    def __init__(self, text: str, tokens: tuple[Any, ...], value: Value, problem: str, empty: bool) -> None:
        self.text = text
        self.tokens = tokens
        self.value = value
        self.problem = problem
        self.empty = empty


def read(text: str, split_thousands: bool = False) -> Reading:
    """The typed value of an answer's text. Never raises on any text."""
    if len(text) > limits.MAX_CHARS:
        return Reading("", (), None, f"longer than {limits.MAX_CHARS} characters", not text.strip())
    return _read(text, split_thousands)


@lru_cache(maxsize=4096)
def _read(text: str, split_thousands: bool) -> Reading:
    cleaned = clean(text)
    if cleaned.lower() in _NOTHING:
        return Reading(cleaned, (), None, "no answer", True)
    date = read_date(cleaned)
    if date is not None:
        return Reading(date.words, (date.words,), date, "", False)
    tokens: list[Token] = []
    try:
        tokens = tokenize(cleaned, split_thousands)
        if not tokens:
            return Reading(cleaned, (), None, "no answer", True)
        if len(tokens) == 1 and tokens[0][0] == "n":
            return Reading(cleaned, (tokens[0][1],), tokens[0][1], "", False)
        key = tuple(token[:2] for token in tokens)
        value = Reader(tokens).answer()
        return Reading(cleaned, key, value, "", False)
    except (UnreadableError, UndefinedError, limits.TooLargeError) as error:
        problem = str(error)
    words = words_of(cleaned)
    value = text_value(words) if words else None
    return Reading(cleaned, tuple(token[:2] for token in tokens), value, "" if words else problem, False)


def words_of(text: str) -> str:
    """The words of a text that holds nothing but words; '' for anything else."""
    plain = _TEXT_WRAPPER.sub(" ", text) if "\\" in text else text
    if _COMMAND.search(plain):
        return ""
    plain = plain.replace("{", " ").replace("}", " ").replace("$", " ").replace("\\", " ")
    plain = " ".join(plain.split())
    if not plain or len(plain) > 400 or not _TWO_LETTERS.search(plain):
        return ""
    letters = sum(character.isalpha() or character.isspace() for character in plain)
    return plain if _WORDS_ONLY.fullmatch(plain) or letters * 10 >= 7 * len(plain) else ""


def is_text(value: Value) -> bool:
    """True for words."""
    return type(value) is Text
