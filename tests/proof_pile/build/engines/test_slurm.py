"""The Slurm engine on a real cluster of two nodes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from build_runs import wait_until
from slurm_cluster import SlurmCluster

from llemma.core.errors import InputError
from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import TasksFailedError
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.slurm import SlurmEngine
from proof_pile.build.engines.slurm_commands import element_states
from proof_pile.build.engines.slurm_jobs import SlurmOptions, job_name

MakeJobs = Callable[..., list[Job]]
Tries = Callable[[Job], int]


@pytest.fixture
def cluster(slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    return slurm_cluster


def engine_for(tmp_path: Path, tasks_per_job: int = 1, **settings) -> SlurmEngine:  # type: ignore[no-untyped-def]
    extra = settings.pop("extra", "")
    options = SlurmOptions(tasks_per_job=tasks_per_job, poll_s=0.1, extra=extra)
    return SlurmEngine(tmp_path, options, visible_s=2, **settings)


def test_slurm_does_all_but_the_tasks_that_fail_and_says_why(
    cluster: SlurmCluster, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs("work", "die", "die once", "work", "complain", "work")
    with engine_for(tmp_path, tasks_per_job=3, retries=1) as engine, pytest.raises(TasksFailedError) as caught:
        engine.run(jobs, Journal())
    message = str(caught.value)
    assert jobs[0][0].missing() == [1, 4]
    assert "act, complain 4: this input is wrong" in message
    assert "act, die 1: its Slurm job " in message
    assert "(tried 2 times)" in message
    # Which task of several ended their job cannot be told: that try counts for none, and each is tried again alone.
    assert [tries(job) for job in jobs] == [1, 3, 2, 1, 1, 1]
    assert not (tmp_path / "steps/slurm").exists()


def test_slurm_refuses_wrong_options_in_its_own_words(
    cluster: SlurmCluster, make_jobs: MakeJobs, tmp_path: Path
) -> None:
    with (
        engine_for(tmp_path, extra="--partition=nowhere") as engine,
        pytest.raises(InputError, match=r"Slurm refuses the job: .*invalid partition"),
    ):
        engine.run(make_jobs("work"), Journal())


def test_node_that_dies_costs_only_the_tasks_that_ran_there(
    cluster: SlurmCluster, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs(*["wait"] * 6, seconds=1.5)
    killed = []

    class Watch(Journal):
        def started(self, job: Job, where: str) -> None:
            if not killed:
                wait_until(lambda: tries(job) == 1)
                killed.append(where)
                cluster.kill_node(where)

    try:
        with engine_for(tmp_path) as engine:
            engine.run(jobs, Watch())
    finally:
        for node in killed:
            cluster.start_node(node)
        wait_until(lambda: set(cluster.node_states().values()) == {"idle"})
    assert killed
    assert jobs[0][0].missing() == []
    assert max(tries(job) for job in jobs) == 2


DRIVER = """
import sys
from pathlib import Path
from llemma.core.steps import StepDirectory
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.slurm import SlurmEngine
from proof_pile.build.engines.slurm_jobs import SlurmOptions
directory = StepDirectory.open(sys.argv[2])
def stop(*_):
    raise KeyboardInterrupt
import signal
signal.signal(signal.SIGTERM, stop)
with SlurmEngine(Path(sys.argv[1]), SlurmOptions(tasks_per_job=1, poll_s=0.1), visible_s=2) as engine:
    engine.run([(directory, number) for number in range(len(directory.tasks))], Journal())
"""


def start_driver(tmp_path: Path, jobs: list[Job]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(jobs[0][0].path)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def states(tmp_path: Path) -> list[str]:
    return sorted(state.state for state in element_states(job_name(tmp_path)).values() if state.is_alive)


def test_driver_that_is_killed_leaves_jobs_that_the_next_one_adopts(
    cluster: SlurmCluster, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs(*["wait"] * 7, seconds=4)  # four processors: three tasks wait in Slurm's queue
    driver = start_driver(tmp_path, jobs)
    wait_until(lambda: sum(tries(job) for job in jobs) == 4)
    driver.kill()
    driver.wait()
    with engine_for(tmp_path) as engine:
        keys = engine.busy_keys()
        assert keys == {jobs[n][0].tasks[n].key for n in range(7) if tries(jobs[n])}
        engine.run(jobs, Journal())
    assert jobs[0][0].missing() == []
    assert [tries(job) for job in jobs] == [1] * 7
    assert states(tmp_path) == []


def test_driver_that_is_told_to_stop_cancels_its_jobs(
    cluster: SlurmCluster, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs(*["hang"] * 6)
    driver = start_driver(tmp_path, jobs)
    wait_until(lambda: sum(tries(job) for job in jobs) == 4)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(timeout=60) != 0
    assert states(tmp_path) == []
    assert not (tmp_path / "steps/slurm").exists()


def test_task_that_hangs_is_begun_a_second_time_on_slurm(
    cluster: SlurmCluster, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs("hang once", "work")
    with engine_for(tmp_path, straggler_s=1) as engine:
        engine.run(jobs, Journal())
    assert [tries(job) for job in jobs] == [2, 1]
    assert states(tmp_path) == []
