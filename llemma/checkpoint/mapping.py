"""Which Hugging Face tensor stands where in GPT-NeoX's tensors: the rules as data, and the one reading of them.

GPT-NeoX at ea7aefd8, pipe_parallel_size 0; one file per tensor-parallel rank, L layers, modules numbered in a row:

module  tensor                            made of                   split         fused on each rank as
0       word_embeddings.weight            embed_tokens              rows, padded
i + 2   input_layernorm.scale             input_layernorm           on every rank
i + 2   attention.query_key_value.weight  q_proj k_proj v_proj      rows          per head, [q0 k0 v0 q1 ..]
                                                                                  grouped: [Q; K; V]
i + 2   attention.dense.weight            o_proj                    columns
i + 2   post_attention_layernorm.scale    post_attention_layernorm  on every rank
i + 2   mlp.linear1.weight                up_proj gate_proj         rows          [up; gate]
i + 2   mlp.linear2.weight                down_proj                 columns
L + 3   norm.scale                        model.norm                on every rank
L + 4   final_linear.weight, if not tied  lm_head                   rows, padded

Sources: megatron/model/transformer.py:794-806 (head by head: the view is (heads, 3 x head_dim)), gqa_project in the
same file ([Q; K; V]), Gated_Activation (the first half is multiplied by the activated second half).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llemma.checkpoint.architecture import Architecture

if TYPE_CHECKING:
    import torch

Fusion = Literal["single", "stacked", "head by head"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One Hugging Face tensor: its name, and the named axes (see Architecture.sizes) of its rows and columns."""

    name: str
    rows: str
    columns: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One NeoX tensor. `split`: the axis that ranks share out (0 rows, 1 columns), None where each has it whole."""

    name: str
    parts: tuple[Part, ...]
    split: int | None
    fusion: Fusion = "single"
    is_padded: bool = False


_FIRST = (
    Rule(
        name="sequential.0.word_embeddings.weight",
        parts=(Part(name="model.embed_tokens.weight", rows="vocab", columns="hidden"),),
        split=0,
        is_padded=True,
    ),
)
_QUERY_KEY_VALUE = (
    Part(name="model.layers.{layer}.self_attn.q_proj.weight", rows="q", columns="hidden"),
    Part(name="model.layers.{layer}.self_attn.k_proj.weight", rows="kv", columns="hidden"),
    Part(name="model.layers.{layer}.self_attn.v_proj.weight", rows="kv", columns="hidden"),
)
_LAYER = (
    Rule(
        name="sequential.{layer_module}.input_layernorm.scale",
        parts=(Part(name="model.layers.{layer}.input_layernorm.weight", rows="hidden"),),
        split=None,
    ),
    Rule(
        name="sequential.{layer_module}.attention.dense.weight",
        parts=(Part(name="model.layers.{layer}.self_attn.o_proj.weight", rows="hidden", columns="q"),),
        split=1,
    ),
    Rule(
        name="sequential.{layer_module}.post_attention_layernorm.scale",
        parts=(Part(name="model.layers.{layer}.post_attention_layernorm.weight", rows="hidden"),),
        split=None,
    ),
    Rule(
        name="sequential.{layer_module}.mlp.linear1.weight",
        parts=(
            Part(name="model.layers.{layer}.mlp.up_proj.weight", rows="ffn", columns="hidden"),
            Part(name="model.layers.{layer}.mlp.gate_proj.weight", rows="ffn", columns="hidden"),
        ),
        split=0,
        fusion="stacked",
    ),
    Rule(
        name="sequential.{layer_module}.mlp.linear2.weight",
        parts=(Part(name="model.layers.{layer}.mlp.down_proj.weight", rows="hidden", columns="ffn"),),
        split=1,
    ),
)
_MULTI_HEAD = Rule(
    name="sequential.{layer_module}.attention.query_key_value.weight",
    parts=_QUERY_KEY_VALUE,
    split=0,
    fusion="head by head",
)
_GROUPED_QUERY = dataclasses.replace(_MULTI_HEAD, fusion="stacked")
_LAST = (
    Rule(
        name="sequential.{norm_module}.norm.scale",
        parts=(Part(name="model.norm.weight", rows="hidden"),),
        split=None,
    ),
)
_OUTPUT = (
    Rule(
        name="sequential.{output_module}.final_linear.weight",
        parts=(Part(name="lm_head.weight", rows="vocab", columns="hidden"),),
        split=0,
        is_padded=True,
    ),
)

ROTARY_BUFFER = re.compile(r"(^|\.)rotary_emb\.inv_freq$")
"""Frequencies that old checkpoints of both layouts carry: no weights, but they tell the RoPE base."""


def rules_of(architecture: Architecture) -> Iterator[Rule]:
    """Every tensor of a model, its names written out."""
    num_layers = architecture.num_layers
    yield from _FIRST
    for layer in range(num_layers):
        for rule in (*_LAYER, _GROUPED_QUERY if architecture.is_grouped_query else _MULTI_HEAD):
            yield _named(rule, layer=layer, layer_module=layer + 2)
    for rule in (*_LAST, *(() if architecture.is_tied else _OUTPUT)):
        yield _named(rule, norm_module=num_layers + 3, output_module=num_layers + 4)


def _named(rule: Rule, **numbers: int) -> Rule:
    parts = tuple(dataclasses.replace(part, name=part.name.format(**numbers)) for part in rule.parts)
    return dataclasses.replace(rule, name=rule.name.format(**numbers), parts=parts)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """GPT-NeoX's layout of one model on a number of tensor-parallel ranks, with `rows` vocabulary rows in all."""

    architecture: Architecture
    tensor_parallel: int
    rows: int

    def problems(self) -> list[str]:
        """Why this model cannot be split so, in words; empty if it can."""
        ranks, model = self.tensor_parallel, self.architecture
        counts = {
            "attention heads": model.num_heads,
            "the feed-forward width": model.ffn_width,
            "vocabulary rows": self.rows,
        }
        if model.is_grouped_query:
            counts["key/value heads"] = model.num_kv_heads
        return [f"{ranks} ranks do not divide {count} ({what})" for what, count in counts.items() if count % ranks]

    def hf_shape(self, part: Part) -> tuple[int, ...]:
        """Shape of a Hugging Face tensor."""
        sizes = self.architecture.sizes()
        return (sizes[part.rows],) if part.columns is None else (sizes[part.rows], sizes[part.columns])

    def rank_shape(self, rule: Rule) -> tuple[int, ...]:
        """Shape of a NeoX tensor on one rank."""
        shapes = [self.hf_shape(part) for part in rule.parts]
        shape = [sum(s[0] for s in shapes), *shapes[0][1:]]
        if rule.is_padded:
            shape[0] = self.rows
        if rule.split is not None:
            shape[rule.split] //= self.tensor_parallel
        return tuple(shape)

    def pairs(
        self, rule: Rule, number: int, rank: int, whole: torch.Tensor, on_rank: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views of one shape: part `number` of the rule as it lies in the Hugging Face tensor and on the rank.

        Copying one to the other, either way, is the conversion. Rows of padding are in neither view.
        """
        place = self._place(rule, number, on_rank)
        if rule.split is None:
            return whole, place
        if rule.is_padded:
            start = min(rank * place.shape[0], whole.shape[0])
            length = min(place.shape[0], whole.shape[0] - start)
            return whole[start : start + length], place[:length]
        length = whole.shape[rule.split] // self.tensor_parallel
        return whole.narrow(rule.split, rank * length, length).reshape(place.shape), place

    def _place(self, rule: Rule, number: int, on_rank: torch.Tensor) -> torch.Tensor:
        """The view of a rank's tensor that holds one part."""
        if rule.fusion == "single":
            return on_rank
        if rule.fusion == "head by head":
            head_dim = self.architecture.head_dim
            return on_rank.view(-1, len(rule.parts), head_dim, on_rank.shape[1])[:, number]
        rows = [self.hf_shape(part)[0] // self.tensor_parallel for part in rule.parts]
        return on_rank.narrow(0, sum(rows[:number]), rows[number])

    def padding(self, rule: Rule, rank: int, on_rank: torch.Tensor) -> torch.Tensor:
        """The rank's rows of padding, a view that is mostly empty."""
        if not rule.is_padded:
            return on_rank[:0]
        first = self.architecture.vocab_size - rank * on_rank.shape[0]
        return on_rank[min(max(first, 0), on_rank.shape[0]) :]
