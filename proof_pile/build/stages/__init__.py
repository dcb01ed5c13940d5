"""The stages of a build in their order: the whole way of a document."""

from __future__ import annotations

from proof_pile.build.pipeline import Build, Stage
from proof_pile.build.stages.consolidation import CONSOLIDATE
from proof_pile.build.stages.contamination import (
    INDEX_BENCHMARKS,
    MARK_CONTAMINATION,
    REPORT_CONTAMINATION,
    check_benchmark_files,
)
from proof_pile.build.stages.duplicates import (
    CANDIDATES,
    CATALOGUE,
    CLUSTERS,
    DOUBTS,
    FINGERPRINT_GROUPS,
    FINGERPRINTS,
    MARKS,
    PUBLISHED_FINGERPRINTS,
    SHINGLES,
    check_against,
)
from proof_pile.build.stages.publishing import DESCRIBE
from proof_pile.build.stages.reading import READ
from proof_pile.build.stages.tokenizing import MERGE, TOKENIZE, TOKENIZER

ACTS: tuple[tuple[Stage, ...], ...] = (
    (READ,),
    (INDEX_BENCHMARKS, FINGERPRINTS),
    (FINGERPRINT_GROUPS,),
    (CATALOGUE,),
    (CANDIDATES,),
    (DOUBTS,),
    (SHINGLES,),
    (CLUSTERS, MARK_CONTAMINATION),
    (MARKS, REPORT_CONTAMINATION),
    (CONSOLIDATE,),
    (TOKENIZER, PUBLISHED_FINGERPRINTS),
    (TOKENIZE,),
    (MERGE, DESCRIBE),
)
"""Stages of one act need nothing of each other and run at once, so that one long task leaves no worker idle."""

STAGES: tuple[Stage, ...] = tuple(stage for act in ACTS for stage in act)


def check_inputs(build: Build) -> None:
    """Raises InputError where input is missing or benchmark texts or earlier builds are none, before all else."""
    READ.plan(build)
    check_against(build)
    check_benchmark_files(build)
