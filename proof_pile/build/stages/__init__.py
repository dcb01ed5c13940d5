"""The stages of a build in their order: the whole way of a document."""

from __future__ import annotations

from proof_pile.build.pipeline import Build, Stage
from proof_pile.build.stages import consolidation, contamination, duplicates, publishing, reading, tokenizing

STAGES: tuple[Stage, ...] = (
    *reading.STAGES,
    *duplicates.STAGES,
    *contamination.STAGES,
    *consolidation.STAGES,
    *duplicates.PUBLISHED_STAGES,
    *tokenizing.STAGES,
    *publishing.STAGES,
)


def check_inputs(build: Build) -> None:
    """Raises InputError where input is missing or benchmark texts or earlier builds are none, before all else."""
    reading.STAGES[0].plan(build)
    duplicates.check_against(build)
    contamination.check_benchmark_files(build)
