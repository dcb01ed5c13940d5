"""Which tasks of a batch are tried again, and when one is begun a second time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proof_pile.build.engines.batch import Batch, Job
from proof_pile.build.engines.failures import Failure, TasksFailedError
from proof_pile.build.engines.journal import Journal

MakeJobs = Callable[..., list[Job]]
LOST = Failure(message="its node died", may_pass=True)
WRONG = Failure(message="this input is wrong", exit_code=2)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def begin(batch: Batch) -> Job:
    job = batch.waiting.popleft()
    batch.started(job, "somewhere")
    return job


def test_lost_task_waits_again_after_the_others_until_its_tries_are_used_up(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("a", "b")
    batch = Batch(jobs, Journal(), retries=1)
    batch.failed(begin(batch), LOST)
    assert list(batch.waiting) == [jobs[1], jobs[0]]
    assert batch.done(begin(batch))
    batch.failed(begin(batch), LOST)
    assert not batch.left and not batch.waiting
    with pytest.raises(TasksFailedError, match=r"act, a 0: its node died \(tried 2 times\)"):
        batch.finish()


def test_task_that_is_wrong_is_not_tried_again(make_jobs: MakeJobs) -> None:
    batch = Batch(make_jobs("a", "b"), Journal())
    batch.failed(begin(batch), WRONG)
    assert len(batch.waiting) == 1


def test_task_in_need_of_memory_waits_for_a_turn_alone(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("a", "b")
    batch = Batch(jobs, Journal())
    batch.failed(begin(batch), Failure(message="large", needs_memory=True))
    assert list(batch.alone) == [jobs[0]]


def test_full_disk_leaves_only_what_runs(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("a", "b", "c")
    batch = Batch(jobs, Journal())
    first, second = begin(batch), begin(batch)
    batch.failed(first, Failure(message="the disk is full", is_fatal=True))
    assert batch.left == {second} and batch.is_stopped
    batch.failed(second, LOST)
    assert not batch.left and not batch.waiting


def test_straggler_is_begun_again_only_when_nothing_waits_and_others_were_far_quicker(make_jobs: MakeJobs) -> None:
    clock = Clock()
    jobs = make_jobs("slow", "quick", "last")
    batch = Batch(jobs, Journal(), straggler_s=60, clock=clock)
    slow, quick = begin(batch), begin(batch)
    clock.now = 30
    batch.done(quick)
    clock.now = 1000
    assert batch.straggler() is None  # "last" waits
    last = begin(batch)
    clock.now = 1050
    batch.done(last)  # the longest that has ended took 50 s
    assert batch.straggler() == slow
    batch.started(slow, "elsewhere")
    assert batch.straggler() is None  # two copies are enough


def test_straggler_is_left_alone_while_it_is_not_far_too_long(make_jobs: MakeJobs) -> None:
    clock = Clock()
    batch = Batch(make_jobs("a", "b"), Journal(), straggler_s=60, clock=clock)
    _, other = begin(batch), begin(batch)
    clock.now = 100
    batch.done(other)
    clock.now = 299
    assert batch.straggler() is None
    clock.now = 301
    assert batch.straggler() is not None


def test_copy_that_is_lost_counts_for_nothing_while_the_other_goes_on(make_jobs: MakeJobs) -> None:
    batch = Batch(make_jobs("a"), Journal(), retries=0)
    job = begin(batch)
    batch.started(job, "elsewhere")
    batch.failed(job, LOST)
    assert batch.left == {job}
    assert batch.done(job)
    assert not batch.done(job)  # the slower copy came too late
    batch.finish()
