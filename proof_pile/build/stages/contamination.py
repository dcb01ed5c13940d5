"""The index of benchmark texts, the marks of documents that hold any of them, and the report of what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from llemma.core.steps import InputFile, Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, make_step
from proof_pile.decontaminate.benchmark_files import list_benchmark_files, read_texts
from proof_pile.decontaminate.config import BenchmarkFile

INDEX_FILES = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")


def check_benchmark_files(build: Build) -> None:
    """Raises InputError where files of benchmark texts are missing or none, before anything is done."""
    for spec, paths in _files(build):
        for path in paths:
            for _ in read_texts(str(path), spec.row_layout, spec.benchmark):
                pass


def _files(build: Build) -> Iterator[tuple[BenchmarkFile, list[Path]]]:
    for spec in build.recipe.decontaminate.benchmarks:
        yield spec, list_benchmark_files(spec, build.base)


def _plan_benchmarks(build: Build) -> Sequence[StepTasks]:
    config = build.recipe.decontaminate
    if not config.benchmarks:
        return []
    inputs: list[InputFile] = []
    files = []
    for spec, paths in _files(build):
        inputs += [InputFile(path=str(path), sha256=build.hashes.of(str(path))) for path in paths]
        layout = spec.row_layout
        described = None if layout is None else layout.model_dump(mode="json")
        files.append({"paths": len(paths), "benchmark": spec.benchmark, "layout": described})
    step = make_step(
        "benchmark-index",
        "proof_pile.decontaminate.index",
        ngram=config.ngram,
        min_words=config.min_words,
        overlap=list(config.overlap),
    )
    label = ", ".join(spec.path for spec in config.benchmarks)
    return [(step, [Task(inputs=tuple(inputs), label=label, args={"files": files})])]


def _plan_contamination(build: Build) -> Sequence[StepTasks]:
    index = build.flat("benchmark-index")
    if not index:
        return []
    index_files = tuple(index[0].output(name).as_input() for name in INDEX_FILES)
    config = build.recipe.decontaminate
    step = make_step(
        "contamination",
        "proof_pile.decontaminate.search",
        ngram=config.ngram,
        min_words=config.min_words,
        overlap=list(config.overlap),
        action=config.action.model_dump(mode="json"),
    )
    tasks = [
        Task(inputs=(file.documents, *index_files), label=file.record.label, args={"of": file.of})
        for file in build.documents_files()
    ]
    return [(step, tasks)]


def _plan_report(build: Build) -> Sequence[StepTasks]:
    index, found = build.flat("benchmark-index"), build.flat("contamination")
    if not index:
        return []
    step = make_step("contamination-report", "proof_pile.decontaminate.report")
    inputs = (index[0].output("items.parquet"), *(record.output("found.json") for record in found))
    sources = [
        {
            "name": name,
            "files": len(records),
            "documents": sum(int(record.counts["documents"]) for record in records),
        }
        for name, records in build.by_source("contamination")
    ]
    task = Task(inputs=tuple(output.as_input() for output in inputs), label="all sources", args={"sources": sources})
    return [(step, [task])]


STAGES = (
    Stage(name="benchmark-index", title="index benchmark texts", plan=_plan_benchmarks),
    Stage(name="contamination", title="mark contamination", plan=_plan_contamination),
    Stage(name="contamination-report", title="report contamination", plan=_plan_report),
)
