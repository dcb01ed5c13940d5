"""The guard inside GPT-NeoX: a planted NaN and a planted spike, with it and without."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from neox_runs import drawn_samples, ledger_lines, log_lines, needs_neox, set_stage, train

from llemma.guard.ledger import read_lines, sum_up

STEPS = 8


@pytest.fixture
def eight_steps(training: str) -> str:
    text = training.replace("train_iters: 2", f"train_iters: {STEPS}").replace(
        "decay_iters: 2", f"decay_iters: {STEPS}"
    )
    return text.replace("eval_interval: 2", "eval_interval: 100")


@needs_neox
def test_nan_in_fp32_without_the_guard_never_ends(make_run: Callable[..., Path], eight_steps: str) -> None:
    done = train(make_run(training=eight_steps), {"nan": [[3, 1]]}, without=["guard", "counts"])
    assert done.returncode == 0, done.stderr[-3000:]
    lines = log_lines(done.stdout)
    assert all(math.isnan(lines[step]["lm_loss"]) for step in range(3, STEPS + 1))
    assert all((line["skipped"], line["nan"]) == (0, 0) for line in lines.values())


@needs_neox
def test_nan_with_the_guard_is_left_out_and_the_run_ends_at_its_planned_step(
    make_run: Callable[..., Path], eight_steps: str
) -> None:
    run = make_run(training=eight_steps)
    done = train(run, {"nan": [[3, 1]]})
    assert done.returncode == 0, done.stderr[-3000:]
    lines = log_lines(done.stdout)
    assert {step: (line["skipped"], line["nan"]) for step, line in lines.items()} == {
        step: ((1, 1) if step == 3 else (0, 0)) for step in range(1, STEPS + 1)
    }
    assert all(math.isfinite(line["lm_loss"]) for step, line in lines.items() if step != 3)
    assert (run / "train/01-one/checkpoints/latest").read_text() == f"global_step{STEPS}"
    skips = [line for line in ledger_lines(run) if line["event"] == "skip"]
    assert [(line["iteration"], line["reason"], line["samples"]) for line in skips] == [
        (3, "the loss is nan", [[8, 12]])
    ]
    assert sum_up(read_lines(run / "train/01-one/ledger.jsonl")).state == "finished"


@needs_neox
def test_nan_in_bf16_is_skipped_without_a_word_and_with_the_repairs_counted(
    make_run: Callable[..., Path], eight_steps: str
) -> None:
    """bf16, tensor parallel 2, ZeRO-1, fp32 accumulation: Llemma's mode, in which its 7B died."""
    zero = "bfloat16\nbf16: {enabled: true}\nfp32_allreduce: true\nzero_optimization: {stage: 1}"
    text = eight_steps.replace("precision: fp32", f"precision: {zero}") + "data_types: {grad_accum_dtype: fp32}\n"
    run = make_run(cluster="cpu_tp2", training=text)
    without = train(run, {"nan": [[3, 0]]}, without=["guard", "counts", "checkpoints"])
    assert without.returncode == 0, without.stderr[-3000:]
    lines = log_lines(without.stdout)
    assert math.isnan(lines[3]["lm_loss"]) and math.isfinite(lines[4]["lm_loss"])  # DeepSpeed left the step out
    assert (lines[3]["skipped"], lines[3]["nan"]) == (0, 0)
    (run / "train").rename(run / "before")
    done = train(run, {"nan": [[3, 0]]})
    assert done.returncode == 0, done.stderr[-3000:]
    lines = log_lines(done.stdout)
    assert (lines[3]["skipped"], lines[3]["nan"]) == (1, 1) and "lm_loss" not in lines[3]
    assert sum((line["skipped"], line["nan"]) != (0, 0) for line in lines.values()) == 1
    assert math.isfinite(lines[STEPS]["lm_loss"])
    assert [line["iteration"] for line in ledger_lines(run) if line["event"] == "skip"] == [3]


@needs_neox
def test_spike_is_left_out_and_poisoned_samples_lead_back_to_a_checkpoint_and_are_excluded(
    make_run: Callable[..., Path], training: str, tmp_path: Path
) -> None:
    text = training.replace("train_iters: 2", "train_iters: 13").replace("decay_iters: 2", "decay_iters: 13")
    text = text.replace("eval_interval: 2", "eval_interval: 100").replace("factor: 2", "factor: 4")
    run = make_run(training=text)
    set_stage(run, guard={"window": 8, "min_values": 8, "max_skips_in_a_row": 2})
    # Four samples a step: 40 belongs to step 11, 47 to step 12.
    plan = {"spike": [[9, 1]], "poisoned": [40, 47], "drawn": str(tmp_path / "drawn")}
    done = train(run, plan)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line for line in ledger_lines(run) if line["event"] in ("skip", "roll-back", "stop", "finish")]
    events = [(line["event"], line["iteration"]) for line in told]
    assert events == [("skip", 9), ("skip", 11), ("skip", 12), ("roll-back", 12), ("skip", 9), ("finish", 13)]
    assert "bound" in told[0]["reason"] and told[1]["reason"] == "the loss is nan"
    assert (told[3]["to"], told[3]["excluded"]) == (8, [[40, 48]])
    lines = log_lines(done.stdout)
    assert max(lines) == 13 and math.isfinite(lines[13]["lm_loss"])
    drawn = drawn_samples(tmp_path / "drawn")
    assert (drawn[10], drawn[11]) == ([36, 37, 38, 39], [48, 49, 50, 51])
    totals = sum_up(read_lines(run / "train/01-one/ledger.jsonl"))
    assert (totals.useful_steps, totals.repeated_steps, totals.skipped_steps) == (13, 4, 1)
    assert (totals.rollbacks, totals.excluded_samples, totals.state) == (1, 8, "finished")
