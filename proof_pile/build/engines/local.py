"""The local engine: a pool of processes on this machine that together stay within a budget of memory.

Each worker has an even share of the budget.  One that takes more is told of; when all together take more than the
budget, the largest is ended and its task is run again later, alone.  A worker that keeps much memory after a task is
replaced by a fresh one.  With `in_process` the tasks run in the driver, one after the other: for debugging and for
small builds, since a crash or a lack of memory then takes the driver with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

from llemma.core.errors import InputError
from llemma.core.logging import get_logger
from llemma.core.memory import available_bytes
from llemma.core.steps import StepDirectory
from proof_pile.build.engines.batch import DEFAULT_RETRIES, STRAGGLER_S, Batch, Job
from proof_pile.build.engines.failures import Failure, failure_of, job_label
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.task import check_version
from proof_pile.build.engines.worker import Worker

log = get_logger(__name__)
WORKER_BYTES = 1 << 30  # what one worker is to stay below with the usual `shard_bytes`
MIN_WORKER_BYTES = 256 << 20  # Python, Arrow, Numba and one small shard
BUDGET_SHARE = 0.9  # of the memory that is free, where no budget is given: chosen by us
RECYCLE_SHARE = 0.5  # of its share that a worker may keep between tasks
WATCH_S = 0.25


def usable_cpus() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def plan_workers(workers: int | None, memory: int | None) -> int:
    """How many workers: as asked for (or one a processor), but no more than a given budget of memory has room for.

    Raises InputError for a budget that is too small for one.
    """
    if memory is not None and memory < MIN_WORKER_BYTES:
        raise InputError(f"--memory is {memory:,} bytes, but one worker needs {MIN_WORKER_BYTES:,} or more")
    room = available_bytes() if memory is None else memory
    fitting = max(1, room // WORKER_BYTES)
    if workers is None:
        return min(usable_cpus(), fitting) if room else usable_cpus()
    return workers if memory is None else min(workers, fitting)


class LocalEngine:
    """Runs batches of tasks in `workers` processes that may hold `memory` bytes in all (0: as much as is free)."""

    def __init__(
        self,
        workers: int,
        *,
        memory: int = 0,
        retries: int = DEFAULT_RETRIES,
        in_process: bool = False,
        straggler_s: float = STRAGGLER_S,
    ) -> None:
        self.workers = workers
        # Where hardly anything is free, the work is tried all the same; 0: it is not known, and nothing is watched.
        room = available_bytes()
        self._budget = memory or (max(MIN_WORKER_BYTES, int(BUDGET_SHARE * room)) if room else 0)
        self._retries = retries
        self._in_process = in_process
        self._straggler_s = straggler_s
        self._pool: list[Worker] = []
        self._large: set[Job] = set()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._pool:
            worker.close()
        for worker in self._pool:
            worker.stop()
        self._pool = []

    @property
    def description(self) -> str:
        """How many workers."""
        if self._in_process:
            return "this process"
        return f"{self.workers} {'worker' if self.workers == 1 else 'workers'}"

    def busy_keys(self) -> frozenset[str]:
        """None: workers end with their driver."""
        return frozenset()

    def run(self, jobs: Sequence[Job], journal: Journal) -> None:
        """Runs all jobs.  Raises TasksFailedError with what failed and why."""
        batch = Batch(jobs, journal, self._retries, self._straggler_s)
        if self._in_process:
            _run_here(batch)
        else:
            self._run_in_pool(batch)
        batch.finish()

    def _run_in_pool(self, batch: Batch) -> None:
        running: dict[Connection, tuple[Worker, Job]] = {}
        lone: Job | None = None
        while batch.left:
            while lone is None and len(running) < self.workers:
                job = batch.waiting.popleft() if batch.waiting else None
                if job is None and batch.alone and not running:
                    job = lone = batch.alone.popleft()
                if job is None:
                    job = batch.straggler()
                if job is None:
                    break
                worker = self._idle_worker(running)
                worker.send(job)
                running[worker.connection] = (worker, job)
                batch.started(job, worker.name)
            for connection in wait(list(running), timeout=WATCH_S):
                assert isinstance(connection, Connection)
                worker, job = running.pop(connection)
                failure: Failure | None
                try:
                    failure = worker.receive()
                except (EOFError, OSError):  # it died: killed by the kernel for its memory, or a crash in native code
                    self._pool.remove(worker)
                    failure = worker.obituary()
                else:
                    self._recycle(worker)
                lone = None if job == lone else lone
                if failure is not None:
                    batch.failed(job, failure)
                elif batch.done(job):
                    self._end_copies(job, running)
            lone = self._watch_memory(batch, running, lone)
        for worker, _ in list(running.values()):  # copies that no longer count
            self._drop(worker, running)

    def _idle_worker(self, running: dict[Connection, tuple[Worker, Job]]) -> Worker:
        for worker in self._pool:
            if worker.connection not in running:
                return worker
        self._pool.append(Worker())
        return self._pool[-1]

    def _end_copies(self, job: Job, running: dict[Connection, tuple[Worker, Job]]) -> None:
        """Ends the workers that still run a task which another copy has completed."""
        for worker, other in list(running.values()):
            if other == job:
                self._drop(worker, running)

    def _drop(self, worker: Worker, running: dict[Connection, tuple[Worker, Job]]) -> None:
        running.pop(worker.connection, None)
        self._pool.remove(worker)
        worker.kill()

    def _recycle(self, worker: Worker) -> None:
        """Ends a worker that keeps much of its share between tasks: a fresh one takes its place when it is needed."""
        if self._budget and worker.resident_bytes > RECYCLE_SHARE * self._budget / self.workers:
            self._pool.remove(worker)
            worker.stop()

    def _watch_memory(
        self, batch: Batch, running: dict[Connection, tuple[Worker, Job]], lone: Job | None
    ) -> Job | None:
        """Ends the largest worker where all together hold more than the budget; returns the task that runs alone."""
        sizes = [(worker.resident_bytes, number) for number, (worker, _) in enumerate(running.values())]
        total = sum(size for size, _ in sizes)
        if not self._budget or not sizes:
            return lone
        size, number = max(sizes)
        worker, job = list(running.values())[number]
        share = self._budget // self.workers
        if size > share and job not in self._large:
            self._large.add(job)
            log.info("%s: holds %d MB, its share is %d MB", job_label(*job), size >> 20, share >> 20)
        if total <= self._budget:
            return lone
        self._drop(worker, running)
        if len(sizes) == 1:
            message = (
                f"alone, it needs more than the {self._budget >> 20:,} MB of memory that the build may take: raise "
                "--memory, or make 'shard_bytes' smaller or 'partitions' more in the recipe"
            )
            batch.failed(job, Failure(message=message))
            return None
        message = f"it held {size >> 20:,} MB when all workers together went over {self._budget >> 20:,} MB"
        batch.failed(job, Failure(message=message, needs_memory=True))
        return lone


def _run_here(batch: Batch) -> None:
    while batch.waiting or batch.alone:
        job = batch.waiting.popleft() if batch.waiting else batch.alone.popleft()
        batch.started(job, "here")
        failure = _try_here(*job)
        if failure is None:
            batch.done(job)
        else:
            batch.failed(job, failure)


def _try_here(directory: StepDirectory, number: int) -> Failure | None:
    try:
        check_version(directory)
        directory.run_task(number)
    except Exception as error:
        return failure_of(error)
    return None
