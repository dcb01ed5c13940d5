"""A signal kills GPT-NeoX with all since its last checkpoint; with the repair the step is finished and saved."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from neox_runs import log_lines, needs_neox, train

LOOP = """
import os, signal, sys, tempfile, types
import torch
from llemma.neox_engine.repairs.stop_signal import StopRequest, obey
torch.distributed.init_process_group(
    "gloo", store=torch.distributed.FileStore(sys.argv[1], 1), rank=0, world_size=1
)
training = types.SimpleNamespace()
args = types.SimpleNamespace(exit_interval=None)
saved = []
def train_step(neox_args, iteration):
    if iteration == 3:
        os.kill(os.getpid(), signal.SIGUSR1)
def train():
    # GPT-NeoX's loop (megatron/training.py:1493)
    for iteration in range(1, 9):
        training.train_step(neox_args=args, iteration=iteration)
        if training.is_save_iter(args, iteration):
            saved.append(iteration)
        if args.exit_interval and iteration % args.exit_interval == 0:
            sys.exit()
training.train_step, training.is_save_iter, training.train = train_step, lambda args, at: at % 4 == 0, train
if sys.argv[2] == "mended":
    request = StopRequest()
    request.hear()
    obey(training, request)
try:
    training.train()
finally:
    print(saved)
"""


@pytest.mark.parametrize(("name", "code", "saved"), [("upstream", -10, ""), ("mended", 75, "[3]")])
def test_signal_kills_the_loop_and_with_the_repair_it_ends_behind_its_step(
    name: str, code: int, saved: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    words = [sys.executable, "-c", LOOP, str(tmp_path / "store"), name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (code, saved), done.stderr


@needs_neox
def test_signal_to_one_of_two_neox_processes_loses_steps_and_with_the_repair_none(
    make_run: Callable[..., Path], training: str
) -> None:
    text = training.replace("train_iters: 2", "train_iters: 8").replace("decay_iters: 2", "decay_iters: 8")
    text = text.replace("eval_interval: 2", "eval_interval: 100").replace("factor: 2", "factor: 4")
    run = make_run(cluster="cpu_tp2", training=text)
    latest = run / "train/01-one/checkpoints/latest"
    assert train(run, {"usr1": 3}, without=["stop-signal"]).returncode != 0
    assert not latest.exists()
    stopped = train(run, {"usr1": 3})
    assert stopped.returncode != 0 and "exitcode  : 75" in stopped.stderr  # torchrun's own code is 1
    assert latest.read_text() == "global_step3"
    done = train(run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(log_lines(done.stdout)) == set(range(4, 9))
    assert latest.read_text() == "global_step8"
