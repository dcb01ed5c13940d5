"""How far random weights spread: GPT-NeoX's `init_method` and `output_layer_init_method`, where a run begins with them.

Source: GPT-NeoX at ea7aefd8, megatron/model/init_functions.py. What adds to the residual stream (the attention's and
the feed-forward's output) is drawn by the second, everything else by the first; norms begin with ones. The draws
themselves are not NeoX's: only what they are drawn from is.
"""

from __future__ import annotations

import math

from llemma.neox.config import NeoxConfig

INIT_KEYS = ("init_method", "output_layer_init_method", "init_method_std")
METHODS = ("normal", "scaled_normal", "single_residual_scaled_normal", "small_init", "wang_init")
"""The normal ones. NeoX's others (orthogonal, Xavier) depend on how it fuses matrices."""


def init_problems(config: NeoxConfig) -> list[tuple[str, str]]:
    """(key, message) for each method that weights cannot be drawn by here."""
    return [
        (key, f"'{key}' is '{getattr(config, key)}', but random weights are drawn by {', '.join(METHODS)} here")
        for key in ("init_method", "output_layer_init_method")
        if getattr(config, key) not in METHODS
    ]


def weight_std(name: str, config: NeoxConfig) -> float:
    """Standard deviation of a matrix of this (Hugging Face) name."""
    adds_to_residual = name.split(".")[-2] in ("o_proj", "down_proj")
    method = config.output_layer_init_method if adds_to_residual else config.init_method
    if method == "normal":
        return config.init_method_std
    if method == "scaled_normal":
        return config.init_method_std / math.sqrt(2 * config.num_layers)
    if method == "single_residual_scaled_normal":
        return config.init_method_std / math.sqrt(config.num_layers)
    if method == "small_init":
        return math.sqrt(2 / (5 * config.hidden_size))
    if method == "wang_init":
        return 2 / config.num_layers / math.sqrt(config.hidden_size)
    raise ValueError(f"no weights are drawn by {method!r}; known are {', '.join(METHODS)}")
