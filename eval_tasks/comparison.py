"""Scores side by side: of several runs, with those that were published, and of two models on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic
import yaml

from eval_tasks.catalog import PREFIX, Catalog
from eval_tasks.intervals import Paired, compare_paired
from llemma.core.config import Config
from llemma.core.errors import InputError
from llemma.core.schemas import EvalResults, EvalSample, read_lines

PUBLISHED_FILE = Path(__file__).with_name("published.yml")


class PublishedRow(Config):
    """Published scores of one model in percent by task; `k` the number of votes, for a majority vote."""

    model: str
    scores: dict[str, float]
    source: str
    k: dict[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run; `samples` are its problems by (task, id), in their order."""

    name: str
    results: EvalResults
    samples: dict[tuple[str, str], EvalSample]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A score in percent; `mark` stands where it is not comparable with Llemma's published ones."""

    percent: float
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table of scores: by task name without prefix."""

    model: str
    kind: str
    cells: dict[str, Cell]
    source: str


def read_published() -> tuple[PublishedRow, ...]:
    """The published scores that this package knows."""
    rows = yaml.safe_load(PUBLISHED_FILE.read_text(encoding="utf-8"))
    return pydantic.TypeAdapter(tuple[PublishedRow, ...]).validate_python(rows)


def read_run(path: Path) -> Run:
    """A run from its folder, or from its results.json. Raises InputError where it has none."""
    folder = path.parent if path.suffix == ".json" else path
    file = path if path.suffix == ".json" else folder / "results.json"
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; wanted is the folder that  eval_tasks run --out  wrote")
    samples_file = file.with_name(file.name.replace("results", "samples", 1)).with_suffix(".jsonl")
    samples = read_lines(samples_file, EvalSample) if samples_file.is_file() else ()
    name = folder.resolve().name
    return Run(
        name=name if file.name == "results.json" else f"{name}/{file.stem}",
        results=EvalResults.read(file),
        samples={(sample.task, sample.id): sample for sample in samples},
    )


def score_lines(runs: Sequence[Run], published: Sequence[PublishedRow]) -> list[Line]:
    """A line for each published row that shares a task with a run, and one or two for each run."""
    asked = {name.removeprefix(PREFIX) for run in runs for name in run.results.tasks}
    lines = []
    for row in published:
        cells = {name: Cell(percent=score) for name, score in row.scores.items() if name in asked}
        if cells:
            votes = sorted({row.k[name] for name in cells if name in row.k}) if row.k else []
            kind = f"maj@{'/'.join(map(str, votes))}" if votes else "greedy"
            lines.append(Line(model=row.model, kind=kind, cells=cells, source=row.source))
    for run in runs:
        tasks = {name.removeprefix(PREFIX): task for name, task in run.results.tasks.items()}
        greedy = {
            name: Cell(percent=100 * task.accuracy, mark="" if task.comparable else "*") for name, task in tasks.items()
        }
        lines.append(Line(model=run.name, kind="greedy", cells=greedy, source=f"this run of {run.results.model}"))
        votes_of = {name: task.majority for name, task in tasks.items() if task.majority is not None}
        if votes_of:
            ks = sorted({vote.k for vote in votes_of.values()})
            published_k = {name: k for row in published for name, k in (row.k or {}).items()}
            cells = {
                name: Cell(
                    percent=100 * vote.accuracy,
                    mark="" if tasks[name].comparable and published_k.get(name) == vote.k else "*",
                )
                for name, vote in votes_of.items()
            }
            kind = f"maj@{'/'.join(map(str, ks))}"
            lines.append(Line(model=run.name, kind=kind, cells=cells, source=f"this run of {run.results.model}"))
    return lines


def paired_tasks(first: Run, second: Run, catalog: Catalog) -> dict[str, Paired]:
    """Greedy answers of two runs on the problems that both have, for each task and each family that both ran whole.

    Raises InputError where a problem's gold answer differs: the data was not the same.
    """
    shared = [key for key in first.samples if key in second.samples]
    for key in shared:
        if first.samples[key].gold != second.samples[key].gold:
            raise InputError(f"{key[0]}, problem {key[1]}: the gold answers of the two runs differ, so did their data")
    groups: dict[str, list[tuple[str, str]]] = {}
    for key in shared:
        groups.setdefault(key[0], []).append(key)
    tasks = set(groups)
    for name, members in catalog.groups.items():
        if set(members) <= tasks:
            groups[name] = [key for key in shared if key[0] in members]
    return {
        name: compare_paired(
            [first.samples[key].outcome == "EQUAL" for key in keys],
            [second.samples[key].outcome == "EQUAL" for key in keys],
        )
        for name, keys in groups.items()
    }
