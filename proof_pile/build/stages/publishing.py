"""What is shown of the documents: texts, tallies and samples."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.steps import Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, make_step


def _plan_describing(build: Build) -> Sequence[StepTasks]:
    from proof_pile.tokenize.encode import shard_files

    step = make_step(
        "describe", "proof_pile.publish.describe", **build.recipe.publish.model_dump(), seed=build.recipe.seed
    )
    tasks = []
    records = zip(build.documents_files(), build.flat("consolidate"), build.flat("tokenize"), strict=True)
    for file, consolidated, tokenized in records:
        sides = {split: files[2].as_input() for (_, split), files in shard_files(tokenized).items()}
        inputs = (
            consolidated.output("documents.parquet").as_input(),
            file.documents,
            file.record.output("dropped.parquet").as_input(),
            consolidated.output("removed.parquet").as_input(),
            *sides.values(),
        )
        tasks.append(Task(inputs=inputs, label=file.record.label, args={"of": file.of, "splits": list(sides)}))
    return [(step, tasks)]


DESCRIBE = Stage(name="describe", title="tally, sample and publish texts", plan=_plan_describing)
