"""The tasks of one batch: which wait, which run, which are tried again, and which have failed for good.

The rules, the same for all engines:
- a task whose worker or machine vanished, or that failed for a reason that may pass, is tried again up to `retries`
  times, after all that wait; one that needs more memory than its share is tried again alone;
- a task that failed for a reason of its own stops no other, a full disk stops all;
- while nothing waits, a task that runs far longer than any that has ended is begun a second time elsewhere, and
  whichever copy ends first counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from llemma.core.logging import get_logger
from llemma.core.steps import StepDirectory
from proof_pile.build.engines.failures import FailedTask, Failure, TasksFailedError, job_label
from proof_pile.build.engines.journal import Journal

log = get_logger(__name__)
Job = tuple[StepDirectory, int]
DEFAULT_RETRIES = 2
STRAGGLER_S = 60.0  # chosen by us: below this a copy costs more than it saves
STRAGGLER_FACTOR = 3.0  # times the longest task that has ended


class Batch:
    """Keeps count of a batch of tasks while an engine runs it."""

    def __init__(
        self,
        jobs: Sequence[Job],
        journal: Journal,
        retries: int = DEFAULT_RETRIES,
        straggler_s: float = STRAGGLER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting = deque(jobs)
        self.alone: deque[Job] = deque()
        self.left = set(jobs)  # neither done nor failed for good
        self._order = {job: number for number, job in enumerate(jobs)}
        self._tries: dict[Job, int] = {}
        self._begun: dict[Job, list[float]] = {}
        self._failed: dict[Job, FailedTask] = {}
        self._longest: dict[StepDirectory, float] = {}
        self._journal = journal
        self._retries = retries
        self._straggler_s = straggler_s
        self._clock = clock

    def started(self, job: Job, where: str) -> None:
        """Takes note that a task (or a second copy of it) has begun."""
        self._begun.setdefault(job, []).append(self._clock())
        self._journal.started(job, where)

    def done(self, job: Job) -> bool:
        """Takes note that a task is complete; False where another copy of it was first."""
        if job not in self.left:
            return False
        self.left.remove(job)
        now = self._clock()
        begun = self._begun.pop(job, [now])  # over before it was seen to run
        self._longest[job[0]] = max(self._longest.get(job[0], 0.0), now - begun[0])
        self._journal.finished(job)
        return True

    def failed(self, job: Job, failure: Failure) -> None:
        """Takes note that a task, or one copy of it, has failed; it waits again or has failed for good."""
        if job not in self.left:
            return
        copies = self._begun.get(job, [])
        if copies:
            copies.pop()
        if copies and failure.may_pass:
            return  # the other copy goes on
        self._begun.pop(job, None)
        tries = self._tries[job] = self._tries.get(job, 0) + 1
        if (failure.may_pass or failure.needs_memory) and tries <= self._retries and not self.is_stopped:
            (self.alone if failure.needs_memory else self.waiting).append(job)
            log.info("%s: %s; it is tried again", job_label(*job), failure.message)
            self._journal.retried(job, failure)
            return
        self.left.remove(job)
        self._failed[job] = FailedTask(directory=job[0], number=job[1], failure=failure, tries=tries)
        self._journal.failed(job, failure)
        if failure.is_fatal:
            self.left -= {*self.waiting, *self.alone}
            self.waiting.clear()
            self.alone.clear()

    def withdrawn(self, job: Job) -> None:
        """Takes note that a copy was ended by ourselves, through no fault of its own: the task waits again."""
        copies = self._begun.get(job, [])
        if copies:
            copies.pop()
        if job in self.left and not copies and not self.is_stopped:
            self._begun.pop(job, None)
            self.waiting.append(job)
            self._journal.withdrawn(job)

    @property
    def is_stopped(self) -> bool:
        """True if no further task is begun, because one failed in a way that others would too."""
        return any(task.failure.is_fatal for task in self._failed.values())

    def straggler(self) -> Job | None:
        """A task that is worth running a second time now: one that takes far longer than others of its step."""
        if self.waiting or self.alone:
            return None
        now = self._clock()
        late = [
            (begun[0], self._order[job], job)
            for job, begun in self._begun.items()
            if len(begun) == 1 and job[0] in self._longest and now - begun[0] >= self._limit(job)
        ]
        if not late:
            return None
        job = min(late)[2]
        log.info("%s: runs for longer than %.0f s, a second copy of it is begun", job_label(*job), self._limit(job))
        return job

    def _limit(self, job: Job) -> float:
        return max(self._straggler_s, STRAGGLER_FACTOR * self._longest[job[0]])

    def finish(self) -> None:
        """Raises TasksFailedError if tasks have failed for good."""
        if self._failed:
            raise TasksFailedError([self._failed[job] for job in sorted(self._failed, key=self._order.__getitem__)])
