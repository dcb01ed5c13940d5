"""A converted checkpoint loaded by GPT-NeoX itself, from the checkout that NEOX_DIR names, against transformers.

NEOX_PYTHON names the Python that has NeoX's requirements (deepspeed, einops, ...); the default is the one running this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Request, plan_conversion

NEOX_DIR = os.environ.get("NEOX_DIR")
NEOX_PYTHON = os.environ.get("NEOX_PYTHON", sys.executable)


def has_deepspeed() -> bool:
    return subprocess.run([NEOX_PYTHON, "-c", "import deepspeed"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def neox_python() -> str:
    if not NEOX_DIR:
        pytest.skip("NEOX_DIR does not name a GPT-NeoX checkout")
    if not has_deepspeed():
        pytest.skip(f"{NEOX_PYTHON} cannot import deepspeed (NEOX_PYTHON names another Python)")
    return NEOX_PYTHON


def load_with_neox(
    python: str, folder: Path, checkpoint: Path, *, steps: int = 0, dp_size: int = 1, **changes: object
) -> subprocess.CompletedProcess[str]:
    """Runs NeoX's own loading and forward on FOLDER/tokens.pt; the logits are written to FOLDER/logits.pt.

    With steps it trains so many instead and writes their losses.
    """
    keys = yaml.safe_load((checkpoint / "neox_model.yml").read_text())
    ranks = keys["model_parallel_size"] * dp_size
    keys |= {
        "seq_length": 64,
        "load": str(checkpoint),
        "finetune": True,
        "global_num_gpus": ranks,
        "train_micro_batch_size_per_gpu": 2,
        "train_iters": 1,
        "checkpoint_factor": 1000,
        "lr_decay_iters": 1,
        "optimizer": {"type": "Adam", "params": {"lr": 0.0001}},
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "attention_config": [[["global"], 2]],
        "scaled_upper_triang_masked_softmax_fusion": False,
        "bias_gelu_fusion": False,
        "distributed_backend": "gloo",
        "num_workers": 0,
        "precision": "fp32",
        **changes,
    }
    (folder / "neox.yml").write_text(yaml.safe_dump(keys))
    program = Path(__file__).with_name("neox_load.py")
    command = [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", str(program)]
    command += [*(str(folder / name) for name in ("neox.yml", "tokens.pt", "logits.pt")), str(steps)]
    environment = {**os.environ, "WANDB_MODE": "off"}
    return subprocess.run(command, cwd=NEOX_DIR, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "tensor_parallel", "tied", "base"),
    [
        (4, 4, 1, False, 1e6),
        (4, 4, 2, False, 1e6),
        (4, 4, 2, True, 1e4),
        (4, 4, 4, False, 1e4),
        (4, 4, 1, True, 1e6),
        (4, 2, 1, False, 1e4),
        (4, 2, 2, False, 1e6),
        (4, 2, 2, True, 1e6),
        (8, 4, 4, False, 1e6),
        (8, 4, 4, True, 1e4),
    ],
)
def test_neox_computes_the_logits_of_the_model_and_what_it_saves_is_the_model_again(
    make_model: Callable[..., Path],
    tmp_path: Path,
    neox_python: str,
    heads: int,
    kv_heads: int,
    tensor_parallel: int,
    tied: bool,
    base: float,
) -> None:
    """97 pieces: with two ranks and four there are rows of padding. The way back begins with files of NeoX's own."""
    source, out = make_model(heads=heads, kv_heads=kv_heads, tied=tied, base=base), tmp_path / "neox"
    convert(plan_conversion(Request(source=source, out=out, tensor_parallel=tensor_parallel)))
    tokens = torch.randint(0, 97, (2, 64), generator=torch.Generator().manual_seed(1))
    torch.save(tokens, tmp_path / "tokens.pt")
    process = load_with_neox(neox_python, tmp_path, out, save=str(tmp_path / "saved"))
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-6000:]
    found = torch.load(tmp_path / "logits.pt")
    wanted = logits_of_transformers(source, tokens)
    assert found.shape[-1] == -(-97 // tensor_parallel) * tensor_parallel
    torch.testing.assert_close(found[..., :97], wanted, rtol=0, atol=1e-5)
    assert torch.equal(found[..., :97].argmax(-1), wanted.argmax(-1))  # all 128 positions
    shutil.copy(out / "neox_model.yml", tmp_path / "saved")
    convert(plan_conversion(Request(source=tmp_path / "saved", out=tmp_path / "back", hf_files=source)))
    assert torch.equal(logits_of_transformers(tmp_path / "back", tokens), wanted)


def logits_of_transformers(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(tokens).logits


@pytest.mark.parametrize(
    ("before", "dp_size", "after", "keys", "tolerance"),
    [
        (2, 1, 1, {"precision": "fp32"}, 2e-5),
        (1, 2, 2, {"precision": "bfloat16", "data_types": {"grad_accum_dtype": "fp32"}}, 0.01),
    ],
)
def test_training_goes_on_in_neox_on_other_ranks_with_its_optimizer_state(
    make_model: Callable[..., Path],
    tmp_path: Path,
    neox_python: str,
    before: int,
    dp_size: int,
    after: int,
    keys: dict[str, object],
    tolerance: float,
) -> None:
    """Three steps, then three more: on the old ranks, on the new ones, and on the new ones without Adam's moments.

    98 pieces need no padding: NeoX's softmax counts rows of padding, so that their number shows in the loss.
    """
    keys = {
        **keys,
        "zero_optimization": {"stage": 1},
        "optimizer": {"type": "Adam", "params": {"lr": 0.003}},
        "lr_decay_style": "constant",
        "train_iters": 100,
        "finetune": False,
    }
    if keys["precision"] == "bfloat16":
        keys |= {"bf16": {"enabled": True}, "fp32_allreduce": True}

    def train(checkpoint: Path, dp_size: int = 1, **more: object) -> list[float]:
        process = load_with_neox(neox_python, tmp_path, checkpoint, steps=3, dp_size=dp_size, **{**keys, **more})
        assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-6000:]
        return torch.load(tmp_path / "logits.pt").tolist()

    torch.save(torch.randint(0, 97, (2, 64), generator=torch.Generator().manual_seed(1)), tmp_path / "tokens.pt")
    source, first, saved, out = make_model(vocab=98), tmp_path / "first", tmp_path / "saved", tmp_path / "out"
    convert(plan_conversion(Request(source=source, out=first, tensor_parallel=before)))
    train(first, dp_size, finetune=True, save=str(saved))
    shutil.copy(first / "neox_model.yml", saved)
    wanted = train(saved, dp_size)
    code = (
        "import sys; from llemma.cli import main; "
        f"sys.exit(main(['convert', {str(saved)!r}, {str(out)!r}, '--to', 'neox', '--tp', '{after}', "
        f"'--hf-files', {str(source)!r}, '--optimizer', 'keep']))"
    )
    # In the Python that trains: DeepSpeed's classes stand in its files.
    done = subprocess.run(
        [neox_python, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = train(out)
    assert found == pytest.approx(wanted, abs=tolerance)
    forgotten = train(out, no_load_optim=True)
    assert max(abs(one - other) for one, other in zip(forgotten, wanted, strict=True)) > 5 * tolerance


def test_neox_refuses_our_checkpoint_under_another_rope_base(
    make_model: Callable[..., Path], tmp_path: Path, neox_python: str
) -> None:
    """NeoX compares only what the file tells of; its own files do not tell the base, ours do."""
    out = tmp_path / "neox"
    convert(plan_conversion(Request(source=make_model(base=1e6), out=out)))
    torch.save(torch.zeros(2, 64, dtype=torch.long), tmp_path / "tokens.pt")
    process = load_with_neox(neox_python, tmp_path, out, rotary_emb_base=10000)
    assert process.returncode != 0
    assert "rotary_emb_base value from checkpoint (1000000) is not equal" in process.stderr
