"""How a row of each benchmark's data becomes a problem with a gold answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_TEXT_CHARS = 200_000  # of one field; a longer one is damaged data (chosen by us)
LETTERS = "ABCD"


class RowError(ValueError):
    """Raised when a row of a data file lacks what its benchmark needs; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One problem: `answer` is the gold answer as text, `solution` the worked solution where there is one."""

    id: str
    subset: str
    problem: str
    answer: str
    solution: str = ""
    subject: str = ""
    level: str = ""


def read_plain(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row that holds `problem` and `answer` (and perhaps `solution`): the built-in problems, OCWCourses."""
    return Item(
        id=_id(row, subset, number),
        subset=subset,
        problem=_text(row, "problem"),
        answer=_text(row, "answer"),
        solution=_optional(row, "solution"),
        subject=_optional(row, "subject") or _optional(row, "type"),
        level=_optional(row, "level"),
    )


def read_math(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of MATH: the gold answer is the last box of the solution, where no `answer` is given."""
    solution = _text(row, "solution")
    answer = row["answer"] if isinstance(row.get("answer"), str) and row["answer"].strip() else last_boxed(solution)
    if answer is None:
        raise RowError("the solution has no \\boxed answer")
    return Item(
        id=_optional(row, "unique_id") or f"{subset}-{number:04d}",
        subset=subset,
        problem=_text(row, "problem"),
        answer=answer,
        solution=solution,
        subject=_optional(row, "type") or _optional(row, "subject"),
        level=_optional(row, "level"),
    )


def read_gsm8k(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of GSM8K: the gold answer is what follows the last `####`."""
    solution = _text(row, "answer")
    head, mark, answer = solution.rpartition("####")
    if not mark or not answer.strip():
        raise RowError("the column 'answer' has no '#### ' followed by the final number")
    return Item(
        id=_optional(row, "id") or f"{number:04d}",
        subset=subset,
        problem=_text(row, "question"),
        answer=answer.strip().replace(",", ""),
        solution=head.strip(),
    )


def read_contest(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of AMC or AIME as NuminaMath stores them: the answer is a whole number, a text ("025") or float (142.0)."""
    answer = whole_number(str(row.get("answer", "")))
    if answer is None:
        raise RowError(f"'answer' must be a whole number, found {row.get('answer')!r:.80}")
    return Item(
        id=_id(row, subset, number),
        subset=subset,
        problem=_text(row, "problem"),
        answer=answer,
        solution=_optional(row, "solution"),
    )


def read_mmlu(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of MMLU: `choices` is a list of four, `answer` the right one's place or letter."""
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) != 4:
        raise RowError(f"'choices' must be a list of four, found {choices!r:.80}")
    lettered = " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    return Item(
        id=f"{subset}-{number:04d}",
        subset=subset,
        problem=f"{_text(row, 'question').strip()}\n{lettered}",
        answer=_letter(row, "answer"),
        subject=subset,
    )


def read_sat(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of the SAT set: `Possible Answers` holds all choices in one text."""
    return Item(
        id=_id(row, subset, number),
        subset=subset,
        problem=f"{_text(row, 'Question')}\n{_text(row, 'Possible Answers')}",
        answer=_letter(row, "Answer"),
    )


def read_chinese_exam(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of C-Eval or CMMLU; their columns differ in a capital letter alone."""
    question = "question" if "question" in row else "Question"
    choices = "\n".join(f"{letter}. {_text(row, letter)}" for letter in LETTERS)
    return Item(
        id=f"{subset}-{number:04d}",
        subset=subset,
        problem=f"{_text(row, question).strip()}\n{choices}",
        answer=_letter(row, "answer" if "answer" in row else "Answer"),
        subject=subset,
    )


def read_math23k(row: Mapping[str, Any], subset: str, number: int) -> Item:
    """A row of MATH23K: `original_text` and `ans`, such as `25%`, `0.5`, `(3/4)` or `2(1/3)` for two and a third."""
    answer = _text(row, "ans") if isinstance(row.get("ans"), str) else str(row.get("ans", ""))
    mixed = re.fullmatch(r"(-?\d+)\((\d+)/(\d+)\)", answer.strip())
    if mixed:
        answer = rf"{mixed[1]}\frac{{{mixed[2]}}}{{{mixed[3]}}}"
    if not answer.strip():
        raise RowError("the column 'ans' is empty")
    return Item(
        id=_id(row, subset, number),
        subset=subset,
        problem=_text(row, "original_text"),
        answer=answer.strip(),
        solution=_optional(row, "equation"),
    )


def whole_number(text: str) -> str | None:
    """The text of a whole number without leading zeros and decimals, or None where it is none."""
    text = text.strip().replace(",", "").replace("\\!", "").replace("{}", "")
    if not re.fullmatch(r"-?\d{1,30}(\.\d{1,30})?", text):
        return None
    value = Fraction(text)
    return str(value.numerator) if value.denominator == 1 else None


def last_boxed(solution: str) -> str | None:
    r"""The content of the last `\boxed{...}` (or `\fbox{...}`, or `\boxed 5`) of a worked solution."""
    start = max(solution.rfind("\\boxed"), solution.rfind("\\fbox"))
    if start < 0:
        return None
    rest = solution[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    if not rest.startswith("{"):
        return re.split(r"[$\s]", rest, maxsplit=1)[0] or None
    depth = 0
    for match in re.finditer(r"\\.|[{}]", rest, re.DOTALL):  # an escaped brace is met as one piece and skipped
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0 and match.group() == "}":
            return rest[1 : match.start()].strip() or None
    return None


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # a choice such as 5 in a table of numbers
    if not isinstance(value, str) or not value.strip():
        found = f"'{key}' must be a text, found {value!r:.80}"
        raise RowError(found if key in row else f"the column '{key}' is missing")
    if len(value) > MAX_TEXT_CHARS:
        raise RowError(f"'{key}' has {len(value):,} characters, more than {MAX_TEXT_CHARS:,}")
    # JSON may hold half of a surrogate pair, which cannot be written as UTF-8.
    return value.encode("utf-8", "replace").decode("utf-8")


def _optional(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "")
    return "" if value is None else str(value)[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")


def _id(row: Mapping[str, Any], subset: str, number: int) -> str:
    return _optional(row, "id") or f"{subset}-{number:04d}"


def _letter(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(LETTERS):
        return LETTERS[value]
    letter = str(value).strip().strip("()").upper()
    if len(letter) == 1 and letter in LETTERS:
        return letter
    raise RowError(f"'{key}' must be one of A to D or a place from 0 to 3, found {value!r:.80}")
