"""Everything that a report shows, read from a run directory; a part that is missing is None or empty.

Files of a run are written by several programs, some of which may have been killed or may still be writing: a line
that cannot be read is left out and counted in `notes`, which the page shows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from llemma.core.errors import LlemmaError
from llemma.core.files import read_json
from llemma.core.schemas import EvalResults, EvalSample, GeneratedText, MetricLine, Mixture, RunRecord
from llemma.guard.ledger import LEDGER_NAME, LedgerTotals, read_lines, sum_up

MAX_SAMPLES_PER_OUTCOME = 3
MAX_ROUNDS = 6  # of texts written while training, from the first to the last
MAX_LINE_CHARS = 50_000_000  # a longer line is not a record of ours
_FIRST_LABELS = ("base", "start", "before")
M = TypeVar("M", bound=pydantic.BaseModel)


@dataclass(frozen=True, kw_only=True)
class StageMetrics:
    """What one stage wrote while it trained; `offset` turns its iterations into those of the whole run."""

    name: str
    directory: str
    planned_iterations: int | None
    planned_tokens: int | None
    offset: int
    train: tuple[MetricLine, ...]
    validation: tuple[MetricLine, ...]
    events: tuple[MetricLine, ...]
    written: tuple[GeneratedText, ...]  # of MAX_ROUNDS rounds
    totals: LedgerTotals

    @property
    def has_preferences(self) -> bool:
        """Whether its losses are those of DPO or KTO, which come with measures."""
        return any(line.measures for line in self.train)

    @property
    def last_iteration(self) -> int:
        """The last iteration that was trained, 0 where none was."""
        return max((line.iteration for line in self.train), default=0)

    @property
    def tokens(self) -> int:
        """Tokens trained on in this stage, as far as it wrote them."""
        return max((line.tokens or 0 for line in self.train), default=0)

    @property
    def seconds(self) -> float:
        """Seconds that the stage's training took."""
        return max((line.seconds or 0.0 for line in (*self.train, *self.validation)), default=0.0)

    @property
    def tokens_per_s(self) -> float | None:
        """Median speed over the stage."""
        return _median(line.tokens_per_s for line in self.train)

    @property
    def mfu(self) -> float | None:
        """Median share of the peak that the trainer found, where it knew a peak."""
        return _median(line.mfu for line in self.train)

    @property
    def validation_s(self) -> float:
        """Seconds that validation took."""
        return sum(line.took_s or 0.0 for line in self.validation)


