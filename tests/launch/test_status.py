"""`llemma status` and `llemma cancel`: what they say of a run from its files alone, and of jobs that Slurm knows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from build_runs import wait_until

from llemma.cli import main
from llemma.launch.attempts import fruitless_attempts, note_begin, note_end
from llemma.launch.host import launch_holder, only_launch
from llemma.launch.submission import Submission, SubmittedJob

LOG = (
    "[llemma 10:00:00] 01-one: nodes: 2, processes: 2, from iteration 0\n"
    " samples/sec: 4.000 | iteration        1/       2 | elapsed time per iteration (ms): 9.0 | "
    "lm_loss: 5.700000E+00 | number of nan iterations:   0 |\n"
    "a bell\a and a \x1b[31mcolour\n"
)


def submitted(run: Path, job: str = "77") -> None:
    folder = run / "launch/logs"
    folder.mkdir(parents=True)
    (folder / f"01-one-{job}.log").write_text(LOG)
    jobs = (SubmittedJob(stage="01-one", job=job),)
    value = Submission(submitted="2026-01-01T00:00:00+00:00", engine="neox", jobs=jobs)
    (run / "launch/jobs.json").write_text(json.dumps(value.model_dump(mode="json", by_alias=True)))


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A stand-in at the edge: a cluster without accounting, whose squeue prints one line."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def say(line: str) -> None:
        words = f"echo '{line}'" if line else "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
        silent = "echo 'accounting storage is disabled' >&2; exit 1"
        others = {"sbatch": "echo 78", "scancel": "exit 0", "scontrol": "exit 0"}
        for name, text in {"squeue": words, "sacct": silent, **others}.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

    return say


def status(run: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    capsys.readouterr()
    assert main(["status", str(run)]) == code
    return capsys.readouterr().out


def test_status_of_a_run_that_was_never_launched_says_planned(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = status(make_run(), capsys)
    assert "0 of 1 stages finished" in text
    assert "01-one  planned        0/2" in text


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("77|RUNNING|None|n[1-2]|3:10", "running        1/2  5.7000"),
        ("77|PENDING|Priority||0:00", "queued"),
        ("77|PENDING|BeginTime||0:00", "01-one: back in the queue, starts in a moment"),
        ("77|CANCELLED|None|n1|1:00", "cancelled"),
    ],
)
def test_status_of_a_job_is_what_slurm_says_of_it_with_the_log_s_last_step(
    line: str,
    wanted: str,
    make_run: Callable[..., Path],
    squeue: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = make_run()
    submitted(run)
    squeue(line)
    text = status(run, capsys)
    assert wanted in text
    assert "a bell and a colour" in text


def test_status_of_a_job_that_slurm_has_forgotten_tells_how_its_attempt_ended(
    make_run: Callable[..., Path], squeue: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without accounting a job is gone from Slurm's memory some minutes after its end."""
    run = make_run()
    submitted(run)
    note_begin(run, "01-one", "77", 0, nodes=["n1"], iteration=0)
    note_end(run, "01-one", "77", 0, "failed", code=1, message="srun ended with code 137", iteration=0, **{"from": 0})
    squeue("")
    assert re.search(r"failed\s+1/2\s+5\.7000", text := status(run, capsys, code=1))
    assert "01-one: srun ended with code 137" in text


def test_status_where_slurm_is_silent_still_shows_what_the_files_say(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    submitted(run)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "what its jobs do is not known: there is no squeue on this machine" in status(run, capsys, code=1)


def test_fruitless_attempts_are_counted_since_the_last_one_that_came_further(tmp_path: Path) -> None:
    def end(before: int, after: int, outcome: str = "failed", job: str = "5") -> None:
        note_end(tmp_path, "01-one", job, 0, outcome, iteration=after, **{"from": before})  # type: ignore[arg-type]

    for before, after in ((0, 0), (0, 4), (4, 4)):
        end(before, after)
    end(4, 4, "interrupted")
    end(4, 4, job="6")
    assert fruitless_attempts(tmp_path, "01-one", "5") == 1


def test_cancel_where_nothing_runs_says_so(make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", str(make_run())]) == 0
    assert "runs or waits" in capsys.readouterr().out


def test_cancel_of_a_launch_on_this_host_ends_it(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The lock tells who launched it; a second launch is refused as long."""
    run = make_run()
    program = (
        "import sys; from pathlib import Path; from llemma.launch.host import only_launch\n"
        "from llemma.launch.processes import Command, run_command\n"
        f"with only_launch(Path({str(run)!r})): sys.exit(run_command(Command(words=('sleep', '600'))))"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        wait_until(lambda: launch_holder(run) is not None)
        assert main(["launch", str(run)]) == 2
        assert "it is launched already" in capsys.readouterr().err
        wait_until(lambda: any(b"sleep" in (p / "cmdline").read_bytes() for p in children(process.pid)))
        assert main(["cancel", str(run)]) == 0
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert launch_holder(run) is None


def test_launch_on_this_host_of_a_run_whose_jobs_wait_in_slurm_is_refused(
    make_run: Callable[..., Path], squeue: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trainings wrote into the same folder."""
    run = make_run()
    submitted(run)
    squeue("77|PENDING|Priority||0:00")
    assert main(["launch", str(run)]) == 2
    assert "its jobs 77 are in Slurm's queue already" in capsys.readouterr().err


def test_launch_on_slurm_while_another_submits_is_refused(
    make_run: Callable[..., Path], squeue: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two at the same moment neither saw the other's job, and both were submitted."""
    run = make_run()
    squeue("")
    with only_launch(run):
        assert main(["launch", str(run), "--on", "slurm"]) == 2
    assert "it is launched already" in capsys.readouterr().err
    assert not (run / "launch/jobs.json").exists()


def children(pid: int) -> list[Path]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path("/proc", child) for child in found]


def test_status_shows_log_lines_no_wider_than_the_terminal(
    make_run: Callable[..., Path],
    squeue: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = make_run()
    submitted(run)
    squeue("77|RUNNING|None|n1|0:01")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    (run / "launch/logs/01-one-78.log").write_text("x" * 500 + "\n")
    os.utime(run / "launch/logs/01-one-78.log", (time.time() + 5, time.time() + 5))
    assert max(map(len, status(run, capsys).splitlines())) == 100
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert "x" * 500 in status(run, capsys)
