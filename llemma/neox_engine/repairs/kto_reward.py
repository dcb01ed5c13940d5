"""KTO's reward is that of the document, whatever its length.

GPT-NeoX repeats a document's reward (1 or -1) over its tokens, pads it with zeros and takes the mean over the whole
sequence (megatron/training.py:774 at ea7aefd8): on 100 of 2,048 tokens `kto_beta` 0.1 acts as 0.005, and otherwise for
every document. The loss takes beta x reward x (log ratio - KL) (arXiv 2402.01306, equation 8). Here the reward of the
document that a row begins with stands over the whole row, so that its mean is the reward itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "kto-reward"
_MENDED = {
    "megatron/training.py": (
        "return tup + (rw_data, ref_data)",
        "* reward1.mean(-1)\n",
        "* reward2.mean(-1)\n",
        ") = get_batch(neox_args=neox_args, data_iterator=data_iterator)",
        "chosen_logp = chosen_logp * loss_mask",
    ),
    "megatron/data/gpt2_dataset.py": ("np.array([rw[0] for _ in range(sample_lengths.pop(0))])",),
}


def apply(context: EngineContext) -> None:
    """Replaces the batch where the step asks for it, for a stage of KTO."""
    if context.values.get("train_impl") != "kto":
        return
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training

    training.get_batch = whole_rewards(training.get_batch)


def whole_rewards(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """A get_batch whose rewards [b, s], the last but one of what it returns, are the first of their row throughout."""

    def get_batch(*args: Any, **kwargs: Any) -> Any:
        *others, rewards, reference = upstream(*args, **kwargs)
        return *others, rewards[:, :1].expand_as(rewards), reference

    return get_batch
