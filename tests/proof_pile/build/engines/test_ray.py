"""The Ray engine: on a cluster that it makes itself, and on a real one of two nodes of which one dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from build_runs import wait_until
from slurm_cluster import children_of, is_alive

pytest.importorskip("ray", reason="Ray is not installed")

from llemma.core.errors import InputError
from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import TasksFailedError
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.ray import RayEngine

MakeJobs = Callable[..., list[Job]]
Tries = Callable[[Job], int]
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}


@pytest.fixture
def cluster(_functions_importable: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


def test_ray_made_for_a_build_does_all_but_the_tasks_that_fail_and_ends(make_jobs: MakeJobs, tries: Tries) -> None:
    jobs = make_jobs("work", "die", "die once", "complain", "hang up once", "hang once", "work")
    with RayEngine(2, retries=1, straggler_s=2) as engine, pytest.raises(TasksFailedError) as caught:
        engine.run(jobs, Journal())
    message = str(caught.value)
    assert jobs[0][0].missing() == [1, 3]
    assert "act, complain 3: this input is wrong" in message
    assert "act, die 1: its worker was killed, or crashed in native code (tried 2 times)" in message
    assert [tries(job) for job in jobs] == [1, 2, 2, 1, 2, 2, 1]
    assert os.getpid() not in {jobs[0][0].record(n).counts["pid"] for n in (0, 2, 6)}


def test_ray_node_that_dies_costs_only_the_tasks_that_ran_there(
    cluster: Any, make_jobs: MakeJobs, tries: Tries, tmp_path: Path
) -> None:
    jobs = make_jobs(*["gate"] * 8)
    marks = tmp_path / "marks"
    [other] = [node for node in cluster.list_all_nodes() if not node.head]
    [raylet] = [info.process.pid for info in other.all_processes["raylet"]]
    cut_off: list[str] = []

    def at_work_there() -> dict[int, str]:
        workers = children_of(raylet)
        return {int(mark.read_text()): mark.stem for mark in marks.glob("*.*") if mark.read_text() in map(str, workers)}

    class Watch(Journal):
        num_begun = 0

        def started(self, job: Job, where: str) -> None:
            self.num_begun += 1
            if self.num_begun == 4:  # as many as are handed over at once: two of them wait for a processor
                wait_until(lambda: bool(at_work_there()))
                [(pid, key)] = at_work_there().items()
                cluster.remove_node(other, allow_graceful=False)
                wait_until(lambda: not is_alive(pid))  # it outlives its node by a moment
                cut_off.append(key)
                (marks / "open").touch()

    with RayEngine(1, address=cluster.address) as engine:
        assert engine.description == f"the Ray cluster at {cluster.address}"
        engine.run(jobs, Watch())
    assert jobs[0][0].missing() == []
    [key] = cut_off
    assert [tries(job) for job in jobs] == [2 if job[0].tasks[job[1]].key == key else 1 for job in jobs]


def test_ray_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no Ray cluster could be reached at 127\.0\.0\.1:1: "):
        RayEngine(1, address="127.0.0.1:1").__enter__()


@pytest.mark.parametrize(
    ("package", "text", "complaint"),
    [
        ("proof_pile", "raise ImportError('not here')", "cannot import llemma .*not here"),
        ("llemma", "__version__ = '0.0.0'", "has llemma 0.0.0, this machine has "),
    ],
)
def test_ray_nodes_with_another_llemma_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, text: str, complaint: str
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # Ray has its workers look where the driver is
    with pytest.raises(InputError, match=rf"the Ray node \S+ {complaint}.*install the same"):
        RayEngine(1).__enter__()
