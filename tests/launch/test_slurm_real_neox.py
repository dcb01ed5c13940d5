"""On Slurm with a real GPT-NeoX, ZeRO-1 and bfloat16: stopped on two nodes, gone on on one. NEOX_DIR as elsewhere."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from build_runs import wait_until
from slurm_cluster import SlurmCluster

from llemma.cli import main
from llemma.core.files import read_json
from llemma.launch.attempts import read_attempts
from llemma.launch.places import saved_iteration
from llemma.launch.slurm_commands import job_states

NEOX_DIR = os.environ.get("NEOX_DIR")
NEOX_PYTHON = os.environ.get("NEOX_PYTHON", sys.executable)
PATIENCE_S = 900.0
ITERATIONS = 40

pytestmark = pytest.mark.skipif(NEOX_DIR is None, reason="NEOX_DIR is not set: no GPT-NeoX checkout to run")


def losses(text: str) -> dict[int, float]:
    """The last loss printed for each iteration."""
    return {
        int(number): float(loss) for number, loss in re.findall(r"iteration +(\d+)/.*?lm_loss: ([0-9.E+\-naif]+)", text)
    }


def test_run_stopped_on_two_nodes_goes_on_on_one_with_the_losses_of_an_unbroken_run(
    slurm_cluster: SlurmCluster,
    make_run: Callable[..., Path],
    training: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = min(found.getsockname()[1], 64000)
    (tmp_path / "two.yml").write_text(
        "title: two nodes\naccelerator: CPU\nnodes: 2\ngpus_per_node: 1\nbackend: gloo\nattention: global\n"
        f"slurm: {{exclusive: false, time: '0:10:00', signal_before_end_s: 60, master_port: {port}, "
        'setup: ["export MASTER_ADDR=127.0.0.1"]}\n'
    )
    text = training.replace("iters: 2\n", f"iters: {ITERATIONS}\n").replace("factor: 2", "factor: 4")
    text = text.replace(
        "precision: fp32",
        "precision: bfloat16\nbf16: {enabled: true}\nfp32_allreduce: true\nzero_optimization: {stage: 1}\n"
        "data_types: {grad_accum_dtype: fp32}",
    )
    run = make_run(cluster="two.yml", training=text)
    words = ["launch", str(run), "--engine", "neox", "--min-nodes", "1", "--network-timeout", "400"]
    assert main(words) == 0
    job = str(read_json(run / "launch/jobs.json")["jobs"][0]["job"])
    logs = run / "launch/logs"
    wait_until(lambda: any("lm_loss" in path.read_text() for path in logs.glob("*.log")), PATIENCE_S)
    slurm_cluster.call("scontrol", "update", "NodeName=n2", "State=drain", "Reason=test")
    try:
        subprocess.run(["scancel", "--signal=USR1", "--batch", job], check=True)
        wait_until(lambda: job not in job_states([job]) or not job_states([job])[job].is_alive, PATIENCE_S)
    finally:
        slurm_cluster.call("scontrol", "update", "NodeName=n2", "State=resume")
    printed = "".join(path.read_text(errors="replace") for path in logs.glob("*.log"))
    ends = [line for line in read_attempts(run) if line["event"] == "end"]
    assert [line["outcome"] for line in ends] == ["stopped", "finished"], printed[-3000:]
    assert 0 < ends[0]["iteration"] < ITERATIONS
    assert "from 2 parts into 1" in printed
    assert saved_iteration(run, "01-one") == ITERATIONS
    # The same from a run that nothing interrupts, in one process on this host.
    one = tmp_path / "unbroken"
    one.mkdir()
    config = run / "launch/layouts/01-one-1/neox.yml"
    words = [NEOX_PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    text = config.read_text().replace(str(run / "train/01-one/checkpoints"), str(one / "checkpoints"))
    (one / "neox.yml").write_text(text)
    (one / "stage.json").write_text((config.parent / "stage.json").read_text())
    words += ["-m", "llemma.neox_engine.entry", "--neox-dir", str(NEOX_DIR), "--config", str(one / "neox.yml")]
    ticket = read_json(run / "launch/01-one.json")
    for name in ticket["repairs"]:
        words += ["--repair", name]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment["PATH"] = f"{Path(NEOX_PYTHON).parent}:{os.environ['PATH']}"
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    expected, found_losses = losses(done.stdout), losses(printed)
    assert sorted(found_losses) == sorted(expected) == list(range(1, ITERATIONS + 1))
    assert found_losses == pytest.approx(expected, abs=5e-3)  # bfloat16, summed in another order
