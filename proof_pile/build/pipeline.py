"""The steps of a build in their order: what each has to do, told from what the ones before it made.

`STAGES` is the whole way of a document.  A stage's `plan` is pure: it looks at the records of earlier stages and
returns steps and tasks; whether they are planned only or run as well is decided elsewhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.logging import get_logger
from llemma.core.steps import InputFile, OutputFile, Step, StepDirectory, Task, TaskRecord
from proof_pile.build.reading import InputHashes, source_steps
from proof_pile.build.recipe import Recipe, TrainTokenizerConfig

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


def _step(name: str, module: str, **params: Any) -> Step:
    """The step whose function is `run` of a module, in the version that the module says."""
    version: int = importlib.import_module(module).VERSION
    return Step(name=name, version=version, function=f"{module}:run", params=params)


def _inputs_of(records: Sequence[TaskRecord], name: str) -> list[InputFile]:
    return [record.output(name).as_input() for record in records]


def check_inputs(build: Build) -> None:
    """Raises InputError where input is missing or benchmark texts are none, before anything is done."""
    _plan_reading(build)
    for _, tasks in _plan_benchmarks(build):
        for file in tasks[0].inputs:
            check_benchmarks(file.path)


def check_benchmarks(path: str) -> None:
    """Raises InputError, with the line, where a file of benchmark texts is not what it should be."""
    from llemma.core.schemas import BenchmarkText, read_lines

    try:
        for _ in read_lines(path, BenchmarkText):
            pass
    except DamagedFileError as error:  # it was given to us: the wrong file, not one that we lost
        raise InputError(str(error)) from None


def _plan_reading(build: Build) -> Sequence[StepTasks]:
    return build.reading


def _check_reading(build: Build) -> None:
    """Refuses a source without a document (its share of the mixture could not be drawn) or with a name for several."""
    from proof_pile.build.same_names import same_names

    problems: list[str] = []
    for name, records in build.by_source("read"):
        counts = sum_counts(records)
        if counts.get("documents", 0):
            paths = [record.output("documents.parquet").path for record in records]
            problems += filter(None, [same_names(name, paths, copies_go=build.recipe.deduplicate.exact)])
            continue
        if not counts.get("read", 0):
            quarantined = int(counts.get("quarantined", 0))
            also = f"; {quarantined:,} records could not be read, see {build.steps}/read-{name}-*/*.quarantine.jsonl"
            problems.append(
                f"source '{name}': there is no document in its input: give it some, or take it out of the recipe"
                f"{also if quarantined else ''}"
            )
        else:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped_reasons(counts).items())
            problems.append(
                f"source '{name}': its filters drop all of its {int(counts['read']):,} documents ({reasons}): "
                "loosen them, or take it out of the recipe"
            )
    if problems:
        raise InputError("\n".join(problems))


def _plan_fingerprints(build: Build) -> Sequence[StepTasks]:
    near = build.recipe.deduplicate.near
    if not build.recipe.deduplicate.exact and near is None:
        return []
    settings = near.model_dump(exclude={"threshold"}) if near else {"ngram": 1, "bands": 1, "rows": 1, "partitions": 1}
    step = _step(
        "fingerprints", "proof_pile.dedup.fingerprints", **settings, near=near is not None, seed=build.recipe.seed
    )
    tasks = [
        Task(inputs=(file.documents,), label=file.record.label, args={"of": file.of})
        for file in build.documents_files()
    ]
    return [(step, tasks)]


def _partitions(build: Build) -> int:
    near = build.recipe.deduplicate.near
    return near.partitions if near else 1


def _plan_exact(build: Build) -> Sequence[StepTasks]:
    if not build.recipe.deduplicate.exact:
        return []
    prints = build.flat("fingerprints")
    inputs = (*_inputs_of(prints, "contents.arrow"), *_inputs_of(prints, "documents.arrow"))
    ranks = [file.rank for file in build.documents_files()]
    count = _partitions(build)
    tasks = [
        Task(inputs=inputs, label=f"partition {number + 1} of {count}", args={"partition": number, "ranks": ranks})
        for number in range(count)
    ]
    return [(_step("exact-duplicates", "proof_pile.dedup.exact"), tasks)]


def _plan_near(build: Build) -> Sequence[StepTasks]:
    near = build.recipe.deduplicate.near
    if near is None:
        return []
    prints = build.flat("fingerprints")
    inputs = (
        *_inputs_of(prints, "bands.arrow"),
        *_inputs_of(prints, "documents.arrow"),
        *(file.documents for file in build.documents_files()),
        *_inputs_of(build.flat("exact-duplicates"), "pairs.parquet"),
    )
    step = _step("near-duplicates", "proof_pile.dedup.nearduplicates", **near.model_dump())
    tasks = [
        Task(
            inputs=inputs,
            label=f"partition {number + 1} of {near.partitions}",
            args={"partition": number, "num_files": len(prints)},
        )
        for number in range(near.partitions)
    ]
    return [(step, tasks)]


def _plan_clusters(build: Build) -> Sequence[StepTasks]:
    prints = build.flat("fingerprints")
    if not prints:
        return []
    exact = build.flat("exact-duplicates")
    inputs = (
        *_inputs_of(prints, "documents.arrow"),
        *_inputs_of(exact, "pairs.parquet"),
        *_inputs_of(build.flat("near-duplicates"), "pairs.parquet"),
    )
    ranks = [file.rank for file in build.documents_files()]
    args = {"num_files": len(prints), "num_exact": len(exact), "ranks": ranks}
    step = _step("duplicate-marks", "proof_pile.dedup.clusters")
    return [(step, [Task(inputs=inputs, label="all clusters", args=args)])]


def _plan_benchmarks(build: Build) -> Sequence[StepTasks]:
    config = build.recipe.decontaminate
    if not config.benchmarks:
        return []
    inputs = []
    for name in config.benchmarks:
        path = Path(name).expanduser()
        path = path if path.is_absolute() else build.base / path
        if not path.is_file():
            raise InputError(
                f"{path}: there is no such file of benchmark texts ('decontaminate'): "
                "make one with  python -m eval_tasks export --out FILE"
            )
        inputs.append(InputFile(path=str(path), sha256=build.hashes.of(str(path))))
    step = _step("benchmark-index", "proof_pile.decontaminate.index", ngram=config.ngram, min_words=config.min_words)
    return [(step, [Task(inputs=tuple(inputs), label=", ".join(config.benchmarks))])]


def _plan_contamination(build: Build) -> Sequence[StepTasks]:
    index = build.flat("benchmark-index")
    if not index:
        return []
    names = ("items.parquet", "ngrams.parquet", "anchors.parquet", "words.parquet")
    index_files = tuple(index[0].output(name).as_input() for name in names)
    config = build.recipe.decontaminate
    step = _step("contamination", "proof_pile.decontaminate.search", ngram=config.ngram, min_words=config.min_words)
    tasks = [
        Task(inputs=(file.documents, *index_files), label=file.record.label, args={"of": file.of})
        for file in build.documents_files()
    ]
    return [(step, tasks)]


def _plan_consolidation(build: Build) -> Sequence[StepTasks]:
    duplicates: dict[str, OutputFile] = {
        output.name: output for record in build.flat("duplicate-marks") for output in record.outputs
    }
    contamination = build.flat("contamination")
    tasks = []
    for number, file in enumerate(build.documents_files()):
        inputs = [file.documents]
        marks = duplicates.get(f"marks.{number:06d}.parquet")
        if marks is not None:
            inputs.append(marks.as_input())
        if contamination and contamination[number].counts["contaminated"]:
            inputs.append(contamination[number].output("marks.parquet").as_input())
        tasks.append(Task(inputs=tuple(inputs), label=file.record.label, args={"of": file.of}))
    split = build.recipe.split
    shares = {"validation": split.validation, "test": split.test}
    return [(_step("consolidate", "proof_pile.consolidate", **shares, seed=build.recipe.seed), tasks)]


def _check_consolidation(build: Build) -> None:
    """Refuses a source of the mixture without training documents, and says where they went."""
    problems = []
    mixed = set(build.recipe.mixture.source_names)
    for name, records in build.by_source("consolidate"):
        counts = sum_counts(records)
        if name in mixed and not counts.get("documents/train", 0):
            reasons = ("exact-duplicate", "near-duplicate", "contaminated", "documents/validation", "documents/test")
            went = ", ".join(f"{reason} {int(counts[reason]):,}" for reason in reasons if counts.get(reason))
            problems.append(f"source '{name}': no document is left for training ({went or 'none came in'})")
    if problems:
        raise InputError("\n".join(problems))


def _plan_tokenizer(build: Build) -> Sequence[StepTasks]:
    if build.tokenizer_path is not None:
        return []
    train = build.recipe.tokenizer.train
    config = train or TrainTokenizerConfig()
    settings = {**config.model_dump(), "seed": build.recipe.seed, "split": "train"}
    step = _step("tokenizer", "proof_pile.tokenize.training", **settings)
    inputs = tuple(_inputs_of(build.flat("consolidate"), "documents.parquet"))
    return [(step, [Task(inputs=inputs, label=f"{config.vocab_size:,} pieces")])]


def tokenizer_input(build: Build) -> InputFile:
    """The tokenizer's file: the one that was given, or the one that was trained."""
    trained = build.flat("tokenizer")
    if trained:
        return trained[0].output("tokenizer.model").as_input()
    from llemma.core.text.tokenizers import tokenizer_file

    assert build.tokenizer_path is not None
    path = str(tokenizer_file(build.tokenizer_path))
    return InputFile(path=path, sha256=build.hashes.of(path))


