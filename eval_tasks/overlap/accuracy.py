"""Right answers on problems that the corpus holds and on the others, level by level: the paper's analysis.

A problem is hit where one of the chosen parts of its item shares n words with the corpus.  Answers and items are
brought together by the text of the problem, so that names need not agree between files.  The interval of a share is
Wilson's, that of a difference Newcombe's hybrid of two of them.
Source of the analysis: Azerbayev et al. 2023 (arXiv 2310.10631), section on memorization; interval: R. G. Newcombe,
Statistics in Medicine 17 (1998), 873-890, method 10.

OUT/accuracy.json    {"samples": file, "parts": [...], "num_unknown": answers to problems that were not looked for,
                     "rows": [{"n", "task", "level", "hit": {"n", "right", "accuracy", "ci95"}, "other": the same,
                     "difference", "difference95"}]}; level "all" joins the levels; what nobody asked is null
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval_tasks.intervals import wilson_interval
from eval_tasks.overlap.search import Found, Looked
from llemma.core.errors import InputError
from llemma.core.files import write_json
from llemma.core.schemas import EvalSample, read_lines

ALL = "all"
OF_THE_MODEL = ("completion", "sample")


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of n problems were answered right."""

    n: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """None where there is no problem."""
        return self.right / self.n if self.n else None

    def as_json(self) -> dict[str, Any]:
        """With accuracy and interval."""
        interval = wilson_interval(self.right, self.n) if self.n else None
        return {**asdict(self), "accuracy": self.accuracy, "ci95": interval}

    def __str__(self) -> str:
        if not self.n:
            return f"{'0':>5} {'-':>6} {'':<13}"
        low, high = wilson_interval(self.right, self.n)
        return f"{self.n:>5,} {100 * self.right / self.n:>6.1f} {f'{100 * low:.1f} to {100 * high:.1f}':<13}"


@dataclass(frozen=True, kw_only=True)
class LevelRow:
    """Problems of one level: those that n words were found of, and the others."""

    n: int
    task: str
    level: str
    hit: Share
    other: Share

    @property
    def difference(self) -> tuple[float, float, float] | None:
        """Accuracy on hit problems less that on the others, with its 95 % interval; None where either is empty."""
        return difference(self.hit, self.other) if self.hit.n and self.other.n else None


def difference(first: Share, second: Share) -> tuple[float, float, float]:
    """First share less the second, and Newcombe's interval of it.  Both must have problems."""
    one, two = first.right / first.n, second.right / second.n
    (low_1, high_1), (low_2, high_2) = wilson_interval(first.right, first.n), wilson_interval(second.right, second.n)
    low = one - two - math.hypot(one - low_1, high_2 - two)
    high = one - two + math.hypot(high_1 - one, two - low_2)
    return one - two, low, high


@dataclass(frozen=True, kw_only=True)
class AccuracyTable:
    """The analysis of one run's samples."""

    samples: Path
    parts: tuple[str, ...]
    rows: tuple[LevelRow, ...]
    num_unknown: int

    def __str__(self) -> str:
        lines = [
            f"right answers on problems whose {' or '.join(self.parts)} shares n words with the corpus, and on others",
            f"{'task':<24} {'level':<10} {'words':>5}  {'hit':>5} {'%':>6} {'95 %':<13}  {'other':>5} {'%':>6} "
            f"{'95 %':<13}  {'difference':>10} 95 %",
        ]
        for row in self.rows:
            line = f"{row.task:<24} {row.level:<10} {row.n:>5}  {row.hit}  {row.other}"
            if row.difference is not None:
                value, low, high = (100 * one for one in row.difference)
                line += f"  {value:>+10.1f} {low:+.1f} to {high:+.1f}"
            lines.append(line.rstrip())
        if self.num_unknown:
            lines.append(f"{self.num_unknown:,} answers to problems that were not looked for are left out")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Writes accuracy.json."""
        rows = []
        for row in self.rows:
            found = row.difference
            rows.append(
                {
                    "n": row.n,
                    "task": row.task,
                    "level": row.level,
                    "hit": row.hit.as_json(),
                    "other": row.other.as_json(),
                    "difference": None if found is None else found[0],
                    "difference95": None if found is None else found[1:],
                }
            )
        value = {"samples": str(self.samples), "parts": self.parts, "num_unknown": self.num_unknown, "rows": rows}
        write_json(path, value)


def chosen_parts(looked: Looked, parts: Sequence[str]) -> tuple[str, ...]:
    """The parts that make a problem hit; by default all that the model did not write itself.  Raises InputError."""
    known = list(dict.fromkeys(text.part for text in looked.texts))
    if wrong := [part for part in parts if part not in known]:
        raise InputError(f"--hit-parts {','.join(wrong)}: the texts have the parts {', '.join(known)}")
    chosen = tuple(parts) or tuple(part for part in known if part not in OF_THE_MODEL)
    return chosen or tuple(known)


def accuracy_table(looked: Looked, found: Found, samples: Path, parts: Sequence[str]) -> AccuracyTable:
    """Accuracy of the greedy answers in a run's samples.jsonl by level, on hit problems and others."""
    chosen = chosen_parts(looked, parts)
    names: dict[str, set[tuple[str, str]]] = {}  # text of any part -> (benchmark, id) of whose it is
    for text in looked.texts:
        names.setdefault(_plain(text.text), set()).add((text.benchmark, text.id))
    hits = {
        n: {looked.items[item][:2] for length, item in found.hits if length == n and looked.items[item][2] in chosen}
        for n in sorted(looked.tables)
    }
    known: list[tuple[EvalSample, set[tuple[str, str]]]] = []
    num_unknown = 0
    for sample in read_lines(samples, EvalSample):
        if (whose := names.get(_plain(sample.problem))) is None:
            num_unknown += 1
        else:
            known.append((sample, whose))
    if not known:
        raise InputError(f"{samples}: none of its problems is among the texts that were looked for (--texts)")
    rows = []
    for n, hit in hits.items():
        groups: dict[tuple[str, str], list[tuple[bool, bool]]] = {}
        for sample, whose in known:
            verdict = (not hit.isdisjoint(whose), sample.outcome == "EQUAL")
            for level in {ALL, sample.level or ALL}:
                groups.setdefault((sample.task, level), []).append(verdict)
                groups.setdefault((ALL, level), []).append(verdict)
        tasks = {sample.task for sample, _ in known}
        rows += [
            LevelRow(n=n, task=task, level=level, hit=_share(verdicts, True), other=_share(verdicts, False))
            for (task, level), verdicts in sorted(groups.items(), key=lambda one: _order(*one[0]))
            if task != ALL or len(tasks) > 1
        ]
    return AccuracyTable(samples=samples, parts=chosen, rows=tuple(rows), num_unknown=num_unknown)


def _share(verdicts: Iterable[tuple[bool, bool]], hit: bool) -> Share:
    right = [is_right for was_hit, is_right in verdicts if was_hit == hit]
    return Share(n=len(right), right=sum(right))


def _order(task: str, level: str) -> tuple[bool, str, bool, str]:
    return task == ALL, task, level == ALL, level


def _plain(text: str) -> str:
    return " ".join(text.split())
