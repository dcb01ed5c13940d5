"""Rotary position embeddings: the base, where a Hugging Face configuration keeps it, and its contraction.

Code Llama was made with the base 1e6. Llemma 7B went on training from it with 1e4, a contraction; the 34B kept 1e6
(Llemma, arXiv 2310.10631, section 2.2). A model read with another base than it was trained with still talks, only
worse, so that a base is never changed here in passing: `change_base` is the one way, and what it returns is recorded.

transformers 4 keeps the base in `rope_theta` and, where that is missing, takes 10,000 without a word. transformers 5
keeps it in `rope_parameters` and writes only that. What is written here has both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llemma.core.errors import InputError

DEFAULT_BASE = 10_000.0
"""Base of a Llama configuration that names none: Llama 1's, and the default of every transformers release."""


@dataclass(frozen=True, kw_only=True)
class BaseChange:
    """A deliberate change of the RoPE base, for the record."""

    before: float
    after: float

    @property
    def is_change(self) -> bool:
        """False where the model had the wanted base already."""
        return self.before != self.after


def inverse_frequencies(head_dim: int, base: float) -> np.ndarray:
    """Rotary angle per position, shape (head_dim / 2,), float64, in radians per token.

    Raises ValueError if head_dim is odd or base is not above 1.  Source: RoFormer, arXiv 2104.09864, section 3.4.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}, but must be even")
    if not base > 1 or not math.isfinite(base):
        raise ValueError(f"the RoPE base is {base}, but must be a finite number above 1")
    return 1.0 / base ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)


def read_base(config: Mapping[str, Any], place: str) -> float:
    """The RoPE base of a Hugging Face configuration, from either of the places where it may stand.

    Raises InputError, naming `place`, if the two contradict each other, the base is no number above 1, or the
    configuration scales its positions: GPT-NeoX cannot, and dropping the scaling would change the model.
    """
    found: dict[str, float] = {}
    if config.get("rope_theta") is not None:
        found["rope_theta"] = _number(config["rope_theta"], place, "rope_theta")
    parameters = config.get("rope_parameters")
    scaling = config.get("rope_scaling")
    for key, block in (("rope_parameters", parameters), ("rope_scaling", scaling)):
        if block is None:
            continue
        if not isinstance(block, Mapping):
            raise InputError(f"{place}: '{key}' is {block!r}, but must be an object")
        kind = block.get("rope_type", block.get("type", "default"))
        if kind != "default":
            raise InputError(
                f"{place}: '{key}' asks for positions of the kind {kind!r}, but only unscaled RoPE ('default') can "
                "be used: GPT-NeoX has no scaling, and without it this would be another model"
            )
        if block.get("rope_theta") is not None:
            found[f"{key}.rope_theta"] = _number(block["rope_theta"], place, f"{key}.rope_theta")
    if len(set(found.values())) > 1:
        both = " and ".join(f"'{key}' = {value:g}" for key, value in found.items())
        raise InputError(
            f"{place}: two RoPE bases, {both}: transformers 4 and 5 would read two different models from this file; "
            "leave the one that the model was trained with"
        )
    return next(iter(found.values()), DEFAULT_BASE)


def write_base(config: Mapping[str, Any], base: float) -> dict[str, Any]:
    """The configuration with this RoPE base in both places; nothing else of it changes."""
    changed = {key: value for key, value in config.items() if key != "rope_scaling"}
    changed["rope_theta"] = base
    changed["rope_parameters"] = {"rope_type": "default", "rope_theta": base}
    return changed


def change_base(base: float, wanted: float | None) -> BaseChange:
    """The recorded change from `base` to `wanted`; None keeps the base. Raises InputError for an impossible base."""
    if wanted is None:
        return BaseChange(before=base, after=base)
    if not math.isfinite(wanted) or wanted <= 1:
        raise InputError(f"the RoPE base {wanted} cannot be used: it must be a finite number above 1, such as 10000")
    return BaseChange(before=base, after=float(wanted))


def _number(value: object, place: str, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 1:
        raise InputError(f"{place}: '{key}' is {value!r}, but the RoPE base must be a finite number above 1")
    return float(value)
