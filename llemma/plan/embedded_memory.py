"""Memory of the embedded trainer, byte for byte: its state, and every tensor that it keeps for the backward pass.

Weights, gradients and optimizer stay in fp32 whatever the precision; in bfloat16 the matrices stand in memory a second
time, cast once for all micro-batches of a step. One micro-batch stands at a time, and of its logits one chunk. What the
kernels need while they work comes on top and is not counted.

A layer keeps all that its backward pass asks for (`none`), only what its matrix products and its attention gave
(`selective`: norms, rotation and activation are computed again), or nothing but its input (`full`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from llemma.neox.config import NeoxConfig
from llemma.plan.estimate import count_parameters, has_reference_model, sequences_at_once

Recomputation = Literal["none", "selective", "full"]

_FP32 = 4
_BF16 = 2
_INT64 = 8


@dataclass(frozen=True, kw_only=True)
class EmbeddedMemory:
    """Bytes by what they hold, at the end of a forward pass after the first update."""

    weights: int
    gradients: int
    optimizer: int
    reference: int  # the frozen model that DPO and KTO compare with
    cast_weights: int  # bfloat16 copies of the matrices
    activations: int
    loss: int  # the gradients of the hidden states and the output layer, which come with the loss
    checkpoint_copy: int  # in the processor's memory, while a checkpoint is written

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def embedded_memory(config: NeoxConfig) -> EmbeddedMemory:
    """Memory of a stage in the embedded trainer, on a processor, with no recomputation."""
    parts = count_parameters(config)
    batch, length, hidden = sequences_at_once(config), config.seq_length, config.hidden_size
    tokens = batch * length
    is_cast = config.precision == "bfloat16"
    matrices = parts.attention + parts.feed_forward + config.vocab_rows * hidden
    token_ids = batch * (length + 1) * _INT64  # inputs are a view of the samples
    angles = 2 * length * config.head_dim * _FP32  # cosines and sines, once for all layers
    final_norm = tokens * (hidden + 1) * _FP32
    return EmbeddedMemory(
        weights=_FP32 * parts.total,
        gradients=_FP32 * parts.total,
        optimizer=2 * _FP32 * parts.total,
        reference=reference_bytes(config) if has_reference_model(config) else 0,
        cast_weights=_BF16 * matrices if is_cast else 0,
        activations=config.num_layers * layer_bytes(config, "none") + final_norm + angles + token_ids,
        loss=tokens * hidden * (_BF16 if is_cast else _FP32) + config.vocab_rows * hidden * _FP32,
        checkpoint_copy=3 * _FP32 * parts.total,
    )


def reference_bytes(config: NeoxConfig) -> int:
    """The frozen model: in bfloat16 its matrices are kept in it, but for the embedding, which is read in fp32."""
    parts = count_parameters(config)
    if config.precision != "bfloat16":
        return _FP32 * parts.total
    return _FP32 * parts.total - (_FP32 - _BF16) * (parts.attention + parts.feed_forward + parts.output)


def layer_bytes(config: NeoxConfig, mode: Recomputation, tensor_parallel: int = 1) -> int:
    """What a layer keeps of one micro-batch for its backward pass, in eager mode."""
    tokens = sequences_at_once(config) * config.seq_length
    hidden, ffn = config.hidden_size, config.true_ffn_width // tensor_parallel
    width = _BF16 if config.precision == "bfloat16" else _FP32
    heads = hidden // tensor_parallel  # of queries
    kv_heads = config.num_kv_heads_or_all * config.head_dim // tensor_parallel
    row_sums = config.num_attention_heads // tensor_parallel * _FP32
    residual = hidden * _FP32  # the input of the layer
    attention = (2 * heads + 2 * kv_heads) * width + row_sums  # queries, keys, values, what came out
    if mode == "full":
        return tokens * residual
    if mode == "selective":  # queries and keys before their rotation, the products behind attention, gate and up
        return tokens * (residual + attention + (hidden + 2 * ffn) * width)
    norms = residual + 2 * _FP32  # the input of the second, and one number a row of each
    feed_forward = 4 * ffn * width  # gate, up, silu(gate), their product
    return tokens * (residual + norms + 2 * hidden * width + attention + feed_forward)
