"""The program of a batch script between stand-ins of Slurm's commands: signals at moments that are hard to meet."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from build_runs import wait_until

from llemma.launch.attempts import read_attempts
from llemma.launch.places import Ticket

# Checks the node really; the training takes no notice of the signal and never ends.
HANGS = """\
case "$*" in
*node_check*) exec env SLURM_PROCID=0 "${@:4}" ;;
*) trap '' USR1; echo $$ > training; exec sleep 600 ;;
esac
"""
# A check that lasts until it is let go, and dies of a signal as any program does.
CHECKS_LONG = "touch checking; until [ -e go ]; do sleep 0.05; done\n"
OTHERS = {
    "squeue": "printf '9.batch\\n9.1\\n'",
    "scancel": 'echo "$@" > cancelled; kill -KILL "$(cat training)"',
    "scontrol": 'if [ "$1" = show ]; then echo n1; else echo "$@" > requeued; kill -TERM $PPID; fi',
}


@pytest.fixture
def start_job(make_run: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts the program as job 9 on one node, with an srun that does what it is told here."""
    run, processes = make_run(), []

    def start(srun: str) -> subprocess.Popen[bytes]:
        ticket: dict[str, Any] = {
            "run": str(run), "stage": "01-one", "engine": "neox", "python": sys.executable, "backend": "gloo",
            "neox_dir": str(tmp_path), "nodes": 1, "min_nodes": 1, "processes_per_node": 1, "save_within_s": 1,
        }  # fmt: skip
        Ticket(**ticket).write(tmp_path / "ticket.json")
        (tmp_path / "slurm").mkdir()
        for name, text in {**OTHERS, "srun": srun}.items():
            (tmp_path / "slurm" / name).write_text(f"#!/bin/bash\ncd {shlex.quote(str(tmp_path))}\n{text}\n")
            (tmp_path / "slurm" / name).chmod(0o755)
        variables = {"SLURM_JOB_ID": "9", "SLURM_JOB_NODELIST": "n1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        variables["PATH"] = f"{tmp_path / 'slurm'}:{os.environ['PATH']}"
        variables["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        words = [sys.executable, "-m", "llemma.launch.job", str(tmp_path / "ticket.json")]
        processes.append(subprocess.Popen(words, env={**os.environ, **variables}))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def ends(folder: Path) -> list[tuple[str, str]]:
    return [(line["outcome"], line["message"]) for line in read_attempts(folder / "run") if line["event"] == "end"]


def test_job_signalled_while_its_nodes_are_checked_goes_back_into_the_queue(
    start_job: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """The signal killed the check, the silent node counted as unsound, and the run ended as refused."""
    process = start_job(CHECKS_LONG)
    wait_until((tmp_path / "checking").exists)
    process.send_signal(signal.SIGUSR1)
    (tmp_path / "go").touch()
    assert process.wait(timeout=60) == 75
    assert ends(tmp_path) == [("stopped", "before the training began")]
    assert (tmp_path / "requeued").read_text() == "requeue 9\n"


def test_job_whose_processes_do_not_save_in_time_ends_them_and_goes_back_into_the_queue(
    start_job: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """One process that hung let the job run into its time limit, which no job comes back from."""
    process = start_job(HANGS)
    wait_until((tmp_path / "training").exists)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 75
    assert ends(tmp_path) == [("stopped", "it did not save in time")]
    assert (tmp_path / "cancelled").read_text() == "--quiet --signal=KILL 9.1\n"
    assert (tmp_path / "requeued").read_text() == "requeue 9\n"