def _plan_tokenizing(build: Build) -> Sequence[StepTasks]:
    tokenizer = tokenizer_input(build)
    step = _step("tokenize", "proof_pile.tokenize.encode", eod=build.recipe.tokenizer.eod)
    tasks = [
        Task(
            inputs=(record.output("documents.parquet").as_input(), tokenizer),
            label=file.record.label,
            args={"of": file.of},
        )
        for file, record in zip(build.documents_files(), build.flat("consolidate"), strict=True)
    ]
    return [(step, tasks)]


def _plan_merging(build: Build) -> Sequence[StepTasks]:
    from proof_pile.tokenize.merge import merge_tasks

    step = _step("merge", "proof_pile.tokenize.merge")
    return [(step, merge_tasks(build.flat("tokenize")))]


STAGES: tuple[Stage, ...] = (
    Stage(name="read", title="read and filter", plan=_plan_reading, check=_check_reading),
    Stage(name="fingerprints", title="hash words and contents", plan=_plan_fingerprints),
    Stage(name="exact-duplicates", title="find exact duplicates", plan=_plan_exact),
    Stage(name="near-duplicates", title="find near-duplicates", plan=_plan_near),
    Stage(name="duplicate-marks", title="cluster and mark duplicates", plan=_plan_clusters),
    Stage(name="benchmark-index", title="index benchmark texts", plan=_plan_benchmarks),
    Stage(name="contamination", title="mark contamination", plan=_plan_contamination),
    Stage(name="consolidate", title="remove and split", plan=_plan_consolidation, check=_check_consolidation),
    Stage(name="tokenizer", title="train the tokenizer", plan=_plan_tokenizer),
    Stage(name="tokenize", title="tokenize", plan=_plan_tokenizing),
    Stage(name="merge", title="merge shards", plan=_plan_merging),
)


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
