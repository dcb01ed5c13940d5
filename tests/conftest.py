"""What tests of several parts share: a real Slurm cluster, and a process that gives freed memory back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from slurm_cluster import SlurmCluster, why_not


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Two real Slurm nodes on this machine; skips where Slurm is not installed or this is not root."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no Slurm cluster here: {reason}")
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session", autouse=True)
def _freed_memory_is_given_back() -> Iterator[None]:
    """A training in this process would keep all that it ever held, and tests after it measure what they take."""
    from llemma.train import processor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processor, "_keep_freed_memory", lambda: None)
        yield
