"""A truncated checkpoint is found, the one before is used, and the ledger says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from neox_runs import ledger_lines, log_lines, needs_neox, train

from llemma.core.errors import DamagedFileError
from llemma.guard.ledger import read_lines, sum_up
from llemma.guard.manifest import check_manifest, write_manifest
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.entry import is_usable


@pytest.fixture
def eight_steps(training: str) -> str:
    text = training.replace("train_iters: 2", "train_iters: 8").replace("decay_iters: 2", "decay_iters: 8")
    return text.replace("eval_interval: 2", "eval_interval: 100")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@needs_neox
def test_killed_rank_and_truncated_checkpoint_end_a_run_and_with_the_repair_it_goes_on(
    make_run: Callable[..., Path], eight_steps: str
) -> None:
    run = make_run(training=eight_steps)
    folder = run / "train/01-one/checkpoints"
    assert train(run, {"kill": 7}).returncode != 0
    assert (folder / "latest").read_text() == "global_step6"
    check_manifest(folder / "global_step6")
    truncate(folder / "global_step6/mp_rank_00_model_states.pt")
    assert train(run, without=["checkpoints"]).returncode != 0
    done = train(run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mp_rank_00_model_states.pt" in done.stdout and "going on from iteration 4" in done.stdout
    assert set(log_lines(done.stdout)) == {5, 6, 7, 8}
    assert (folder / "latest").read_text() == "global_step8"
    for step in (2, 4, 6, 8):
        check_manifest(folder / f"global_step{step}")
    (fall_back,) = [line for line in ledger_lines(run) if line["event"] == "fall-back"]
    assert fall_back["iteration"] == 4
    assert "bytes, but" in fall_back["reasons"][0]
    totals = sum_up(read_lines(run / "train/01-one/ledger.jsonl"))
    assert (totals.state, totals.useful_steps, totals.repeated_steps, totals.fall_backs) == ("finished", 8, 2, 1)


@needs_neox
def test_stage_whose_last_checkpoint_is_cut_off_is_not_called_finished(
    make_run: Callable[..., Path], training: str
) -> None:
    run = make_run(training=training.replace("checkpoint_factor: 2", "checkpoint_factor: 1"))
    assert train(run).returncode == 0
    truncate(run / "train/01-one/checkpoints/global_step2/mp_rank_00_model_states.pt")
    done = train(run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(log_lines(done.stdout)) == {2}
    assert "this stage is finished" in train(run).stdout


def test_checkpoint_in_full_length_is_usable_and_a_cut_off_one_is_not(tmp_path: Path) -> None:
    step = tmp_path / "checkpoints/global_step4"
    step.mkdir(parents=True)
    (step / "mp_rank_00_model_states.pt").write_bytes(b"x" * 100)
    values = {"save": str(tmp_path / "checkpoints")}
    plain = EngineContext(neox_dir=tmp_path, config_path=tmp_path / "neox.yml", values=values, stage={})
    proving = EngineContext(
        neox_dir=tmp_path, config_path=tmp_path / "neox.yml", values=values, stage={}, repairs=("checkpoints",)
    )
    assert is_usable(plain, 4) and not is_usable(proving, 4)  # nothing proves it
    write_manifest(step)
    assert is_usable(proving, 4)
    truncate(step / "mp_rank_00_model_states.pt")
    assert is_usable(plain, 4) and not is_usable(proving, 4)
    with pytest.raises(DamagedFileError):
        check_manifest(step)
