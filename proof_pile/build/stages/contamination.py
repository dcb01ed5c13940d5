"""The index of benchmark texts, the marks of documents that hold any of them, and the report of what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from llemma.core.files import atomic_path, read_json, write_json
from llemma.core.steps import InputFile, Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, make_step, sum_counts
from proof_pile.decontaminate.benchmark_files import list_benchmark_files, read_texts
from proof_pile.decontaminate.config import BenchmarkFile
from proof_pile.decontaminate.report import CONTAMINATION

CHANGED = "changed.parquet"
DONE = {
    "removed": "contaminated",
    "cut": "contaminated-span",
    "reported": "contaminated-reported",
    "spans": "spans",
    "span_bytes": "span_bytes",
}
"""What contamination.json calls the counts of consolidation."""
INDEX_FILES = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")


def check_benchmark_files(build: Build) -> None:
    """Raises InputError where files of benchmark texts are missing or none, before anything is done."""
    for spec, paths in _files(build):
        for place, path in paths:
            for _ in read_texts(str(path), spec.row_layout, spec.benchmark, place):
                pass


def _files(build: Build) -> Iterator[tuple[BenchmarkFile, list[tuple[str, Path]]]]:
    for spec in build.recipe.decontaminate.benchmarks:
        yield spec, list_benchmark_files(spec, build.base)


def _plan_benchmarks(build: Build) -> Sequence[StepTasks]:
    config = build.recipe.decontaminate
    if not config.benchmarks:
        return []
    inputs: list[InputFile] = []
    files = []
    for spec, paths in _files(build):
        inputs += [InputFile(path=str(path), sha256=build.hashes.of(str(path))) for _, path in paths]
        layout = spec.row_layout
        described = None if layout is None else layout.model_dump(mode="json")
        files.append({"places": [place for place, _ in paths], "benchmark": spec.benchmark, "layout": described})
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
    overlap = list(build.recipe.decontaminate.overlap)
    step = make_step("contamination-report", "proof_pile.decontaminate.report", overlap=overlap)
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


def publish_contamination(build: Build) -> None:
    """Writes OUT/contamination.json, the report with what was done, and OUT/changed.parquet, what was cut or reported.

    Without benchmarks neither is there.
    """
    from proof_pile.consolidate import write_removed

    targets = build.out / CONTAMINATION, build.out / CHANGED
    reports = build.flat("contamination-report")
    if not reports:
        for target in targets:
            target.unlink(missing_ok=True)
        return
    done = {}
    for name, records in build.by_source("consolidate"):
        counts = sum_counts(records)
        done[name] = {key: int(counts[column]) for key, column in DONE.items()}
    report = read_json(reports[0].output(CONTAMINATION).path)
    write_json(targets[0], {**report, "done": done})
    with atomic_path(targets[1]) as temporary:
        files = [record.output("changed.parquet").path for record in build.flat("consolidate")]
        write_removed([], files, temporary)


def describe_contamination(build: Build) -> dict[str, str]:
    """How it was done, in a line for the datasheet."""
    config = build.recipe.decontaminate
    if not config.benchmarks:
        return {"decontamination": "none: no benchmark texts were given"}
    counts = sum_counts(build.flat("benchmark-index"))
    words = {
        "remove-document": "the document goes",
        "remove-span": "the passage is cut out",
        "report": "it is reported",
    }
    by_action: dict[str, list[str]] = {}
    for part, action in config.action.model_dump().items():
        by_action.setdefault(action, []).append(f"{part}s" if part != "formal" else "formal statements")
    actions = "; ".join(f"for {' and '.join(parts)} {words[action]}" for action, parts in by_action.items())
    return {
        "decontamination": f"documents are looked for that share {config.ngram} words in a row with one of "
        f"{int(counts['items']):,} benchmark texts, or hold the whole of a shorter one ({int(counts['too_short']):,} "
        f"texts are too short to be told from chance and were not looked for): {actions}"
    }


INDEX_BENCHMARKS = Stage(name="benchmark-index", title="index benchmark texts", plan=_plan_benchmarks)
MARK_CONTAMINATION = Stage(name="contamination", title="mark contamination", plan=_plan_contamination)
REPORT_CONTAMINATION = Stage(name="contamination-report", title="report contamination", plan=_plan_report)
