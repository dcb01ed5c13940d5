"""How the rows of published benchmarks are laid out, for the corpus builder and the evaluator alike.

A layout names the keys under which a row holds its problem, its worked solution, its formal statement, its choices and
its id; several keys are tried in turn.  `LAYOUTS` has those of the benchmarks that Llemma was measured on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llemma.core.config import Config
from llemma.core.schemas import BenchmarkText

MAX_TEXT_CHARS = 1 << 20  # of one field; a longer one is no problem of a benchmark (chosen by us)

MMLU_STEM = (
    "abstract_algebra", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
    "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
    "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
)  # fmt: skip
"""The subjects of MMLU that its authors count as STEM (hendrycks/test, categories.py)."""


class Layout(Config):
    """Keys of a benchmark's rows; a CSV file without a header has the keys "0", "1", ..."""

    problem: tuple[str, ...] = ()
    solution: tuple[str, ...] = ()
    formal: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    id: tuple[str, ...] = ("id", "unique_id", "name")


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "math": Layout(problem=("problem",), solution=("solution",), id=("unique_id", "id")),
        "gsm8k": Layout(problem=("question",), solution=("answer",)),
        "ocw": Layout(problem=("problem",), solution=("solution",)),
        "mmlu-stem": Layout(problem=("question", "0"), choices=("choices", "1", "2", "3", "4")),
        "sat": Layout(problem=("Question", "question"), choices=("Possible Answers", "choices", "A", "B", "C", "D")),
        "amc": Layout(problem=("problem", "Problem", "question"), solution=("solution", "Solution"), id=("id", "ID")),
        "aime": Layout(problem=("problem", "Problem", "question"), solution=("solution", "Solution"), id=("id", "ID")),
        "minif2f": Layout(
            problem=("informal_statement", "informal_stmt", "informal_prefix", "nl_statement"),
            solution=("informal_proof", "nl_proof"),
            formal=("formal_statement",),
            id=("name", "problem_name", "id"),
        ),
    }
)
NAMES: Mapping[str, str] = MappingProxyType(
    {"math": "MATH", "gsm8k": "GSM8K", "ocw": "OCW", "mmlu-stem": "MMLU-STEM", "sat": "SAT", "amc": "AMC"}
    | {"aime": "AIME", "minif2f": "miniF2F"}
)
"""What a benchmark of each layout is called where nothing else is said."""

_CALCULATOR = re.compile(r"<<[^<>\n]*>>")  # GSM8K's notes for a calculator, which copies of it often leave out
_FINAL = re.compile(r"\n####.*\Z", re.DOTALL)


def texts_of_row(row: Mapping[str, Any], layout: Layout, benchmark: str, place: str) -> list[BenchmarkText]:
    """All texts of one row; `place` is its id where it names none.

    The same part stands there several times where it may be met in several forms: a question with its choices and
    without, a solution with GSM8K's calculator notes and without.  Raises ValueError where the row has neither a
    problem nor a formal statement.
    """
    name = _first(row, layout.id) or place
    problem, solution, formal = (_first(row, keys) for keys in (layout.problem, layout.solution, layout.formal))
    if not problem and not formal:
        wanted = " or ".join(f"'{key}'" for key in (*layout.problem, *layout.formal))
        raise ValueError(f"no text under {wanted}; its keys are {', '.join(map(str, list(row)[:12])) or 'none'}")
    forms = [("problem", problem), *(("solution", form) for form in solution_forms(solution)), ("formal", formal)]
    choices = [choice for key in layout.choices for choice in _choices(row.get(key))]
    if choices:
        forms.append(("problem", "\n".join([problem, *choices])))
        lettered = [f"({letter}) {choice}" for letter, choice in zip("ABCDEFGHIJ", choices, strict=False)]
        forms.append(("problem", "\n".join([problem, *lettered])))
    return [
        BenchmarkText.model_validate({"benchmark": benchmark, "id": name, "part": part, "text": text})
        for part, text in dict.fromkeys(forms)
        if text.strip()
    ]


def solution_forms(solution: str) -> list[str]:
    """The forms in which a worked solution may be met: as it stands, and without GSM8K's calculator notes and answer.

    None of an empty one.
    """
    plain = _FINAL.sub("", _CALCULATOR.sub("", solution))
    return [form for form in dict.fromkeys((solution, plain)) if form.strip()]


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            if len(value) > MAX_TEXT_CHARS:
                raise ValueError(f"'{key}' has {len(value):,} characters, more than {MAX_TEXT_CHARS:,}")
            return value.encode("utf-8", "replace").decode("utf-8")
    return ""


def _choices(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [str(choice)[:MAX_TEXT_CHARS] for choice in found if isinstance(choice, str | int | float) and str(choice)]
