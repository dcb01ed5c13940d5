"""Faults that come from outside while a run is trained: it goes on, or stops in words and can be gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import NEOX, MakeRun
from .test_resume import WORDS, metrics, train, weights


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Any) -> None:
    """Has something happen before the gradients of a step are computed."""
    from llemma.train import stage_run

    real, calls = stage_run.compute_gradients, []

    def happening(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            act()
        return real(*args, **options)

    monkeypatch.setattr(stage_run, "compute_gradients", happening)


def test_run_goes_on_when_nobody_reads_what_it_says(make_run: MakeRun) -> None:
    """`llemma train RUN | head -1` ended with exit code 0 in the middle of the run, and nothing was saved."""
    run = make_run()
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "llemma", "train", str(run), *WORDS]
    done = subprocess.run(command, stdout=writing, stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert (run / "export/hf/model.safetensors").exists() and metrics(run)[-1]["iteration"] == 12


def test_log_on_a_full_disk_does_not_end_a_run(make_run: MakeRun) -> None:
    run = make_run(train_iters=2, lr_decay_iters=2)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "llemma", "train", str(run), *WORDS]
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 0
    assert (run / "export/hf/model.safetensors").exists()


def test_run_directory_that_is_moved_while_it_is_trained_ends_the_run_and_goes_on_from_its_new_place(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its metrics went to the new place, its later checkpoints and the model to a new folder at the old one."""
    whole, run = make_run("whole"), make_run("moved")
    assert train(whole) == 0
    target = run.with_name("new place")
    at_step(monkeypatch, 6, lambda: run.rename(target))
    assert train(run) == 1
    said = capsys.readouterr().err
    assert f"{run}: was moved or removed while it was trained" in said and "Traceback" not in said
    assert not run.exists()
    monkeypatch.undo()
    assert train(target) == 0
    assert weights(target) == weights(whole) and metrics(target) == metrics(whole)


def test_one_weight_that_becomes_nan_is_healed_by_the_return_to_a_checkpoint(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that flips in memory: no later step can be good, and skipping alone would never end."""
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from llemma.train import stage_run

    run = make_run(stage={"guard": {"max_skips_in_a_row": 2}})
    real, calls = stage_run.compute_gradients, []

    def breaking(model: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 7:
            with torch.no_grad():
                dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"].view(-1)[70] = float("nan")
        return real(model, *args, **options)

    monkeypatch.setattr(stage_run, "compute_gradients", breaking)
    assert train(run) == 0
    events = [line["message"] for line in metrics(run) if line["kind"] == "event"]
    assert len(events) == 1 and events[0].startswith("back from iteration 8")
    stored = load_file(run / "train/01-math/checkpoints/step_00000012/model.safetensors")
    assert all(np.isfinite(value).all() for value in stored.values())


@pytest.mark.parametrize(("how", "is_poisoned"), [("times zero", True), ("dropped", False)])
def test_step_that_is_left_out_is_dropped_because_nan_times_zero_is_nan(
    base_model: Path, how: str, is_poisoned: bool
) -> None:
    """A rate of 0 and gradients times 0 change nothing, one would think: every weight is NaN after it."""
    import torch

    from llemma.neox.config import NeoxConfig
    from llemma.train.data.batch import BatchRules, make_batch
    from llemma.train.model.weights import load_model
    from llemma.train.optimizer import Optimizer
    from llemma.train.step import compute_gradients

    model = load_model(base_model, torch.device("cpu"))
    optimizer = Optimizer(model, NeoxConfig.from_values(NEOX))
    batch = make_batch(torch.arange(3, 36).unsqueeze(0), BatchRules())
    compute_gradients(model, optimizer, [batch], 1, "fp32")
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad.mul_(float("nan"))
    if how == "dropped":
        optimizer.drop_gradients()
    else:
        optimizer.update(0.0, 0.0)
    assert all(bool(parameter.isnan().all()) == is_poisoned for parameter in model.parameters())
    compute_gradients(model, optimizer, [batch], 1, "fp32")
    optimizer.update(0.01)
    assert any(bool(parameter.isnan().any()) for parameter in model.parameters()) == is_poisoned


@pytest.mark.parametrize("name", ["optimizer.safetensors", "config.json", "trainer.json", "manifest.json"])
def test_checkpoint_of_which_one_file_is_cut_off_is_passed_over(
    make_run: MakeRun, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    assert train(run) == 0
    whole = weights(run)
    path = run / "train/01-math/checkpoints/step_00000012" / name
    path.write_bytes(path.read_bytes()[:-7])
    assert train(run) == 0
    said = capsys.readouterr().err
    assert f"step_00000012/{name}: " in said and "passed over for the one before" in said
    assert weights(run) == whole


@pytest.mark.parametrize("text", ["", "step_99999999\n", "\x00" * 40, "../../../etc\n"])
def test_latest_that_names_nothing_is_passed_over_for_the_newest_checkpoint(make_run: MakeRun, text: str) -> None:
    run = make_run()
    assert train(run) == 0
    whole = weights(run)
    Path(run / "train/01-math/checkpoints/latest").write_text(text)
    (run / "train/01-math/record.json").unlink()
    assert train(run) == 0
    assert weights(run) == whole
