"""Which Hugging Face tensor stands where in GPT-NeoX's and Meta's tensors: the rules as data, one reading of them.

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

Meta's raw format; one file per model-parallel rank:

tensor                                    made of                   split         on each rank as
tok_embeddings.weight                     embed_tokens              columns (Llama 1, 2, Code Llama), rows (Llama 3)
layers.i.attention.wq.weight, wk.weight   q_proj, k_proj            rows          rotary pairs: each head's rows are
                                                                                  0, D/2, 1, D/2 + 1, .. of ours
layers.i.attention.wv.weight              v_proj                    rows
layers.i.attention.wo.weight              o_proj                    columns
layers.i.feed_forward.w1, w3              gate_proj, up_proj        rows
layers.i.feed_forward.w2                  down_proj                 columns
layers.i.attention_norm, ffn_norm, norm   norms                     on every rank
output.weight                             lm_head                   rows

Meta turns neighbouring values of a head together (view_as_complex), Hugging Face and GPT-NeoX its two halves.
Sources: meta-llama/llama llama/model.py (apply_rotary_emb, ParallelEmbedding); transformers' converter of the same.
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

Fusion = Literal["single", "stacked", "head by head", "rotary pairs"]
Form = Literal["neox", "meta", "meta, embedding in rows"]
"""Whose rank files a layout describes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One Hugging Face tensor: its name, and the named axes (see Architecture.sizes) of its rows and columns."""

    name: str
    rows: str
    columns: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One tensor of rank files. `split`: the axis that ranks share (0 rows, 1 columns); None: each has it whole."""

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


def _meta(name: str, part: Part, split: int | None, fusion: Fusion = "single") -> Rule:
    return Rule(name=name, parts=(part,), split=split, fusion=fusion)


_META_LAYER = (
    _meta("layers.{layer}.attention_norm.weight", _LAYER[0].parts[0], None),
    _meta("layers.{layer}.attention.wq.weight", _QUERY_KEY_VALUE[0], 0, "rotary pairs"),
    _meta("layers.{layer}.attention.wk.weight", _QUERY_KEY_VALUE[1], 0, "rotary pairs"),
    _meta("layers.{layer}.attention.wv.weight", _QUERY_KEY_VALUE[2], 0),
    _meta("layers.{layer}.attention.wo.weight", _LAYER[1].parts[0], 1),
    _meta("layers.{layer}.ffn_norm.weight", _LAYER[2].parts[0], None),
    _meta("layers.{layer}.feed_forward.w3.weight", _LAYER[3].parts[0], 0),
    _meta("layers.{layer}.feed_forward.w1.weight", _LAYER[3].parts[1], 0),
    _meta("layers.{layer}.feed_forward.w2.weight", _LAYER[4].parts[0], 1),
)

ROTARY_BUFFER = re.compile(r"(^|\.)rotary_emb\.inv_freq$|^rope\.freqs$")
"""Frequencies that old checkpoints of all layouts carry: no weights, but they tell the RoPE base."""


def rules_of(architecture: Architecture, form: Form = "neox") -> Iterator[Rule]:
    """Every tensor of a model, its names written out."""
    num_layers = architecture.num_layers
    if form != "neox":
        yield _meta("tok_embeddings.weight", _FIRST[0].parts[0], 0 if form.endswith("rows") else 1)
        for layer in range(num_layers):
            for rule in _META_LAYER:
                yield _named(rule, layer=layer)
        yield _meta("norm.weight", _LAST[0].parts[0], None)
        # Meta's program loads an output layer always: in a tied model it is the embedding again.
        yield _meta("output.weight", (_FIRST if architecture.is_tied else _OUTPUT)[0].parts[0], 0)
        return
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
    """One model on a number of tensor-parallel ranks, with `rows` vocabulary rows in all (padding is GPT-NeoX's)."""

    architecture: Architecture
    tensor_parallel: int
    rows: int
    form: Form = "neox"

    def rules(self) -> Iterator[Rule]:
        """Every tensor of a rank's file."""
        return rules_of(self.architecture, self.form)

    def problems(self) -> list[str]:
        """Why this model cannot be split so, in words; empty if it can."""
        ranks, model = self.tensor_parallel, self.architecture
        counts = {
            "attention heads": model.num_heads,
            "the feed-forward width": model.ffn_width,
            "vocabulary rows": self.rows,
        }
        if self.form == "meta":
            counts["the hidden size"] = model.hidden_size
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
        piece = whole.narrow(rule.split, rank * length, length)
        return piece if rule.split == 1 else piece.view(place.shape), place

    def _place(self, rule: Rule, number: int, on_rank: torch.Tensor) -> torch.Tensor:
        """The view of a rank's tensor that holds one part."""
        if rule.fusion == "single":
            return on_rank
        head_dim = self.architecture.head_dim
        if rule.fusion == "rotary pairs":
            return on_rank.view(-1, head_dim // 2, 2, on_rank.shape[1]).transpose(1, 2)
        if rule.fusion == "head by head":
            return on_rank.view(-1, len(rule.parts), head_dim, on_rank.shape[1])[:, number]
        rows = [self.hf_shape(part)[0] // self.tensor_parallel for part in rule.parts]
        return on_rank.narrow(0, sum(rows[:number]), rows[number])
