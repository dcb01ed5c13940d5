"""Launches on a real Slurm of two nodes, over gloo, with a stand-in of GPT-NeoX's shape."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from build_runs import wait_until
from slurm_cluster import SlurmCluster, trainers

from llemma.cli import main
from llemma.core.files import read_json
from llemma.guard.checkpoints import NEOX_NAMES, list_checkpoints
from llemma.launch.attempts import read_attempts
from llemma.launch.places import saved_iteration
from llemma.launch.slurm_commands import job_states

STAND_IN = Path(__file__).parent / "stand_in"
REPAIRS_OF_NEOX_ALONE = ("cpu-stand-in", "schedule", "counts", "loader-cache", "empty-loss-mask", "index-maps")
REPAIRS_OF_NEOX_ALONE += ("packing", "data-position", "guard")
ITERATIONS = 16
PATIENCE_S = 240.0  # on a busy machine; a quiet one needs a tenth
LENGTH = 7


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return min(int(found.getsockname()[1]), 64000)


@pytest.fixture
def slurm_run(
    slurm_cluster: SlurmCluster,
    make_run: Callable[..., Path],
    training: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A run of sixteen steps on two nodes of one process, saved after every other step."""
    slurm_cluster.wait_until_idle()
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "packages/deepspeed").mkdir(parents=True)
    (tmp_path / "packages/deepspeed/__init__.py").touch()  # the launcher asks whether it is there
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("STAND_IN_STEP_S", "0.3")
    (tmp_path / "two.yml").write_text(
        "title: two nodes\naccelerator: CPU\nnodes: 2\ngpus_per_node: 1\nbackend: gloo\nattention: global\n"
        f"slurm: {{exclusive: false, time: '0:09:00', signal_before_end_s: 60, master_port: {free_port()}, "
        'setup: ["export MASTER_ADDR=127.0.0.1"]}\n'
    )
    return make_run(cluster="two.yml", training=training.replace("iters: 2\n", f"iters: {ITERATIONS}\n"))


def launch(run: Path, *more: str) -> int:
    words = ["launch", str(run), "--engine", "neox", "--neox-dir", str(STAND_IN), "--python", sys.executable, *more]
    for name in REPAIRS_OF_NEOX_ALONE:
        words += ["--without-repair", name]
    return main(words)


def job_of(run: Path) -> str:
    return str(read_json(run / "launch/jobs.json")["jobs"][0]["job"])


def wait_for_end(job: str, timeout_s: float = PATIENCE_S) -> str:
    def has_ended() -> bool:
        state = job_states([job]).get(job)
        return state is None or not state.is_alive

    wait_until(has_ended, timeout_s)
    return job_states([job])[job].state


def final_weights(run: Path) -> list[float]:
    import torch

    folder = run / f"train/01-one/checkpoints/global_step{ITERATIONS}"
    return [float(value) for value in torch.load(folder / "mp_rank_00_model_states.pt")["module"]]


def expected_weights() -> list[float]:
    """What one process would have computed without any interruption."""
    weights, moment = [0.0] * LENGTH, [0.0] * LENGTH
    for iteration in range(ITERATIONS):
        for sample in range(iteration * 4, iteration * 4 + 4):
            moment = [old + at * (sample % 5) + sample for at, old in enumerate(moment)]
        weights = [old + more for old, more in zip(weights, moment, strict=True)]
    return weights


def outcomes(run: Path) -> list[tuple[str, int]]:
    return [(line["outcome"], line["iteration"]) for line in read_attempts(run) if line["event"] == "end"]


def log_of(run: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in (run / "launch/logs").glob("*.log"))


def test_run_goes_on_by_itself_after_a_killed_rank_a_signal_with_a_node_fewer_and_a_requeue(
    slurm_run: Path, slurm_cluster: SlurmCluster
) -> None:
    """All in one run, because each start costs seconds; the weights are those of an unbroken one to the last bit."""
    assert launch(slurm_run, "--min-nodes", "1") == 0
    job = job_of(slurm_run)

    def wait_for_a_checkpoint() -> None:
        reached = saved_iteration(slurm_run, "01-one")
        wait_until(lambda: saved_iteration(slurm_run, "01-one") >= reached + 2, PATIENCE_S)

    wait_for_a_checkpoint()
    os.kill(trainers(slurm_run)[1], signal.SIGKILL)
    wait_until(lambda: "failed" in dict(outcomes(slurm_run)), PATIENCE_S)
    wait_for_a_checkpoint()
    slurm_cluster.call("scontrol", "update", "NodeName=n2", "State=drain", "Reason=test")
    try:
        subprocess.run(["scancel", "--signal=USR1", "--batch", job], check=True)
        wait_until(lambda: "stopped" in dict(outcomes(slurm_run)), PATIENCE_S)
        wait_for_a_checkpoint()
        subprocess.run(["scontrol", "requeue", job], check=True)
        assert wait_for_end(job) == "COMPLETED", log_of(slurm_run)
    finally:
        slurm_cluster.call("scontrol", "update", "NodeName=n2", "State=resume")
    found = outcomes(slurm_run)
    assert [outcome for outcome, _ in found if outcome != "interrupted"] == ["failed", "stopped", "finished"]
    assert found[-1] == ("finished", ITERATIONS)
    saved = [step for step, _ in list_checkpoints(slurm_run / "train/01-one/checkpoints", NEOX_NAMES)]
    assert dict(found)["stopped"] in saved
    assert log_of(slurm_run).count("all-reduce of 16 MiB over gloo") == 2
    assert "from 2 parts into 1" in log_of(slurm_run)
    assert final_weights(slurm_run) == expected_weights()
