"""Several processes that train together: the numbers of one process, in every layout, and out of every fault."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llemma.guard.ledger import read_lines

from .conftest import MakeRun
from .test_numbers import metric_lines
from .test_resume import WORDS, steps, train, weights

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are started as on Linux")
TOLERANCE = 1e-5


def train_together(run: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`llemma train` with its processes, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "llemma", "train", str(run), *WORDS, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_two_processes_in_every_layout_give_the_numbers_and_files_of_one(make_run: MakeRun) -> None:
    """Data parallel from the beginning, tensor parallel from its checkpoint of step 4, and one process from step 8.

    All gradients are clipped: a norm that counted twice what both tensor-parallel processes hold would be seen.
    """
    alone, run = (make_run(name, gradient_clipping=0.01) for name in ("alone", "run"))
    assert train(alone, "--sample-every", "4") == 0
    unbroken = b""
    for begin, words in (
        (0, ("--processes", "2")),
        (8, ("--processes", "2")),
        (4, ("--processes", "2", "--tensor-parallel", "2")),
        (8, ()),
    ):
        if begin:
            (run / "train/01-math/checkpoints/latest").write_text(f"step_{begin:08d}\n")
        done = train_together(run, *words, "--sample-every", "4")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("finished at iteration 12") == 1
        is_other_layout = (begin, words[1:]) not in ((0, ("2",)), (8, ("2",)))
        assert ("processes (data x tensor parallel) was [" in done.stderr) == is_other_layout
        assert_same_numbers_and_files(run, alone)
        if not is_other_layout:  # the same layout goes on with the same bytes
            assert weights(run) == (unbroken or weights(run))
            unbroken = weights(run)
    ledger = read_lines(run / "train/01-math/ledger.jsonl")
    assert [line["processes"] for line in ledger if line["event"] == "start"] == [2, 2, 2, 1]


def assert_same_numbers_and_files(run: Path, alone: Path) -> None:
    for kind, keys in (("train", ("loss", "grad_norm")), ("validation", ("loss",))):
        lines, wanted = metric_lines(run, kind), metric_lines(alone, kind)
        for key in keys:
            assert [line[key] for line in lines] == pytest.approx([line[key] for line in wanted], rel=TOLERANCE)
    by_source = [line["by_source"] for line in metric_lines(run, "validation")]
    assert by_source == [pytest.approx(line["by_source"], rel=TOLERANCE) for line in metric_lines(alone, "validation")]
    assert steps(run) == steps(alone)
    written = [(item / "train/01-math/samples.jsonl").read_text() for item in (run, alone)]
    assert written[0] == written[1] and written[0].count("\n") == 4 * 6
    for name in ("model", "optimizer"):
        mine, wanted = (
            load_file(item / f"train/01-math/checkpoints/step_00000012/{name}.safetensors") for item in (run, alone)
        )
        assert mine.keys() == wanted.keys()
        for key in wanted.keys() - {"rng.cpu"}:
            assert np.abs(mine[key] - wanted[key]).max() < 1e-4, key


@contextlib.contextmanager
def started(run: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Two processes in the middle of training: the command, and the numbers of its processes in their order."""
    metrics = run / "train/01-math/metrics.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "llemma", "train", str(run), *WORDS, "--processes", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            seen = metrics.stat().st_size if metrics.exists() else 0
            end = time.monotonic() + 90
            while not metrics.exists() or metrics.stat().st_size <= seen:
                seen = min(seen, metrics.stat().st_size) if metrics.exists() else 0  # cut at the resume
                assert command.poll() is None and time.monotonic() < end, command.communicate()
                time.sleep(0.05)
            children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
            yield command, [int(child) for child in children]
        finally:
            command.kill()


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_ended(processes: list[int]) -> bool:
    end = time.monotonic() + 20
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_running, processes))


def test_a_process_that_is_lost_hangs_or_is_told_to_stop_ends_the_others_with_a_report(make_run: MakeRun) -> None:
    run = make_run(train_iters=5000, lr_decay_iters=5000, checkpoint_factor=50, eval_interval=2500)
    with started(run) as (command, processes):
        os.kill(processes[1], signal.SIGKILL)
        _, said = command.communicate(timeout=60)
        assert command.returncode == 1 and "Traceback" not in said
        assert "of 2 processes, number 1 (the first is 0) ended by signal SIGKILL, and the others with it" in said
        assert f"stands in {run}/train/processes" in said and "goes on from the newest one" in said
        assert all_ended(processes)
    with started(run, "--hang-timeout", "15") as (command, processes):
        os.kill(processes[1], signal.SIGSTOP)
        _, said = command.communicate(timeout=60)
        assert command.returncode == 1
        assert "of 2 processes, number 1 (the first is 0) hung and had to be ended by force" in said
        assert "Timeout (0:00:15)!" in (run / "train/processes/process-0.log").read_text()
        assert all_ended(processes)
    with started(run) as (command, processes):
        command.kill()
        assert all_ended(processes)
    with started(run) as (command, processes):
        command.send_signal(signal.SIGTERM)
        told, said = command.communicate(timeout=60)
        assert command.returncode == 0, said
        found = re.search(r"stopped on request after iteration (\d+)", told)
        assert found and f"go on with  llemma train {run}" in told
        assert steps(run)[-1] == f"step_{int(found[1]):08d}"
        assert all_ended(processes)
    assert not list(run.rglob(".partial-*"))


def test_number_of_processes_that_cannot_share_a_step_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    assert train(run, "--processes", "3") == 2
    said = capsys.readouterr().err
    assert "01-math: a step has 2 micro-batches of 4 samples, which 3 data-parallel processes cannot share" in said
    assert "possible are 1, 2" in said
    assert train(run, "--processes", "3", "--tensor-parallel", "2") == 2
    assert "--tensor-parallel is 2, but must divide the number of processes, 3" in capsys.readouterr().err
