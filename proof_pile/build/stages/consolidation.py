"""What stays: marks applied, splits drawn."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.errors import InputError
from llemma.core.steps import OutputFile, Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, make_step, sum_counts


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
        if contamination:
            record = contamination[number]
            if record.counts["contaminated"] or record.counts["contaminated-span"]:
                inputs.append(record.output("marks.parquet").as_input())
            if record.counts["contaminated-reported"]:
                inputs.append(record.output("reported.parquet").as_input())
        tasks.append(Task(inputs=tuple(inputs), label=file.record.label, args={"of": file.of}))
    split = build.recipe.split
    shares = {"validation": split.validation, "test": split.test}
    return [(make_step("consolidate", "proof_pile.consolidate", **shares, seed=build.recipe.seed), tasks)]


def _check_consolidation(build: Build) -> None:
    """Refuses a source of the mixture without training documents, and says where they went."""
    from proof_pile.consolidate import REASONS

    problems = []
    mixed = set(build.recipe.mixture.source_names)
    for name, records in build.by_source("consolidate"):
        counts = sum_counts(records)
        if name in mixed and not counts.get("documents/train", 0):
            reasons = (*REASONS, "documents/validation", "documents/test")
            went = ", ".join(f"{reason} {int(counts[reason]):,}" for reason in reasons if counts.get(reason))
            problems.append(f"source '{name}': no document is left for training ({went or 'none came in'})")
    if problems:
        raise InputError("\n".join(problems))


CONSOLIDATE = Stage(name="consolidate", title="remove and split", plan=_plan_consolidation, check=_check_consolidation)
