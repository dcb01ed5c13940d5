"""Fingerprints, exact and near-duplicates, and the marks of both."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.steps import Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, inputs_of, make_step


def _plan_fingerprints(build: Build) -> Sequence[StepTasks]:
    near = build.recipe.deduplicate.near
    if not build.recipe.deduplicate.exact and near is None:
        return []
    settings = near.model_dump(exclude={"threshold"}) if near else {"ngram": 1, "bands": 1, "rows": 1, "partitions": 1}
    step = make_step(
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
    inputs = (*inputs_of(prints, "contents.arrow"), *inputs_of(prints, "documents.arrow"))
    ranks = [file.rank for file in build.documents_files()]
    count = _partitions(build)
    tasks = [
        Task(inputs=inputs, label=f"partition {number + 1} of {count}", args={"partition": number, "ranks": ranks})
        for number in range(count)
    ]
    return [(make_step("exact-duplicates", "proof_pile.dedup.exact"), tasks)]


def _plan_near(build: Build) -> Sequence[StepTasks]:
    near = build.recipe.deduplicate.near
    if near is None:
        return []
    prints = build.flat("fingerprints")
    inputs = (
        *inputs_of(prints, "bands.arrow"),
        *inputs_of(prints, "documents.arrow"),
        *(file.documents for file in build.documents_files()),
        *inputs_of(build.flat("exact-duplicates"), "pairs.parquet"),
    )
    step = make_step("near-duplicates", "proof_pile.dedup.nearduplicates", **near.model_dump())
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
        *inputs_of(prints, "documents.arrow"),
        *inputs_of(exact, "pairs.parquet"),
        *inputs_of(build.flat("near-duplicates"), "pairs.parquet"),
    )
    ranks = [file.rank for file in build.documents_files()]
    args = {"num_files": len(prints), "num_exact": len(exact), "ranks": ranks}
    step = make_step("duplicate-marks", "proof_pile.dedup.clusters")
    return [(step, [Task(inputs=inputs, label="all clusters", args=args)])]


STAGES = (
    Stage(name="fingerprints", title="hash words and contents", plan=_plan_fingerprints),
    Stage(name="exact-duplicates", title="find exact duplicates", plan=_plan_exact),
    Stage(name="near-duplicates", title="find near-duplicates", plan=_plan_near),
    Stage(name="duplicate-marks", title="cluster and mark duplicates", plan=_plan_clusters),
)
