"""The local engine: what it runs, what it says of failures, and that nothing of it outlives its driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from build_runs import wait_until
from slurm_cluster import is_alive

from llemma.core.errors import InputError, WorkError
from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import TasksFailedError
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.local import LocalEngine, plan_workers, usable_cpus

MakeJobs = Callable[..., list[Job]]
Tries = Callable[[Job], int]


def pool(workers: int = 2, **settings) -> LocalEngine:  # type: ignore[no-untyped-def]
    return LocalEngine(workers, in_process=workers == 1, **settings)


def test_engine_with_two_workers_runs_all_tasks_in_other_processes_that_stay(make_jobs: MakeJobs) -> None:
    jobs = make_jobs(*["work"] * 12)
    with pool() as engine:
        engine.run(jobs[:6], Journal())
        engine.run(jobs[6:], Journal())
    pids = {record.counts["pid"] for record in jobs[0][0].records()}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids


def test_engine_in_process_runs_here(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("work")
    with pool(1) as engine:
        engine.run(jobs, Journal())
    assert jobs[0][0].record(0).counts["pid"] == os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_task_that_fails_does_not_stop_the_others(make_jobs: MakeJobs, tries: Tries, workers: int) -> None:
    jobs = make_jobs("complain", "work", "break", "work", "work")
    with pool(workers) as engine, pytest.raises(WorkError) as caught:
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == [0, 2]
    message = str(caught.value)
    assert message.startswith("2 tasks failed; what was finished is kept\n")
    assert "act, complain 0: this input is wrong" in message
    assert "act, break 2: KeyError: 'a fault of ours' (in engine_functions.py:" in message
    assert f"python -m proof_pile.build task {jobs[0][0].path} 2" in message
    assert caught.value.exit_code == 2
    assert [tries(job) for job in jobs] == [1] * 5  # the same would come out again


@pytest.mark.parametrize("how", ["fill", "fill quietly"])
@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_stops_the_batch_with_one_message(make_jobs: MakeJobs, workers: int, how: str) -> None:
    jobs = make_jobs(how, *["wait"] * 50, seconds=0.2)
    with pool(workers) as engine, pytest.raises(WorkError) as caught:
        engine.run(jobs, Journal())
    assert str(caught.value).startswith(f"act, {how} 0: the disk is full")
    assert "partial" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert len(jobs[0][0].missing()) > 10  # the other worker may have begun long before the one whose disk is full
    assert not list(jobs[0][0].path.glob(".partial-*"))


def test_task_whose_worker_is_killed_once_is_tried_again(make_jobs: MakeJobs, tries: Tries) -> None:
    jobs = make_jobs("die once", *["work"] * 8)
    with pool() as engine:
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == []
    assert tries(jobs[0]) == 2


def test_task_that_kills_its_worker_each_time_is_named_when_all_others_are_done(
    make_jobs: MakeJobs, tries: Tries
) -> None:
    jobs = make_jobs("die", *["work"] * 8)
    with pool(retries=1) as engine, pytest.raises(TasksFailedError) as caught:
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == [0]
    assert tries(jobs[0]) == 2
    assert "act, die 0: its worker was killed by signal 9 (SIGKILL)" in str(caught.value)
    assert "(tried 2 times)" in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_task_that_a_network_failed_is_tried_again(make_jobs: MakeJobs, tries: Tries, workers: int) -> None:
    jobs = make_jobs("hang up once", "work")
    with pool(workers) as engine:
        engine.run(jobs, Journal())
    assert [tries(job) for job in jobs] == [2, 1]


def test_task_that_hangs_is_begun_a_second_time_when_nothing_else_waits(make_jobs: MakeJobs, tries: Tries) -> None:
    jobs = make_jobs("hang once", *["work"] * 4)
    with pool(straggler_s=0.5) as engine:
        engine.run(jobs, Journal())
        assert tries(jobs[0]) == 2
        engine.run(make_jobs(*["work"] * 6), Journal())  # the worker that hung is not given more
    assert jobs[0][0].missing() == []


def test_workers_together_over_the_budget_run_the_largest_task_again_alone(make_jobs: MakeJobs, tries: Tries) -> None:
    jobs = make_jobs("grow", "grow", "work", mb=400)
    with pool(memory=700 << 20) as engine:
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == []
    assert sorted(tries(job) for job in jobs) == [1, 1, 2]
    assert max(record.peak_bytes for record in jobs[0][0].records()) > 400 << 20


def test_task_that_alone_needs_more_than_the_budget_is_named(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("grow", "work", mb=700)
    with pool(memory=500 << 20) as engine, pytest.raises(TasksFailedError, match=r"act, grow 0: .*raise --memory"):
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == [0]


def test_worker_that_keeps_much_memory_between_tasks_is_replaced(make_jobs: MakeJobs) -> None:
    jobs = make_jobs("keep", "work", mb=200)
    with pool(memory=600 << 20) as engine:  # a share of 300 MB, of which 150 may be kept
        for job in jobs:
            engine.run([job], Journal())
    first, second = (record.counts["pid"] for record in jobs[0][0].records())
    assert first != second


def test_workers_are_as_many_as_a_budget_has_room_for() -> None:
    assert plan_workers(8, 3 << 30) == 3
    assert plan_workers(2, 100 << 30) == 2
    assert plan_workers(5, None) == 5
    assert 1 <= plan_workers(None, None) <= usable_cpus()
    with pytest.raises(InputError, match="--memory"):
        plan_workers(2, 1 << 20)


def test_workers_end_with_their_driver_even_after_kill_9(make_jobs: MakeJobs, tmp_path: Path) -> None:
    """Workers of concurrent.futures live on for ever: each holds the pipe that it waits on open itself."""
    jobs = make_jobs("hang", "hang")
    script = (
        "from llemma.core.steps import StepDirectory\n"
        "from proof_pile.build.engines.local import LocalEngine\n"
        "from proof_pile.build.engines.journal import Journal\n"
        f"directory = StepDirectory.open({str(jobs[0][0].path)!r})\n"
        "with LocalEngine(2) as engine: engine.run([(directory, 0), (directory, 1)], Journal())\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script])
    marks = tmp_path / "marks"
    wait_until(lambda: len([mark for mark in marks.iterdir() if mark.read_text()]) == 2)
    workers = [int(mark.read_text()) for mark in marks.iterdir()]
    driver.kill()
    driver.wait()
    wait_until(lambda: not any(is_alive(worker) for worker in workers))
