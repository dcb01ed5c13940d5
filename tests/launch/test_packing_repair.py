"""Attention within documents: the fault, its absence, and the kernels that cannot do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from neox_runs import call_inside, needs_neox, set_stage

from llemma.core.errors import InputError
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs.packing import end_of_document, isolated_masks, refuse_maskless_kernels

EOD = 2


def neox_masks(
    data: Any, eod_token: int, eod_mask_loss: bool = False, sliding_window_width: int | None = None
) -> tuple[Any, Any, Any]:
    """GPT-NeoX's own (megatron/utils.py:66): causal, and positions through all documents."""
    import torch

    length = data.size(1)
    mask = torch.tril(torch.ones(1, 1, length, length)) < 0.5
    loss_mask = torch.ones(data.size())
    if eod_mask_loss:
        loss_mask[data == eod_token] = 0.0
    return mask, loss_mask, torch.arange(length).unsqueeze(0).expand_as(data)


def test_masks_isolate_documents_as_a_slow_reference_does() -> None:
    torch = pytest.importorskip("torch")
    data = torch.randint(0, 5, (4, 24), generator=torch.Generator().manual_seed(1))  # 2 ends a document
    mask, _, positions = isolated_masks(neox_masks, EOD)(data=data, eod_token=0)
    assert mask.shape == (4, 1, 24, 24)
    for row in range(4):
        begin = 0
        for at in range(24):
            seen = [other for other in range(24) if not mask[row, 0, at, other]]
            assert seen == list(range(begin, at + 1))
            assert positions[row, at] == at - begin
            if data[row, at] == EOD:
                begin = at + 1
    crossing, _, _ = neox_masks(data, EOD)
    assert bool((mask & ~crossing).any())  # without the repair tokens see other documents


def test_loss_mask_follows_the_datas_own_end_of_document() -> None:
    """GPT-NeoX's SentencePiece tokenizer takes <unk> (0) for it."""
    torch = pytest.importorskip("torch")
    data = torch.tensor([[5, 2, 0, 6]])
    assert neox_masks(data, 0, eod_mask_loss=True)[1].tolist() == [[1, 1, 0, 1]]
    assert isolated_masks(neox_masks, EOD)(data=data, eod_token=0, eod_mask_loss=True)[1].tolist() == [[1, 0, 1, 1]]


def test_end_of_document_is_that_of_the_mixture(tmp_path: Path) -> None:
    (tmp_path / "mixture.json").write_text(json.dumps({"tokenizer": {"eod_id": 7}}))
    assert end_of_document({"mixture": str(tmp_path / "mixture.json")}) == 7
    assert end_of_document({"mixture": None}) is None
    (tmp_path / "mixture.json").write_text("{}")
    with pytest.raises(InputError, match="names no end-of-document token"):
        end_of_document({"mixture": str(tmp_path / "mixture.json")})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"attention_config": [[["flash"], 32]]}, "attention takes no such mask"),
        ({"attention_config": [[["global", "bigbird"], 16]]}, "attention takes no such mask"),
        ({"scaled_upper_triang_masked_softmax_fusion": True}, "scaled_upper_triang_masked_softmax_fusion: false"),
        ({"te_mha": True}, "te_mha: false"),
    ],
)
def test_kernel_without_a_mask_is_refused(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    context = EngineContext(neox_dir=tmp_path, config_path=tmp_path / "neox.yml", values=values, stage={})
    with pytest.raises(InputError, match=named):
        refuse_maskless_kernels(context)


@needs_neox
def test_neox_document_depends_on_the_one_before_and_with_the_repair_does_not(make_run: Callable[..., Path]) -> None:
    body = """
model = training.get_model(neox_args).eval()
generator = torch.Generator().manual_seed(3)
text = torch.randint(3, 300, (2, neox_args.seq_length + 1), generator=generator)
text[1, 21:] = text[0, 21:]  # two rows that differ in their first document alone
text[:, 20] = 2
batch = training._get_batch(neox_args, neox_args.tokenizer, ["text"], {"text": text}, torch.int64)
tokens, _, _, attention_mask, position_ids = batch
with torch.no_grad():
    logits = model((tokens, position_ids, attention_mask))
found["first"] = (logits[0, :20] - logits[1, :20]).abs().max().item()
found["second"] = (logits[0, 21:] - logits[1, 21:]).abs().max().item()
"""
    run = make_run()
    crossing = call_inside(run, body, ["packing"])  # the stage does not ask for it
    assert crossing["first"] > 1e-3 and crossing["second"] > 1e-4
    set_stage(run, packing="isolated")
    isolated = call_inside(run, body, ["packing"])
    assert isolated["first"] == crossing["first"]
    assert isolated["second"] == 0
