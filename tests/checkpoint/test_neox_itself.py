"""A converted checkpoint loaded by GPT-NeoX itself, from the checkout that NEOX_DIR names, against transformers.

NEOX_PYTHON names the Python that has NeoX's requirements (deepspeed, einops, ...); the default is the one running this.
"""

from __future__ import annotations

import os
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


def load_with_neox(python: str, folder: Path, checkpoint: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    """Runs NeoX's own loading and forward on FOLDER/tokens.pt; the logits are written to FOLDER/logits.pt."""
    keys = yaml.safe_load((checkpoint / "neox_model.yml").read_text())
    ranks = keys["model_parallel_size"]
    keys |= {
        "seq_length": 64,
        "load": str(checkpoint),
        "finetune": True,
        "global_num_gpus": ranks,
        "train_micro_batch_size_per_gpu": 2,
        "train_iters": 1,
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
    command += [str(folder / name) for name in ("neox.yml", "tokens.pt", "logits.pt")]
    environment = {**os.environ, "WANDB_MODE": "off"}
    return subprocess.run(command, cwd=NEOX_DIR, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize(("kv_heads", "tensor_parallel", "tied"), [(4, 2, False), (2, 2, False), (4, 1, True)])
def test_neox_computes_the_logits_of_the_model(
    make_model: Callable[..., Path],
    tmp_path: Path,
    neox_python: str,
    kv_heads: int,
    tensor_parallel: int,
    tied: bool,
) -> None:
    from transformers import LlamaForCausalLM

    source, out = make_model(kv_heads=kv_heads, tied=tied), tmp_path / "neox"
    convert(plan_conversion(Request(source=source, out=out, tensor_parallel=tensor_parallel)))
    tokens = torch.randint(0, 97, (2, 64), generator=torch.Generator().manual_seed(1))
    torch.save(tokens, tmp_path / "tokens.pt")
    process = load_with_neox(neox_python, tmp_path, out)
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-6000:]
    found = torch.load(tmp_path / "logits.pt")
    model = LlamaForCausalLM.from_pretrained(source, attn_implementation="eager").eval()
    with torch.no_grad():
        wanted = model(tokens).logits
    assert found.shape[-1] == 96 + tensor_parallel
    torch.testing.assert_close(found[..., :97], wanted, rtol=0, atol=1e-5)


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
