"""Memory of the embedded trainer, byte for byte: its state, and every tensor that autograd keeps for the backward pass.

The layout is transformers' Llama under torch's scaled-dot-product attention, whose kernel keeps no probabilities but
one number a row. Weights, gradients and optimizer stay in fp32 whatever the precision; in bfloat16 the matrices and
their inputs are held a second time, cast: the input of queries, keys and values once for each, of gate and up too.
One micro-batch stands at a time. What the kernels need while they work comes on top and is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from llemma.neox.config import NeoxConfig
from llemma.plan.estimate import count_parameters

_FP32 = 4
_BF16 = 2
_INT64 = 8


@dataclass(frozen=True, kw_only=True)
class EmbeddedMemory:
    """Bytes by what they hold, at the end of a forward pass after the first update."""

    weights: int
    gradients: int
    optimizer: int
    cast_weights: int  # bfloat16 copies of the matrices
    activations: int
    logits: int  # what the loss keeps of them

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def embedded_memory(config: NeoxConfig) -> EmbeddedMemory:
    """Memory of a stage in the embedded trainer."""
    parts = count_parameters(config)
    batch, length, hidden = config.train_micro_batch_size_per_gpu, config.seq_length, config.hidden_size
    tokens = batch * length
    is_cast = config.precision == "bfloat16"
    num_tensors = 9 * config.num_layers + (2 if config.tie_embeddings else 3)
    matrices = parts.attention + parts.feed_forward + config.vocab_rows * hidden
    final = tokens * (2 * hidden * _FP32 + hidden * (_BF16 if is_cast else _FP32) + _FP32)
    angles = 2 * length * config.head_dim * _FP32  # cosines and sines, once for all layers
    token_ids = batch * (length + 1) * _INT64 + (tokens * _INT64 if batch > 1 else 0)  # labels: one row is a view
    return EmbeddedMemory(
        weights=_FP32 * parts.total,
        gradients=_FP32 * parts.total,
        optimizer=2 * _FP32 * parts.total + _FP32 * num_tensors,  # two moments, and each tensor's count of updates
        cast_weights=_BF16 * matrices if is_cast else 0,
        activations=config.num_layers * _layer_bytes(config, tokens, is_cast) + final + angles + token_ids,
        logits=tokens * config.vocab_rows * _FP32 + _FP32,
    )


def _layer_bytes(config: NeoxConfig, tokens: int, is_cast: bool) -> int:
    hidden, kv_width = config.hidden_size, config.num_kv_heads_or_all * config.head_dim
    width = _BF16 if is_cast else _FP32
    norms = 2 * (2 * hidden * _FP32 + _FP32)  # each its input, that divided by its size, and the size
    inputs = (6 if is_cast else 3) * hidden * width  # of the projections into attention, out of it, and into the FFN
    attention = (hidden + 2 * kv_width) * width + config.num_attention_heads * _FP32
    feed_forward = 4 * config.true_ffn_width * width  # gate, up, silu(gate), their product
    return tokens * (norms + inputs + attention + feed_forward)
