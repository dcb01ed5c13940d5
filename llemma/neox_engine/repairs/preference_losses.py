"""DPO and KTO can make a step.

GPT-NeoX's step calls `get_logp` and `get_pos_neg_logp` (megatron/training.py:644, 659, 707, 726 at ea7aefd8), but
imports the first from nowhere and defines the second nowhere: every such run ends in its first step with a NameError.
The first stands in megatron/text_generation_utils.py; it is handed the logits of the whole vocabulary. The second is
written here: it is handed each tensor rank's part of the vocabulary, and the halves of the batch are the better answers
and the worse ones.

DPO also puts the causal masks of both halves, each [1, 1, s, s], one behind the other (:481): two of them stand against
two answers for each pair, so that a micro-batch of more than one pair ends in an error. One mask is enough for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import RepairRefusedError, require_text

NAME = "preference-losses"
_MENDED = {
    "megatron/training.py": (
        "torch.cat((pos_item, neg_item), dim=0)",
        "chosen_pos, chosen_neg = get_pos_neg_logp(\n            chosen_outputs, token_logp_labels, neox_args.dpo_fp32",
        "chosen_outputs = gather_from_model_parallel_region(chosen_outputs)\n        chosen_logp = get_logp(",
    ),
    "megatron/text_generation_utils.py": ("def get_logp(logits, labels, force_fp32=False):",),
}


def apply(context: EngineContext) -> None:
    """Puts both where the step looks them up, for a stage of DPO or KTO."""
    if context.values.get("train_impl") not in ("dpo", "kto"):
        return
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training
    from megatron.text_generation_utils import get_logp

    if hasattr(training, "get_logp") or hasattr(training, "get_pos_neg_logp"):
        raise RepairRefusedError(
            f"the repair '{NAME}' is for a GPT-NeoX that lacks these functions, but {training.__file__} has them: "
            f"leave it out with  --without-repair {NAME}"
        )
    training.get_logp, training.get_pos_neg_logp = get_logp, get_pos_neg_logp
    if context.values["train_impl"] == "dpo":
        training.get_batch = with_one_mask(training.get_batch)


def with_one_mask(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """A get_batch of pairs whose attention mask is one for all rows, or as many as there are rows."""

    def get_batch(*args: Any, **kwargs: Any) -> Any:
        tokens, labels, loss_mask, attention_mask, *others = upstream(*args, **kwargs)
        if attention_mask.size(0) != tokens.size(0):  # the causal mask twice, not the rows' own (repair `packing`)
            attention_mask = attention_mask[:1]
        return tokens, labels, loss_mask, attention_mask, *others

    return get_batch


def get_pos_neg_logp(logits: Any, labels: Any, force_fp32: bool = False) -> tuple[Any, Any]:
    """Log probabilities of labels, each [b / 2, s], of the first half of a batch and of the second.

    Shapes: logits [b, s, v / tensor ranks], labels [b, s].
    """
    import torch
    from megatron.mpu import vocab_parallel_cross_entropy

    logps = -vocab_parallel_cross_entropy(logits.float() if force_fp32 else logits, labels)
    better, worse = torch.chunk(logps, 2, 0)
    return better, worse
