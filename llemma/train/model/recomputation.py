"""What a layer keeps for its backward pass and what it computes again, chosen so that it fits into a memory budget."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from llemma.core.errors import InputError
from llemma.neox.config import NeoxConfig
from llemma.plan.embedded_memory import Recomputation, layer_bytes

Layer = Callable[..., torch.Tensor]

_COSTS: dict[Recomputation, float] = {"none": 0.0, "selective": 0.1, "full": 1.0}
"""Forward passes of a layer made again; norms, rotation and activation are about a tenth of one. Chosen by us."""

_aten = torch.ops.aten
_KEPT = {
    _aten.mm.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
}
_PRODUCTS = 7  # of a layer; the last one's output is the layer's own, which nothing asks for


class _Policy:
    """Keeps what matrix products and attention gave, but for the last product."""

    def __init__(self) -> None:
        self._products = 0

    def __call__(self, ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        if op not in _KEPT:
            return CheckpointPolicy.PREFER_RECOMPUTE
        if op is _aten.mm.default and not ctx.is_recompute:
            self._products += 1
            if self._products == _PRODUCTS:
                return CheckpointPolicy.PREFER_RECOMPUTE
        return CheckpointPolicy.MUST_SAVE


def recomputed(layer: Layer, mode: Recomputation) -> Layer:
    """A layer that keeps less."""
    if mode == "none":
        return layer
    if mode == "full":
        return functools.partial(checkpoint, layer, use_reentrant=False, preserve_rng_state=False)
    return functools.partial(
        checkpoint,
        layer,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: create_selective_checkpoint_contexts(_Policy()),  # type: ignore[no-untyped-call]
    )


def plan_recomputation(config: NeoxConfig, budget_bytes: int, tensor_parallel: int = 1) -> tuple[Recomputation, ...]:
    """The cheapest mode of each layer with which the activations of one micro-batch fit into so many bytes.

    Layers that keep more come last: the backward pass frees them first. While a layer is computed again, all that it
    would have kept stands in memory too. Raises InputError where even the least does not fit.
    """
    kept = {mode: layer_bytes(config, mode, tensor_parallel) for mode in _COSTS}
    plans = [
        (config.num_layers - full - selective, selective, full)
        for full in range(config.num_layers + 1)
        for selective in range(config.num_layers + 1 - full)
    ]

    def needed(plan: Sequence[int]) -> int:
        none, selective, full = plan
        again = kept["none"] - kept["full" if full else "selective"] if selective or full else 0
        return none * kept["none"] + selective * kept["selective"] + full * kept["full"] + again

    fitting = [plan for plan in plans if needed(plan) <= budget_bytes]
    if not fitting:
        least = min(map(needed, plans))
        raise InputError(
            f"the activations of a micro-batch need {least / 2**30:.2f} GiB even with every layer computed again, but "
            f"have {budget_bytes / 2**30:.2f} GiB: lower train_micro_batch_size_per_gpu or seq_length, or raise "
            "--activation-memory"
        )
    none, selective, full = min(fitting, key=lambda plan: plan[1] * _COSTS["selective"] + plan[2] * _COSTS["full"])
    modes: list[Recomputation] = [*["full"] * full, *["selective"] * selective, *["none"] * none]  # type: ignore[list-item]
    return tuple(modes)
