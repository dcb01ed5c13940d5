"""The guard inside GPT-NeoX: planted NaN, infinite gradients and spikes, with it and without, on 1 and 2 processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from neox_runs import call_inside, drawn_samples, ledger_lines, log_lines, needs_neox, set_stage, train

from llemma.core.files import write_json
from llemma.guard.ladder import LadderPolicy
from llemma.guard.ledger import read_lines, sum_up
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.saved_state import STATE_NAME
from llemma.neox_engine.step_guard import EngineGuard

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


ZERO_1 = "zero_optimization: {stage: 1}\n"
BF16 = "bfloat16\nbf16: {enabled: true}\nfp32_allreduce: true\ndata_types: {grad_accum_dtype: fp32}\n" + ZERO_1
LAYOUTS = {  # processes, tensor parallel, pipeline stages (0: no pipeline), precision
    "one-process-fp32": (1, 1, 0, "fp32"),
    "data-parallel-2-zero-1-fp32": (2, 1, 0, "fp32\n" + ZERO_1),
    "data-parallel-2-zero-1-bf16": (2, 1, 0, BF16),
    "tensor-parallel-2-zero-1-bf16": (2, 2, 0, BF16),
    "pipeline-parallel-2-fp32": (2, 1, 2, "fp32"),
}
POLICY = {"window": 8, "min_values": 4, "loss_deviations": 50, "grad_norm_deviations": 50, "max_skips_in_a_row": 2}


@pytest.fixture(params=LAYOUTS)
def fourteen_steps(
    request: pytest.FixtureRequest, make_run: Callable[..., Path], training: str, tmp_path: Path
) -> Path:
    """A run of 14 steps of four samples each, in two micro-batches or four, saved at 4, 8 and 12."""
    processes, tensor, stages, precision = LAYOUTS[request.param]
    (tmp_path / "cluster.yml").write_text(
        f"title: T\naccelerator: CPU\nnodes: 1\ngpus_per_node: {processes}\nbackend: gloo\nattention: global\n"
        f"tensor_parallel: {tensor}\npipeline_parallel: {stages}\n"
    )
    text = training.replace("train_iters: 2", "train_iters: 14").replace("decay_iters: 2", "decay_iters: 14")
    text = text.replace("eval_interval: 2", "eval_interval: 5").replace("factor: 2", "factor: 4")
    text = text.replace("gpu: 2", "gpu: 1").replace("precision: fp32", f"precision: {precision}")
    if stages:  # GPT-NeoX's last evaluation crashes on a CPU with a pipeline (megatron/training.py:544)
        text = text.replace("eval_iters: 1", "eval_iters: 0")
    return make_run(cluster="cluster.yml", training=text)


@needs_neox
def test_nan_infinite_gradient_spike_and_poisoned_samples_end_at_the_planned_step_with_a_finite_loss(
    fourteen_steps: Path, tmp_path: Path
) -> None:
    """Samples 45 and 50 belong to the steps 12 and 13, and the checkpoint of 12 is saved between the two."""
    run = fourteen_steps
    set_stage(run, guard=POLICY)
    plan = {"nan": [[3, 1]], "infinite_gradient": [[5, 0]], "spike": [[10, 1]], "poisoned": [45, 50]}
    done = train(run, {**plan, "drawn": str(tmp_path / "drawn")})
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line for line in ledger_lines(run) if line["event"] in ("skip", "roll-back", "stop", "finish")]
    assert [(line["event"], line["iteration"]) for line in told] == [
        *(("skip", step) for step in (3, 5, 10, 12, 13)),
        ("roll-back", 13),
        ("skip", 10),
        ("finish", 14),
    ]
    assert told[0]["reason"] == told[3]["reason"] == "the loss is nan"
    assert told[1]["reason"] == "the gradient norm is nan" and "bound" in told[2]["reason"]
    assert (told[5]["to"], told[5]["excluded"]) == (8, [[44, 52]])  # not to 12, whose weights are those of 11
    lines = log_lines(done.stdout)
    assert {step for step, line in lines.items() if line["skipped"]} == {3, 5, 10}
    assert max(lines) == 14 and all(math.isfinite(line.get("lm_loss", 0.0)) for line in lines.values())
    assert (run / "train/01-one/checkpoints/latest").read_text() == "global_step14"
    drawn = drawn_samples(tmp_path / "drawn")
    kept = [number for number in range(64) if not 44 <= number < 52]
    assert {step: drawn[step] for step in range(1, 14)} == {
        step: kept[4 * (step - 1) : 4 * step] for step in range(1, 14)
    }
    assert drawn[14] == [0, 1, 2, 60]  # GPT-NeoX planned 61 samples: with eight left out, the run begins anew
    totals = sum_up(read_lines(run / "train/01-one/ledger.jsonl"))
    assert (totals.useful_steps, totals.repeated_steps, totals.skipped_steps) == (14, 5, 3)
    assert (totals.attempts, totals.rollbacks, totals.excluded_samples, totals.state) == (1, 1, 8, "finished")


@needs_neox
def test_samples_poisoned_without_end_stop_all_processes_with_the_documents_named(fourteen_steps: Path) -> None:
    run = fourteen_steps
    set_stage(run, guard={**POLICY, "max_rollbacks": 1})
    done = train(run, {"poisoned": list(range(16, 100))})
    assert done.returncode != 0
    assert (
        "stopped at iteration 6: the loss is nan; 2 steps in a row were left out after going back once" in done.stderr
    )
    assert "sample 24: " in done.stderr and "only/train.bin, documents " in done.stderr
    told = [line for line in ledger_lines(run) if line["event"] in ("skip", "roll-back", "stop", "finish")]
    assert [(line["event"], line["iteration"], line.get("samples")) for line in told] == [
        ("skip", 5, [[16, 20]]),
        ("skip", 6, [[20, 24]]),
        ("roll-back", 6, None),
        ("skip", 5, [[24, 28]]),
        ("skip", 6, [[28, 32]]),
        ("stop", 6, None),
    ]
    assert (run / "train/01-one/checkpoints/latest").read_text() == "global_step4"
    totals = sum_up(read_lines(run / "train/01-one/ledger.jsonl"))
    assert (totals.useful_steps, totals.repeated_steps, totals.skipped_steps) == (6, 2, 2)
    assert (totals.rollbacks, totals.excluded_samples, totals.state) == (1, 8, "stopped")


def test_samples_of_steps_left_out_before_a_restart_are_excluded_with_those_after_it(tmp_path: Path) -> None:
    """A checkpoint may be saved between two steps that are left out, and the run be killed there."""
    save = tmp_path / "checkpoints"
    context = EngineContext(neox_dir=tmp_path, config_path=tmp_path / "neox.yml", values={"save": str(save)}, stage={})
    before = EngineGuard(context, LadderPolicy())
    before.ladder.judge(math.nan, 1.0)
    before.left_out = [(44, 48)]
    write_json(save / "global_step12" / STATE_NAME, {"schema": 1, "iteration": 12, "guard": before.state()})
    after = EngineGuard(context, LadderPolicy())
    after.begin(SimpleNamespace(iteration=12, load=str(save), save=str(save), train_batch_size=4))
    assert (after.left_out, after.ladder.num_in_a_row) == ([(44, 48)], 1)


@needs_neox
def test_gradient_norm_of_a_later_pipeline_stage_counts_what_its_tensor_ranks_share(
    make_run: Callable[..., Path],
) -> None:
    """DeepSpeed's grid counts model-parallel ranks over the stages, too: there the second stage has no rank 0."""
    body = """
from types import SimpleNamespace
from llemma.neox_engine.gradients import gradient_norm
module = torch.nn.Linear(2, 1)
module.weight.grad, module.bias.grad = torch.tensor([[0.0, 3.0]]), torch.tensor([4.0])
module.weight.model_parallel = True
grid = SimpleNamespace(
    get_slice_parallel_rank=lambda: 0, get_model_parallel_rank=lambda: 1, get_model_parallel_group=lambda: None
)
engine = SimpleNamespace(optimizer=SimpleNamespace(), mpu=grid, module=module, device=torch.device("cpu"))
found["norm"] = gradient_norm(engine)
"""
    assert call_inside(make_run(), body) == {"norm": 5.0}
