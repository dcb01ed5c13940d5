"""The index of benchmark texts, and the marks of documents that hold any of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.steps import InputFile, Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, make_step


def check_benchmark_files(build: Build) -> None:
    """Raises InputError where files of benchmark texts are missing or none, before anything is done."""
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
    step = make_step(
        "benchmark-index", "proof_pile.decontaminate.index", ngram=config.ngram, min_words=config.min_words
    )
    return [(step, [Task(inputs=tuple(inputs), label=", ".join(config.benchmarks))])]


def _plan_contamination(build: Build) -> Sequence[StepTasks]:
    index = build.flat("benchmark-index")
    if not index:
        return []
    names = ("items.parquet", "ngrams.parquet", "anchors.parquet", "words.parquet")
    index_files = tuple(index[0].output(name).as_input() for name in names)
    config = build.recipe.decontaminate
    step = make_step("contamination", "proof_pile.decontaminate.search", ngram=config.ngram, min_words=config.min_words)
    tasks = [
        Task(inputs=(file.documents, *index_files), label=file.record.label, args={"of": file.of})
        for file in build.documents_files()
    ]
    return [(step, tasks)]


STAGES = (
    Stage(name="benchmark-index", title="index benchmark texts", plan=_plan_benchmarks),
    Stage(name="contamination", title="mark contamination", plan=_plan_contamination),
)
