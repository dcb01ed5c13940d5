"""Reading and filtering: one step an input of each source."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.errors import InputError
from proof_pile.build.pipeline import Build, Stage, StepTasks, dropped_reasons, sum_counts


def _plan_reading(build: Build) -> Sequence[StepTasks]:
    return build.reading


def _check_reading(build: Build) -> None:
    """Refuses a source without a document (its share of the mixture could not be drawn)."""
    problems: list[str] = []
    for name, records in build.by_source("read"):
        counts = sum_counts(records)
        if counts.get("documents", 0):
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


READ = Stage(name="read", title="read and filter", plan=_plan_reading, check=_check_reading)
