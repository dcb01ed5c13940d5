"""Llama as the embedded trainer computes it: Hugging Face's names and numbers, torch alone.

Weights are kept in fp32; under autocast matrices are multiplied in its type, while the residual stream, the norms and
the rotation of queries and keys stay in fp32.

Letters in tensor names: B samples, S positions, H hidden size, N heads, K key/value heads, D width of a head.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from llemma.plan.embedded_memory import Recomputation
from llemma.train.model.config import ModelConfig
from llemma.train.model.kernels import rms_norm, rotate
from llemma.train.model.recomputation import recomputed
from llemma.train.model.tensor_parallel import ALONE, TensorParallel, check_divisible, copy_in, sum_out


class LayerWeights(NamedTuple):
    """The weights of one layer, in the type that they are multiplied in."""

    norm_1: torch.Tensor
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    o: torch.Tensor
    norm_2: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


class Rotation(NamedTuple):
    """Cosines and sines of the positions, (S, 1, D) or (B, S, 1, D), fp32; see `kernels.rotate`."""

    cos: torch.Tensor
    sin: torch.Tensor


class LayerFacts(NamedTuple):
    """What a layer's computation depends on besides tensors."""

    head_dim: int
    eps: float
    parallel: TensorParallel


def decoder_layer(
    x_BSH: torch.Tensor,
    weights: LayerWeights,
    rotation: Rotation,
    mask: torch.Tensor | None,
    facts: LayerFacts,
) -> torch.Tensor:
    """One layer: attention and feed-forward, each added to what came in."""
    a_BSH = copy_in(rms_norm(x_BSH, weights.norm_1, facts.eps, weights.q.dtype), facts.parallel)
    q_BSND, k_BSKD, v_BSKD = (
        functional.linear(a_BSH, weight).unflatten(-1, (-1, facts.head_dim))  # type: ignore[no-untyped-call]
        for weight in (weights.q, weights.k, weights.v)
    )
    y_BNSD = functional.scaled_dot_product_attention(
        rotate(q_BSND, rotation.cos, rotation.sin).transpose(1, 2),
        rotate(k_BSKD, rotation.cos, rotation.sin).transpose(1, 2),
        v_BSKD.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=q_BSND.shape[2] != k_BSKD.shape[2],
    )
    y_BSH = functional.linear(y_BNSD.transpose(1, 2).flatten(2), weights.o)
    x_BSH = x_BSH + sum_out(y_BSH, facts.parallel)
    f_BSH = copy_in(rms_norm(x_BSH, weights.norm_2, facts.eps, weights.q.dtype), facts.parallel)
    wide = functional.silu(functional.linear(f_BSH, weights.gate)) * functional.linear(f_BSH, weights.up)
    return x_BSH + sum_out(functional.linear(wide, weights.down), facts.parallel)


@functools.cache
def _layer(mode: Recomputation, is_compiled: bool) -> Callable[..., torch.Tensor]:
    layer = recomputed(decoder_layer, mode)
    return torch.compile(layer) if is_compiled else layer


class RMSNorm(nn.Module):
    """The weight of a norm; weight decay knows norms by this name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))


class Matrix(nn.Module):
    """The weight of a linear layer or an embedding, rows by columns."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns))


class _Attention(nn.Module):
    def __init__(self, hidden: int, width: int, kv_width: int) -> None:
        super().__init__()
        self.q_proj = Matrix(width, hidden)
        self.k_proj = Matrix(kv_width, hidden)
        self.v_proj = Matrix(kv_width, hidden)
        self.o_proj = Matrix(hidden, width)


class _FeedForward(nn.Module):
    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_proj = Matrix(width, hidden)
        self.up_proj = Matrix(width, hidden)
        self.down_proj = Matrix(hidden, width)


