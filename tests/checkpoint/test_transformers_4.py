"""An export read by transformers 4, which takes a missing RoPE base for 10,000 without a word.

TRANSFORMERS4_PYTHON names a Python that has transformers 4.57 and torch; the suite's own is transformers 5.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Request, plan_conversion

PROGRAM = """
import sys, torch, transformers
from transformers import LlamaForCausalLM
assert transformers.__version__.startswith("4."), transformers.__version__
model = LlamaForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
with torch.no_grad():
    logits = model(torch.load(sys.argv[2])).logits
torch.save({"logits": logits, "theta": model.config.rope_theta, "dtype": str(model.dtype)}, sys.argv[3])
"""


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("TRANSFORMERS4_PYTHON")
    if not found:
        pytest.skip("TRANSFORMERS4_PYTHON does not name a Python with transformers 4")
    return found


@pytest.mark.parametrize(("base", "wanted"), [(1e6, None), (1e4, None), (1e6, 1e4)])
def test_export_has_the_same_logits_in_transformers_4_and_5(
    make_model: Callable[..., Path], tmp_path: Path, python: str, base: float, wanted: float | None
) -> None:
    from transformers import LlamaForCausalLM

    neox, out = tmp_path / "neox", tmp_path / "out"
    convert(plan_conversion(Request(source=make_model(base=base, kv_heads=2), out=neox, tensor_parallel=2)))
    convert(plan_conversion(Request(source=neox, out=out, to="hf", rope_base=wanted)))
    tokens = torch.randint(0, 97, (2, 48), generator=torch.Generator().manual_seed(1))
    torch.save(tokens, tmp_path / "tokens.pt")
    files = [str(out), str(tmp_path / "tokens.pt"), str(tmp_path / "found.pt")]
    process = subprocess.run([python, "-c", PROGRAM, *files], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    found = torch.load(tmp_path / "found.pt")
    assert found["theta"] == (wanted or base)
    model = LlamaForCausalLM.from_pretrained(out, attn_implementation="eager").eval()
    with torch.no_grad():
        mine = model(tokens).logits
    torch.testing.assert_close(found["logits"], mine, rtol=0, atol=1e-5)
