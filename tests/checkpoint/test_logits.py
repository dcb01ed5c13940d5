"""The proof of the conversion: logits of an independent GPT-NeoX forward against transformers' Llama.

A round trip proves nothing: GPT-NeoX's own converters agree with each other about multi-head attention, and both are
wrong (they write [Q; K; V] where the forward reads head by head).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Request, plan_conversion

MakeModel = Callable[..., Path]
TOLERANCE = 1e-5


def neox_forward() -> ModuleType:
    spec = importlib.util.spec_from_file_location("neox_forward", Path(__file__).with_name("neox_forward.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hf_logits(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(tokens).logits


def logits_of_neox(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    forward = neox_forward()
    keys = yaml.safe_load((folder / "neox_model.yml").read_text())
    return forward.neox_logits(forward.load_ranks(folder / "global_step0"), keys, tokens)


def some_tokens(vocab: int) -> torch.Tensor:
    return torch.randint(0, vocab, (2, 33), generator=torch.Generator().manual_seed(1))


def run(source: Path, out: Path, **options: object) -> Path:
    convert(plan_conversion(Request(source=source, out=out, **options)))
    return out


@pytest.mark.parametrize("base", [1e6, 1e4])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("tensor_parallel", [1, 2])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_neox_checkpoint_has_the_logits_of_the_model_both_ways(
    make_model: MakeModel, tmp_path: Path, kv_heads: int, tensor_parallel: int, tied: bool, base: float
) -> None:
    """Vocabulary 97 is odd: with two ranks there is a row of padding, which must not come back."""
    model = make_model(kv_heads=kv_heads, tied=tied, base=base)
    tokens = some_tokens(97)
    wanted = hf_logits(model, tokens)
    assert wanted.std() > 0.5  # the comparison below would be worth little on a flat output

    neox = run(model, tmp_path / "neox", tensor_parallel=tensor_parallel)
    found = logits_of_neox(neox, tokens)
    assert found.shape[-1] == 96 + tensor_parallel
    torch.testing.assert_close(found[..., :97], wanted, rtol=0, atol=TOLERANCE)

    back = run(neox, tmp_path / "back")
    torch.testing.assert_close(hf_logits(back, tokens), wanted, rtol=0, atol=0)


def test_four_ranks_and_much_padding_have_the_logits_of_the_model(make_model: MakeModel, tmp_path: Path) -> None:
    """The last ranks hold rows of padding only."""
    model, tokens = make_model(vocab=97), some_tokens(97)
    neox = run(model, tmp_path / "neox", tensor_parallel=4, vocab_divisible_by=64)
    found = logits_of_neox(neox, tokens)
    assert found.shape[-1] == 256
    torch.testing.assert_close(found[..., :97], hf_logits(model, tokens), rtol=0, atol=TOLERANCE)
    assert (found[..., 97:] == 0).all()


@pytest.mark.parametrize(
    ("heads", "kv_heads", "before", "after"), [(8, 8, 2, 8), (16, 8, 2, 8), (4, 4, 4, 1), (4, 2, 1, 2)]
)
def test_checkpoint_with_another_number_of_ranks_has_the_same_logits(
    make_model: MakeModel, tmp_path: Path, heads: int, kv_heads: int, before: int, after: int
) -> None:
    """Without Hugging Face in between; the vocabulary's padding changes from one to the other."""
    model, tokens = make_model(kv_heads=kv_heads, heads=heads), some_tokens(97)
    first = run(model, tmp_path / "first", tensor_parallel=before)
    second = run(first, tmp_path / "second", to="neox", tensor_parallel=after)
    found = logits_of_neox(second, tokens)
    assert found.shape[-1] == -(-97 // after) * after
    torch.testing.assert_close(found[..., :97], hf_logits(model, tokens), rtol=0, atol=TOLERANCE)


def test_contracted_base_gives_the_logits_of_the_contracted_model(make_model: MakeModel, tmp_path: Path) -> None:
    model, tokens = make_model(base=1e6), some_tokens(97)
    contracted = run(model, tmp_path / "contracted", to="hf", rope_base=1e4)
    wanted = hf_logits(contracted, tokens)
    assert (wanted - hf_logits(model, tokens)).abs().max() > 0.01
    neox = run(model, tmp_path / "neox", rope_base=1e4)
    torch.testing.assert_close(logits_of_neox(neox, tokens), wanted, rtol=0, atol=TOLERANCE)


def test_forward_of_the_tests_tells_the_upstream_fault_apart(make_model: MakeModel, tmp_path: Path) -> None:
    """What GPT-NeoX's own converter writes for multi-head attention, [Q; K; V], is not the model."""
    model, tokens = make_model(), some_tokens(97)
    neox = run(model, tmp_path / "neox")
    forward = neox_forward()
    ranks = forward.load_ranks(neox / "global_step0")
    for name, tensor in ranks[0].items():
        if name.endswith("query_key_value.weight"):
            heads = tensor.view(4, 3, 8, 32)
            ranks[0][name] = heads.transpose(0, 1).reshape(96, 32)
    keys = yaml.safe_load((neox / "neox_model.yml").read_text())
    wrong = forward.neox_logits(ranks, keys, tokens)
    assert (wrong - hf_logits(model, tokens)).abs().max() > 0.1
