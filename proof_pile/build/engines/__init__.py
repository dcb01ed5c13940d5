"""Who runs the tasks of a build: `local` (a pool of processes), `ray`, `slurm`.  One file an engine.

An engine knows a step's folder and a task's number, nothing else of the work, and a task is complete when its record
stands in that folder, whoever wrote it.  So every engine leaves the same bytes.

    failures.py   why a task failed, and what a person is told of it
    task.py       running one task: the same few lines in a worker process, on a Ray node and in a Slurm job
    batch.py      which tasks wait, run, are tried again; the same rules for all engines
    journal.py    how far the work has come, for a progress bar here and `status` in another terminal
    local.py  worker.py  ray.py  slurm.py  slurm_jobs.py  slurm_commands.py
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from proof_pile.build.engines.batch import Job
    from proof_pile.build.engines.journal import Journal

ENGINES = ("local", "ray", "slurm")


class Engine(Protocol):
    """Runs batches of tasks; a context manager that starts and ends what it needs for that."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def description(self) -> str:
        """What runs the tasks, in a few words: "2 workers"."""
        ...

    def busy_keys(self) -> frozenset[str]:
        """Keys of tasks that are running now for an earlier driver: what they have half-written must stay."""
        ...

    def run(self, jobs: Sequence[Job], journal: Journal) -> None:
        """Runs all jobs and tells the journal of each.  Raises TasksFailedError when all others are done."""
        ...
