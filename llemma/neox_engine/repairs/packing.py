"""Keeps attention within documents where stage.json says `packing: isolated`.

GPT-NeoX packs documents into a sequence and lets every token attend to all before it, also those of other documents
(megatron/utils.py:85 at ea7aefd8 builds the causal mask alone). The mask now also hides what lies before the last
end-of-document token, and positions begin anew behind it. Rotary positions need no more: they only enter as
differences. The end-of-document token is the data's own (mixture.json): NeoX's SentencePiece tokenizer takes <unk>.

Kernels that know no such mask (flash and sparse attention, the fused upper-triangular softmax) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.core.files import read_json
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "packing"
_MENDED = {
    "megatron/training.py": (
        "attention_mask, loss_mask, position_ids = get_ltor_masks_and_position_ids(",
        "def get_batch_sequential(forward_input, neox_args):",
    ),
    "megatron/utils.py": ("def get_ltor_masks_and_position_ids(\n    data,\n    eod_token,", "return mask < 0.5"),
    "megatron/model/transformer.py": ("attention_probs = self.scale_mask_softmax(attention_scores, attention_mask)",),
}


def apply(context: EngineContext) -> None:
    """Replaces the mask where batches are made. Does nothing for a stage that is not isolated."""
    if context.stage.get("packing") != "isolated":
        return
    require_text(NAME, context.neox_dir, _MENDED)
    refuse_maskless_kernels(context)
    eod = end_of_document(context.stage)
    from megatron import training

    training.get_ltor_masks_and_position_ids = isolated_masks(training.get_ltor_masks_and_position_ids, eod)


def refuse_maskless_kernels(context: EngineContext) -> None:
    """Raises InputError where a kernel of this configuration would not look at the mask."""
    kinds = str(context.values.get("attention_config") or "global")
    place = f"{context.config_path}: 'packing: isolated' "
    if set(re.findall(r"[A-Za-z_]+", kinds)) - {"global", "all"}:
        raise InputError(
            f"{place}needs attention_config 'global', but it says {kinds}: that attention takes no such mask. Plan the "
            "stage for a cluster with  attention: global  or with  packing: documents-may-cross"
        )
    if context.values.get("scaled_upper_triang_masked_softmax_fusion"):
        raise InputError(f"{place}needs scaled_upper_triang_masked_softmax_fusion: false: that kernel takes no mask")
    if context.values.get("te_mha") or context.values.get("te_fp8_mha"):
        raise InputError(f"{place}needs te_mha: false: Transformer Engine takes no mask here")


def end_of_document(stage: dict[str, Any]) -> int | None:
    """The token that ends the documents of a stage's data; None where it has no mixture, and NeoX's tokenizer tells."""
    mixture = stage.get("mixture")
    if not mixture:
        return None
    value = read_json(Path(mixture))
    try:
        return int(value["tokenizer"]["eod_id"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{mixture}: it names no end-of-document token (tokenizer.eod_id)") from None


def isolated_masks(upstream: Callable[..., Any], eod: int | None) -> Callable[..., Any]:
    """The upstream masks for one document at a time. Shapes: data [b, s]; mask [b, 1, s, s], True is hidden."""

    def get_ltor_masks_and_position_ids(
        data: Any, eod_token: int, eod_mask_loss: bool = False, sliding_window_width: int | None = None
    ) -> Any:
        import torch

        token = eod_token if eod is None else eod
        causal, loss_mask, _ = upstream(
            data=data, eod_token=token, eod_mask_loss=eod_mask_loss, sliding_window_width=sliding_window_width
        )
        is_end = data == token
        document = torch.cumsum(is_end, dim=1) - is_end.long()  # the token itself belongs to what it ends
        is_other = document.unsqueeze(2) != document.unsqueeze(1)
        at = torch.arange(data.size(1), device=data.device).expand_as(data)
        begins = torch.zeros_like(is_end)
        begins[:, 1:] = is_end[:, :-1]
        position_ids = at - torch.cummax(at * begins, dim=1).values
        return causal | is_other.unsqueeze(1), loss_mask, position_ids

    return get_ltor_masks_and_position_ids
