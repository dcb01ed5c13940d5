"""The local engine: what it runs, what it says of failures, and that nothing of it outlives its driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llemma.core.errors import WorkError
from llemma.core.steps import Step, StepDirectory, Task
from proof_pile.build.engine import Job, LocalEngine

HERE = Path(__file__).parent


def make_jobs(root: Path, *hows: str) -> list[Job]:
    tasks = [
        Task(inputs=(), label=f"{how} {number}", args={"how": how, "n": number}) for number, how in enumerate(hows)
    ]
    params = {"marker": str(root / "marker")}
    step = Step(name="act", version=1, function="engine_functions:act", params=params)
    directory = StepDirectory.create(root, step, tasks)
    return [(directory, number) for number in range(len(tasks))]


@pytest.fixture(autouse=True)
def _functions_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")])))


def test_engine_with_two_workers_runs_all_tasks_in_other_processes_that_stay(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, *["work"] * 12)
    done: list[int] = []
    with LocalEngine(2) as engine:
        engine.run(jobs[:6], lambda job: done.append(job[1]))
        engine.run(jobs[6:], lambda job: done.append(job[1]))
    assert sorted(done) == list(range(12))
    pids = {record.counts["pid"] for record in jobs[0][0].records()}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids


def test_engine_with_one_worker_runs_here(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, "work")
    with LocalEngine(1) as engine:
        engine.run(jobs, lambda job: None)
    assert jobs[0][0].record(0).counts["pid"] == os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_task_that_fails_does_not_stop_the_others(tmp_path: Path, workers: int) -> None:
    jobs = make_jobs(tmp_path, "complain", "work", "break", "work", "work")
    with LocalEngine(workers) as engine, pytest.raises(WorkError) as caught:
        engine.run(jobs, lambda job: None)
    assert jobs[0][0].missing() == [0, 2]
    message = str(caught.value)
    assert message.startswith("2 tasks failed; what was finished is kept\n")
    assert "act, complain 0: this input is wrong" in message
    assert "act, break 2: KeyError: 'a fault of ours' (in engine_functions.py:" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("how", ["fill", "fill quietly"])
@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_stops_the_batch_with_one_message(tmp_path: Path, workers: int, how: str) -> None:
    jobs = make_jobs(tmp_path, how, *["work"] * 50)
    with LocalEngine(workers) as engine, pytest.raises(WorkError) as caught:
        engine.run(jobs, lambda job: None)
    assert str(caught.value).startswith(f"act, {how} 0: the disk is full")
    assert "partial" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert len(jobs[0][0].missing()) > 40
    assert not list(jobs[0][0].path.glob(".partial-*"))


def test_worker_that_is_killed_is_named_and_replaced(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, "die", *["work"] * 8)
    with LocalEngine(2) as engine:
        with pytest.raises(WorkError, match=r"act, die 0: its worker was killed by signal 9 \(SIGKILL\)"):
            engine.run(jobs, lambda job: None)
        assert jobs[0][0].missing() == [0]
        engine.run(jobs[:1], lambda job: None)
    assert jobs[0][0].missing() == []


def test_workers_end_with_their_driver_even_after_kill_9(tmp_path: Path) -> None:
    """Workers of concurrent.futures live on for ever: each holds the pipe that it waits on open itself."""
    make_jobs(tmp_path, "hang", "hang")
    script = (
        "import sys; from pathlib import Path; from llemma.core.steps import StepDirectory\n"
        "from proof_pile.build.engine import LocalEngine\n"
        f"directory = StepDirectory.open(next(Path({str(tmp_path)!r}).glob('act-*')))\n"
        "with LocalEngine(2) as engine: engine.run([(directory, 0), (directory, 1)], print)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    driver = subprocess.Popen([sys.executable, "-c", script], env=environment)
    marker = tmp_path / "marker"
    wait_until(lambda: marker.exists() and marker.read_text() != "")
    worker = int(marker.read_text())
    driver.kill()
    driver.wait()
    wait_until(lambda: not is_alive(worker))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition, timeout_s: float = 30) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        signal.sigtimedwait([], 0.02)