class _Layer(nn.Module):
    def __init__(self, config: ModelConfig, parts: int) -> None:
        super().__init__()
        sizes = config.architecture.sizes()
        self.self_attn = _Attention(sizes["hidden"], sizes["q"] // parts, sizes["kv"] // parts)
        self.mlp = _FeedForward(sizes["hidden"], sizes["ffn"] // parts)
        self.input_layernorm = RMSNorm(sizes["hidden"])
        self.post_attention_layernorm = RMSNorm(sizes["hidden"])

    def parameters_in_order(self) -> LayerWeights:
        """All of them, as the computation names them."""
        a, f = self.self_attn, self.mlp
        return LayerWeights(
            norm_1=self.input_layernorm.weight,
            q=a.q_proj.weight,
            k=a.k_proj.weight,
            v=a.v_proj.weight,
            o=a.o_proj.weight,
            norm_2=self.post_attention_layernorm.weight,
            gate=f.gate_proj.weight,
            up=f.up_proj.weight,
            down=f.down_proj.weight,
        )


class _Decoder(nn.Module):
    def __init__(self, config: ModelConfig, parts: int) -> None:
        super().__init__()
        architecture = config.architecture
        self.embed_tokens = Matrix(architecture.vocab_size // parts, architecture.hidden_size)
        self.layers = nn.ModuleList(_Layer(config, parts) for _ in range(architecture.num_layers))
        self.norm = RMSNorm(architecture.hidden_size)


class Llama(nn.Module):
    """The model, or one process's slice of it. Its parameters have Hugging Face's names."""

    def __init__(self, config: ModelConfig, tensor_parallel: TensorParallel = ALONE) -> None:
        """Weights are left unset. Raises InputError where tensor parallel does not divide the model."""
        super().__init__()
        check_divisible(config.architecture, tensor_parallel, "the model")
        self.config = config
        self.tensor_parallel = tensor_parallel
        architecture = config.architecture
        self.model = _Decoder(config, tensor_parallel.size)
        if not architecture.is_tied:
            self.lm_head = Matrix(architecture.vocab_size // tensor_parallel.size, architecture.hidden_size)
        self._facts = LayerFacts(architecture.head_dim, architecture.rms_norm_eps, tensor_parallel)
        self._is_compiled = False
        self._modes: list[Recomputation] = ["none"] * architecture.num_layers
        self._rotation: Rotation | None = None
        self._held: dict[tuple[int, bool], torch.Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    @property
    def output_weight(self) -> nn.Parameter:
        """The output layer's rows, (vocabulary rows here, H); the embedding's where they are tied."""
        return self.model.embed_tokens.weight if self.config.architecture.is_tied else self.lm_head.weight

    def forward(
        self, inputs: torch.Tensor, positions: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hidden states before the output layer, (B, S, H), in the type that matrices are multiplied in.

        inputs (B, S); positions (B, S), 0, 1, … where not given; mask (B, 1, S, S), True where attention may look, all
        that came before where not given.
        """
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        with torch.autocast(kind, enabled=False):
            rotation = self._rotation_of(inputs.shape[1], positions)
            x_BSH = self._embed(inputs)
            for layer, mode in zip(self.model.layers, self._modes, strict=True):
                assert isinstance(layer, _Layer)
                weights = LayerWeights(
                    *(w if w.dim() == 1 else self.cast(w, dtype) for w in layer.parameters_in_order())
                )
                run = _layer(mode if torch.is_grad_enabled() else "none", self._is_compiled)
                x_BSH = run(x_BSH, weights, rotation, mask, self._facts)
            return rms_norm(x_BSH, self.model.norm.weight, self._facts.eps, dtype)

    @property
    def is_compiled(self) -> bool:
        """Whether layers run compiled."""
        return self._is_compiled

    def compile_layers(self) -> None:
        """From now on layers run compiled, all by one graph; with tensor parallel they stay eager."""
        self._is_compiled = self.tensor_parallel.size == 1

    @contextlib.contextmanager
    def eager(self) -> Iterator[None]:
        """Within it layers run as they are written: the compiler, which learns from shapes, sees none of its own."""
        was_compiled, self._is_compiled = self._is_compiled, False
        try:
            yield
        finally:
            self._is_compiled = was_compiled

    def recompute(self, modes: Sequence[Recomputation]) -> None:
        """From now on each layer keeps for its backward pass what its mode says."""
        self._modes = list(modes)

    def cast(self, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """A weight in another type; within `weights_held` made once."""
        if weight.dtype == dtype:
            return weight
        if self._held is None:
            return weight.to(dtype)
        key = (id(weight), torch.is_grad_enabled())  # what was cast without gradients must not serve with them
        if key not in self._held:
            self._held[key] = weight.to(dtype)
        return self._held[key]

    @contextlib.contextmanager
    def weights_held(self) -> Iterator[None]:
        """Within it no weight may change: each is cast once for all micro-batches of a step."""
        outer, self._held = self._held, self._held if self._held is not None else {}
        try:
            yield
        finally:
            self._held = outer

    def _embed(self, inputs: torch.Tensor) -> torch.Tensor:
        weight, parallel = self.model.embed_tokens.weight, self.tensor_parallel
        if parallel.size == 1:
            return functional.embedding(inputs, weight)
        here = inputs - parallel.rank * weight.shape[0]
        is_elsewhere = (here < 0) | (here >= weight.shape[0])
        rows = functional.embedding(here.masked_fill(is_elsewhere, 0), weight)
        return sum_out(rows.masked_fill(is_elsewhere.unsqueeze(-1), 0.0), parallel)

    def _rotation_of(self, length: int, positions: torch.Tensor | None) -> Rotation:
        """Computed as transformers does, in fp32: the angles of far positions are rounded alike."""
        held = self._rotation
        if positions is None and held is not None and len(held.cos) == length and held.cos.device == self.device:
            return held
        architecture = self.config.architecture
        with torch.inference_mode(False):  # a table made in a validation is used by the next step
            exponents = torch.arange(0, architecture.head_dim, 2, dtype=torch.float32) / architecture.head_dim
            frequencies = (1.0 / architecture.rope_base**exponents).to(self.device)
            at = torch.arange(length, device=self.device) if positions is None else positions
            angles = (at.unsqueeze(-1).float() * frequencies).unsqueeze(-2)
            cos, sin = angles.cos(), angles.sin()
            rotation = Rotation(torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))
        if positions is None:
            self._rotation = rotation
        return rotation