def _median(values: Iterable[float | None]) -> float | None:
    known = sorted(value for value in values if value)
    return known[len(known) // 2] if known else None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation: its label, its results, some of its samples, and the number of samples by task and outcome."""

    label: str
    results: EvalResults
    samples: tuple[EvalSample, ...]


@dataclass(frozen=True, kw_only=True)
class RunData:
    """A run as the report sees it."""

    path: Path
    record: RunRecord
    mixture: Mixture | None
    manifest: Mapping[str, Any] | None
    stages: tuple[StageMetrics, ...]
    evaluations: tuple[Evaluation, ...]
    stage_times: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def has_training(self) -> bool:
        """Whether any training step was taken."""
        return any(stage.train for stage in self.stages)

    @property
    def loss_unit(self) -> str:
        """What the losses are told in."""
        has_preferences = any(stage.has_preferences for stage in self.stages)
        return "nats per token; DPO and KTO: their own" if has_preferences else "nats per token"


@dataclass
class _Notes:
    lines: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.lines.append(text)


def load_run(path: Path) -> RunData:
    """Reads a run directory. Raises InputError where it is not one."""
    record = RunRecord.read(path)
    notes = _Notes()
    mixture_path = _mixture_path(path, record) if record.mixture else None
    return RunData(
        path=path,
        record=record,
        mixture=_optional(mixture_path, Mixture.read, notes) if mixture_path else None,
        manifest=_optional(mixture_path.with_name("manifest.json"), _read_object, notes) if mixture_path else None,
        stages=_stages(path, record, notes),
        evaluations=_evaluations(path, notes),
        stage_times=_stage_times(path / "demo.json", notes),
        notes=tuple(notes.lines),
    )


def _mixture_path(run: Path, record: RunRecord) -> Path:
    """Where the record says that mixture.json is: absolute, or relative to the run or to where the plan was made."""
    given = Path(record.mixture)
    candidates = [given] if given.is_absolute() else [run / given, given]
    return next((path for path in candidates if path.exists()), candidates[0])


def _optional(path: Path, read: Any, notes: _Notes) -> Any:
    if not path.exists():
        return None
    try:
        return read(path)
    except (LlemmaError, OSError) as error:
        notes.add(str(error))
        return None


def _read_object(path: Path) -> Mapping[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise LlemmaError(f"{path}: not a JSON object, left out of this report")
    return value


def _lines(path: Path, model: type[M], notes: _Notes) -> Iterator[M]:
    if not path.exists():
        return
    bad = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                if len(line) > MAX_LINE_CHARS:
                    raise ValueError("line too long")
                yield model.model_validate_json(line)
            except ValueError:  # pydantic's ValidationError is one
                bad += 1
    if bad:
        notes.add(f"{path}: {bad} line{'s' if bad > 1 else ''} could not be read, left out here")


def _stages(run: Path, record: RunRecord, notes: _Notes) -> tuple[StageMetrics, ...]:
    planned = {Path(stage.directory).name: stage for stage in record.stages}
    found = sorted(folder.name for folder in (run / "train").glob("*") if folder.is_dir())
    stages = []
    offset, last = 0, 0
    for name in sorted({*planned, *found}):
        folder = run / "train" / name
        lines = list(_lines(folder / "metrics.jsonl", MetricLine, notes))
        plan = planned.get(name)
        by_kind: dict[str, dict[int, MetricLine]] = defaultdict(dict)
        for line in lines:
            by_kind[line.kind][line.iteration] = line  # a resumed run repeats iterations: the last one counts
        train = tuple(by_kind["train"][key] for key in sorted(by_kind["train"]))
        if train and train[0].iteration <= last - offset:
            offset = last  # this stage counts its iterations from the start again
        stages.append(
            StageMetrics(
                name=plan.name if plan else name,
                directory=name,
                planned_iterations=plan.iterations if plan else None,
                planned_tokens=plan.tokens if plan else None,
                offset=offset,
                train=train,
                validation=tuple(by_kind["validation"][key] for key in sorted(by_kind["validation"])),
                events=tuple(line for line in lines if line.kind == "event"),
                written=_chosen_rounds(folder / "samples.jsonl", notes),
                totals=sum_up(read_lines(folder / LEDGER_NAME)),
            )
        )
        last = max(last, offset + stages[-1].last_iteration)
    return tuple(stages)


def _chosen_rounds(path: Path, notes: _Notes) -> tuple[GeneratedText, ...]:
    """The texts of a few rounds, evenly from the first to the last."""
    rounds: dict[int, list[GeneratedText]] = defaultdict(list)
    for text in _lines(path, GeneratedText, notes):
        rounds[text.iteration].append(text)
    iterations = sorted(rounds)
    last, count = len(iterations) - 1, min(MAX_ROUNDS, len(iterations))
    chosen = [iterations[round(place * last / max(1, count - 1))] for place in range(count)]
    return tuple(text for iteration in chosen for text in rounds[iteration])


def _evaluations(run: Path, notes: _Notes) -> tuple[Evaluation, ...]:
    evaluations = []
    folders = [path for path in (run / "eval").glob("*") if path.is_dir()]
    for folder in sorted(folders, key=lambda path: (path.name not in _FIRST_LABELS, path.name)):
        if not (folder / "results.json").exists():
            notes.add(f"{folder}: no results.json yet, this evaluation has not been finished")
            continue
        results = _optional(folder / "results.json", EvalResults.read, notes)
        if results is not None:
            samples = _chosen_samples(folder / "samples.jsonl", notes)
            evaluations.append(Evaluation(label=folder.name, results=results, samples=samples))
    return tuple(evaluations)


def _chosen_samples(path: Path, notes: _Notes) -> tuple[EvalSample, ...]:
    """The first few samples of each task and outcome: a file may hold millions of completions."""
    chosen: dict[tuple[str, str], list[EvalSample]] = defaultdict(list)
    for sample in _lines(path, EvalSample, notes):
        bucket = chosen[sample.task, sample.outcome]
        if len(bucket) < MAX_SAMPLES_PER_OUTCOME:
            bucket.append(sample)
    return tuple(sample for bucket in chosen.values() for sample in bucket)


def _stage_times(path: Path, notes: _Notes) -> tuple[Mapping[str, Any], ...]:
    value = _optional(path, _read_object, notes)
    stages = value.get("stages") if value else None
    if not isinstance(stages, list):
        return ()
    good = [
        stage
        for stage in stages
        if isinstance(stage, dict)
        and isinstance(stage.get("name"), str)
        and isinstance(stage.get("seconds"), int | float)
        and math.isfinite(stage["seconds"])
    ]
    if len(good) < len(stages):
        notes.add(f"{path}: {len(stages) - len(good)} stage times could not be read")
    return tuple(good)
