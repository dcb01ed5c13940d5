"""Against a real, unmodified GPT-NeoX (ea7aefd8): NEOX_DIR names a clone, NEOX_PYTHON a Python with its packages.

Trains on the CPU, so torch for the CPU will do; the rest is what NeoX itself imports. The first run compiles NeoX's
index builder and an operator of DeepSpeed's, and takes a minute or two.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from build_runs import run_build, write_corpus

from llemma.cli import main
from llemma.launch.preflight import read_run
from llemma.neox.config import NeoxConfig
from llemma.plan.estimate import count_parameters

NEOX_DIR = os.environ.get("NEOX_DIR")
NEOX_PYTHON = os.environ.get("NEOX_PYTHON", sys.executable)
GOLDEN = Path(__file__).parents[1] / "plan" / "golden"

pytestmark = pytest.mark.skipif(NEOX_DIR is None, reason="NEOX_DIR is not set: no GPT-NeoX checkout to run")

READ = """
import json, os, sys
os.environ["DS_ACCELERATOR"] = "cpu"
sys.path.append(sys.argv[1])
os.chdir(sys.argv[1])
from megatron.neox_arguments import NeoXArgs
args = NeoXArgs.from_ymls([sys.argv[2]])
wanted = sys.argv[3].split(",")
print("VALUES " + json.dumps({name: getattr(args, name) for name in wanted}))
"""


@pytest.mark.parametrize("recipe", ["demo", "llemma_7b", "llemma_34b"])
def test_golden_file_of_a_recipe_loads_in_neox_and_means_the_same_there(recipe: str, tmp_path: Path) -> None:
    # "flash" needs the metadata of flash-attn even to be read (megatron/neox_arguments/arguments.py:1151).
    (tmp_path / "flash_attn-2.6.3.dist-info").mkdir()
    (tmp_path / "flash_attn-2.6.3.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.6.3\n"
    )
    ours = NeoxConfig.from_yaml(GOLDEN / f"{recipe}.yml")
    expected = {
        "lr": ours.lr,
        "train_batch_size": ours.global_batch_size,
        "gradient_accumulation_steps": ours.gradient_accumulation_steps,
        "zero_stage": ours.zero_stage,
        "precision": ours.precision,
        "attention_config": list(ours.attention_kinds),
        "num_kv_heads": ours.num_kv_heads,
        "min_lr": ours.min_lr,
        "warmup": ours.warmup,
        "use_bias_in_mlp": False,
        "rotary_emb_base": ours.rotary_emb_base,
        "clip_grad": 1.0,
        "optimizer_type": "Adam",
        "global_num_gpus": ours.global_num_gpus,
    }
    done = subprocess.run(
        [NEOX_PYTHON, "-c", READ, str(NEOX_DIR), str(GOLDEN / f"{recipe}.yml"), ",".join(expected)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(re.search(r"^VALUES (.+)$", done.stdout, re.M)[1])  # type: ignore[index]
    assert found == expected


def losses(output: str) -> list[float]:
    return [float(text) for text in re.findall(r"iteration +\d+/.*?lm_loss: ([0-9.E+\-naif]+)", output)]


def test_run_trains_in_neox_and_a_second_launch_finds_it_finished(
    make_run: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    words = ["launch", str(run), "--engine", "neox"]
    assert main(words) == 0
    output = capfd.readouterr().out
    found = losses(output)
    assert len(found) == 2
    assert 5 < found[1] < found[0] + 0.5 < 7  # ln 300 = 5.70, before anything is learnt
    total = count_parameters(read_run(run)[0].config).total
    assert f"total params: {total:,}" in output
    assert (run / "train/01-one/checkpoints/latest").read_text() == "global_step2"
    assert main(words) == 0
    assert "iteration 2 is saved, this stage is finished" in capfd.readouterr().out


def test_run_in_bfloat16_with_tensor_parallel_2_and_zero_1_trains_in_neox(
    make_run: Callable[..., Path], training: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = training.replace(
        "precision: fp32",
        "precision: bfloat16\nbf16: {enabled: true}\nfp32_allreduce: true\nzero_optimization: {stage: 1}",
    )
    run = make_run(cluster="cpu_tp2", training=text + "data_types: {grad_accum_dtype: fp32}\n")
    assert main(["launch", str(run), "--engine", "neox"]) == 0
    found = losses(capfd.readouterr().out)
    assert len(found) == 2
    assert all(5 < loss < 7 for loss in found)
    step = run / "train/01-one/checkpoints/global_step2"
    assert len(list(step.glob("mp_rank_*_model_states.pt"))) == 2


def test_run_without_the_stand_in_fails_as_neox_does_on_a_cpu(
    make_run: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["launch", str(make_run()), "--engine", "neox", "--without-repair", "cpu-stand-in"]
    assert main(words) == 1
    assert "Megatron requires CUDA" in capfd.readouterr().err


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that proof_pile.build made of a little corpus."""
    folder = tmp_path_factory.mktemp("built")
    run_build(write_corpus(folder / "corpus"), folder / "data", "--workers", "1")
    return folder / "data"


def measured(part: str, data: Path, folder: Path) -> list[dict[str, Any]]:
    """The rows of a part of benchmarks/neox_agreement.py, which runs plan, convert, launch and train as users do."""
    program = Path(__file__).parents[2] / "benchmarks/neox_agreement.py"
    options = ["--only", part, "--json", str(folder / "rows.json"), "--data", str(data), "--work", str(folder / "work")]
    command = [sys.executable, str(program), "--neox-dir", str(NEOX_DIR), "--neox-python", NEOX_PYTHON, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return list(json.loads((folder / "rows.json").read_text())[part])


def test_neox_and_the_embedded_trainer_agree_from_the_same_weights_on_the_same_batches(
    built: Path, tmp_path: Path
) -> None:
    """Multi-head and grouped-query, both RoPE bases, accumulation, tensor and data parallel, and Llemma's own mode."""
    rows = measured("trainers", built, tmp_path)
    assert len(rows) == 7
    for row in rows:
        is_fp32 = "fp32" in row["case"]
        assert row["difference"] < (1e-4 if is_fp32 else 2e-2), row
        assert row["largest difference, steps 2 to 21"] < (1e-3 if is_fp32 else 2e-2), row
        assert not is_fp32 or row["last loss, NeoX"] < row["first loss, NeoX"] - 0.3, row


def test_run_with_a_killed_rank_and_a_cut_off_checkpoint_ends_as_one_undisturbed(built: Path, tmp_path: Path) -> None:
    for row in measured("faults", built, tmp_path):
        assert math.isfinite(row["last loss"]) and row["last step"] == 21, row
        assert row["largest difference"] == 0, row
        assert row["gone on from"] == row["newest checkpoint, cut off"] - 4, row
        assert row["ledger"].startswith("finished: 21 useful steps") and "1 fall-back, 0 skipped" in row["ledger"], row


def test_checkpoint_cut_for_other_processes_goes_on_with_the_losses_of_an_uncut_run(
    built: Path, tmp_path: Path
) -> None:
    """DeepSpeed alone refuses another data-parallel size, GPT-NeoX another tensor-parallel size."""
    rows = measured("processes", built, tmp_path)
    assert len(rows) == 8
    for row in rows:
        is_fp32 = row["precision"] == "fp32"
        assert row["difference in step 11"] < (1e-5 if is_fp32 else 1e-2), row
        assert row["largest difference, steps 11 to 21"] < (1e-4 if is_fp32 else 2e-2), row
        assert row["steps and parameter groups"] == "the same", row
