"""A build under way: what its stages have to do, what of it is done, and what earlier stages left for later ones.

A stage's `plan` is pure: it looks at the records of earlier stages and returns steps and tasks; whether they are
planned only or run as well is decided elsewhere.  The stages themselves stand in proof_pile.build.stages.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llemma.core.logging import get_logger
from llemma.core.steps import InputFile, Step, StepDirectory, Task, TaskRecord
from proof_pile.build.reading import InputHashes, source_steps
from proof_pile.build.recipe import Recipe

log = get_logger(__name__)
StepTasks = tuple[Step, list[Task]]


@dataclass(frozen=True, kw_only=True)
class StageState:
    """A stage's step folders (which need not exist yet) and the numbers of the tasks that are not complete."""

    directories: tuple[StepDirectory, ...]
    missing: tuple[tuple[int, ...], ...]

    @property
    def num_tasks(self) -> int:
        """All tasks of the stage."""
        return sum(len(directory.tasks) for directory in self.directories)

    @property
    def num_missing(self) -> int:
        """Tasks that are still to be run."""
        return sum(len(numbers) for numbers in self.missing)


@dataclass(frozen=True, kw_only=True)
class DocumentsFile:
    """One file of documents: where its source stands in the recipe, and a name that stays when others are added."""

    rank: int
    of: str
    record: TaskRecord

    @property
    def documents(self) -> InputFile:
        """The documents themselves, as an input of a later step."""
        return self.record.output("documents.parquet").as_input()


@dataclass
class Build:
    """A recipe, the folder that it is built in, and the records of the stages that are complete."""

    recipe: Recipe
    base: Path
    out: Path
    hashes: InputHashes
    records: dict[str, list[list[TaskRecord]]] = field(default_factory=dict)

    @property
    def steps(self) -> Path:
        """The folder of all step folders."""
        return self.out / "steps"

    def look(self, stage: Stage, *, forget_damaged: bool = False) -> StageState:
        """What a stage has to do and what of it is done; changes nothing on the disk unless damage is to be forgotten.

        `forget_damaged` has tasks done again whose files are gone or cut short.
        """
        directories = []
        missing = []
        for step, tasks in stage.plan(self):
            directory = StepDirectory(self.steps / step.directory_name, step, tuple(tasks))
            directories.append(directory)
            if forget_damaged and directory.path.is_dir() and (damaged := directory.forget_damaged()):
                log.warning("%s: %d tasks lost files that they had made, they are done again", step.name, len(damaged))
            missing.append(tuple(directory.missing() if directory.path.is_dir() else range(len(tasks))))
        return StageState(directories=tuple(directories), missing=tuple(missing))

    def settle(self, stage: Stage, state: StageState) -> None:
        """Takes the records of a complete stage, for the stages after it.  Raises InputError where it left nothing."""
        self.records[stage.name] = [directory.records() for directory in state.directories]
        if stage.check is not None:
            stage.check(self)

    def flat(self, stage: str) -> list[TaskRecord]:
        """All records of a stage."""
        return [record for records in self.records.get(stage, []) for record in records]

    def documents_files(self) -> list[DocumentsFile]:
        """The files of read and filtered documents, by source, input and task."""
        files = []
        for (rank, number), records in zip(self._inputs, self.records["read"], strict=True):
            name = self.recipe.sources[rank].name
            for record in records:
                files.append(DocumentsFile(rank=rank, of=f"{name}/{number}/{record.key}", record=record))
        return files

    def by_source(self, stage: str) -> Iterator[tuple[str, list[TaskRecord]]]:
        """Source name and records of a stage that has one task a documents file (or the reading stage itself)."""
        ranks = [file.rank for file in self.documents_files()]
        records = self.flat(stage)
        for rank, source in enumerate(self.recipe.sources):
            yield source.name, [record for record, of in zip(records, ranks, strict=True) if of == rank]

    @cached_property
    def reading(self) -> list[StepTasks]:
        """The reading steps; computed once, for it lists and hashes all input."""
        return source_steps(self.recipe, self.base, self.hashes)

    @property
    def _inputs(self) -> list[tuple[int, int]]:
        return [
            (rank, number) for rank, source in enumerate(self.recipe.sources) for number in range(len(source.inputs))
        ]

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer that was given, as an absolute path; None where one is trained."""
        path = self.recipe.tokenizer.path
        if path is None:
            return None
        expanded = Path(path).expanduser()
        return expanded if expanded.is_absolute() else self.base / expanded


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: its name, what it does in a few words, its steps, and a check of what it left."""

    name: str
    title: str
    plan: Callable[[Build], Sequence[StepTasks]]
    check: Callable[[Build], None] | None = None


def make_step(name: str, module: str, **params: Any) -> Step:
    """The step whose function is `run` of a module, in the version that the module says."""
    version: int = importlib.import_module(module).VERSION
    return Step(name=name, version=version, function=f"{module}:run", params=params)


def inputs_of(records: Sequence[TaskRecord], name: str) -> list[InputFile]:
    """The outputs of that name of all records, as inputs of a later step."""
    return [record.output(name).as_input() for record in records]


def sum_counts(records: Sequence[TaskRecord]) -> dict[str, float]:
    """The counts of several tasks, added up."""
    total: dict[str, float] = {}
    for record in records:
        for name, value in record.counts.items():
            total[name] = total.get(name, 0) + value
    return total


def dropped_reasons(counts: dict[str, float]) -> dict[str, int]:
    """Documents that filters dropped by reason, the most frequent first."""
    prefix = "dropped/"
    reasons = {name.removeprefix(prefix): int(value) for name, value in counts.items() if name.startswith(prefix)}
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
