"""What is known of each benchmark: its subsets, where its data lies, how a row is read, how answers are found.

To add one: an entry here, a folder under tasks/ with its YAML files and README, and its prompts (prompts.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

MAX_TEXT_CHARS = 200_000  # of one field; a longer one is damaged data (chosen by us)

MATH_SUBSETS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


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


RowReader = Callable[[Mapping[str, Any], str, int], Item]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Facts of one benchmark. `columns` are the fields that a row must have."""

    name: str
    title: str
    subsets: tuple[str, ...]
    columns: tuple[str, ...]
    read_row: RowReader
    answer_styles: tuple[str, ...]  # of eval_tasks.answers.extract: the first that finds an answer is taken
    hub_name: str | None = None
    hub_subset: str | None = None  # the hub's configuration name, where it is not the subset's own
    packaged_file: str | None = None  # under tasks/

    def hub_config(self, subset: str) -> str:
        """The hub's configuration name for a subset."""
        return self.hub_subset or subset


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        found = f"'{key}' must be a text, found {value!r:.80}"
        raise RowError(found if key in row else f"the column '{key}' is missing")
    if len(value) > MAX_TEXT_CHARS:
        raise RowError(f"'{key}' has {len(value):,} characters, more than {MAX_TEXT_CHARS:,}")
    # JSON may hold half of a surrogate pair, which cannot be written as UTF-8.
    return value.encode("utf-8", "replace").decode("utf-8")


def _optional(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "")
    return "" if value is None else str(value)[:1000].encode("utf-8", "replace").decode("utf-8")


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


def _read_builtin(row: Mapping[str, Any], subset: str, number: int) -> Item:
    return Item(
        id=_text(row, "id"),
        subset=subset,
        problem=_text(row, "problem"),
        answer=_text(row, "answer"),
        subject=_optional(row, "subject"),
        level=_optional(row, "level"),
    )


def _read_math(row: Mapping[str, Any], subset: str, number: int) -> Item:
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


def _read_gsm8k(row: Mapping[str, Any], subset: str, number: int) -> Item:
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


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        benchmark.name: benchmark
        for benchmark in (
            Benchmark(
                name="builtin",
                title="Built-in problems: algebra, number theory, counting, calculus",
                subsets=("all",),
                columns=("id", "problem", "answer"),
                read_row=_read_builtin,
                answer_styles=("minerva", "boxed"),
                packaged_file="builtin/problems.jsonl",
            ),
            Benchmark(
                name="minerva_math",
                title="MATH (Hendrycks et al. 2021), Minerva prompt",
                subsets=MATH_SUBSETS,
                columns=("problem", "solution"),
                read_row=_read_math,
                answer_styles=("minerva", "boxed"),
                hub_name="EleutherAI/hendrycks_math",
            ),
            Benchmark(
                name="minerva_math500",
                title="MATH-500 (Lightman et al. 2023), Minerva prompt",
                subsets=("default",),
                columns=("problem", "solution"),
                read_row=_read_math,
                answer_styles=("minerva", "boxed"),
                hub_name="HuggingFaceH4/MATH-500",
            ),
            Benchmark(
                name="gsm8k",
                title="GSM8K (Cobbe et al. 2021), eight worked examples",
                subsets=("main",),
                columns=("question", "answer"),
                read_row=_read_gsm8k,
                answer_styles=("gsm8k",),
                hub_name="openai/gsm8k",
            ),
        )
    }
)
