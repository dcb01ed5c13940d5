"""GPT-NeoX's forward pass over its own rank files, in plain torch, written from its layout and sharing no code of ours.

One process plays all tensor-parallel ranks: each works on its own file alone, and what NeoX sums (all-reduce) or joins
(all-gather) among ranks is summed or joined here. Sources at ea7aefd8: megatron/model/transformer.py (QKV:794-806,
gqa_project, Gated_Activation), positional_embeddings.py (RotaryEmbedding), norms.py (RMSNorm), gpt2_model.py.

Shape suffixes: B batch, S sequence, H hidden, N heads of this rank, K key/value heads of this rank, D head width.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch


def load_ranks(step: Path) -> list[dict[str, torch.Tensor]]:
    files = sorted(step.glob("mp_rank_*_model_states.pt"))
    return [torch.load(file, weights_only=True)["module"] for file in files]


def neox_logits(ranks: list[dict[str, torch.Tensor]], keys: dict[str, Any], tokens_BS: torch.Tensor) -> torch.Tensor:
    """Logits (B, S, padded vocabulary) of a checkpoint under the keys of its NeoX configuration."""
    num_layers, eps = keys["num_layers"], keys["rms_norm_epsilon"]
    x_BSH = _embed(ranks, tokens_BS)
    cos_SD, sin_SD = _rotary(keys, tokens_BS.shape[1])
    for i in range(num_layers):
        name = f"sequential.{i + 2}"
        inner = [_norm(x_BSH, rank[f"{name}.input_layernorm.scale"], eps) for rank in ranks]
        x_BSH = x_BSH + sum(
            _attention(inner[r], rank, name, keys, len(ranks), cos_SD, sin_SD) for r, rank in enumerate(ranks)
        )
        inner = [_norm(x_BSH, rank[f"{name}.post_attention_layernorm.scale"], eps) for rank in ranks]
        x_BSH = x_BSH + sum(_mlp(inner[r], rank, name) for r, rank in enumerate(ranks))
    x_BSH = _norm(x_BSH, ranks[0][f"sequential.{num_layers + 3}.norm.scale"], eps)
    head = f"sequential.{num_layers + 4}.final_linear.weight"
    if not keys["no_weight_tying"]:
        assert head not in ranks[0]
        head = "sequential.0.word_embeddings.weight"
    return torch.cat([x_BSH @ rank[head].T for rank in ranks], dim=-1)


def _embed(ranks: list[dict[str, torch.Tensor]], tokens_BS: torch.Tensor) -> torch.Tensor:
    """Each rank looks up the tokens that lie in its range and gives zeros for the rest; the ranks are summed."""
    total = 0.0
    for r, rank in enumerate(ranks):
        table = rank["sequential.0.word_embeddings.weight"]
        local = tokens_BS - r * table.shape[0]
        inside = (local >= 0) & (local < table.shape[0])
        total = total + table[local.clamp(0, table.shape[0] - 1)] * inside[..., None]
    return total


def _rotary(keys: dict[str, Any], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = keys["hidden_size"] // keys["num_attention_heads"]
    inverse = 1.0 / (keys["rotary_emb_base"] ** (torch.arange(0, width, 2).float() / width))
    angles = torch.outer(torch.arange(length).float(), inverse)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def _rotate(x_BSND: torch.Tensor, cos_SD: torch.Tensor, sin_SD: torch.Tensor) -> torch.Tensor:
    half = x_BSND.shape[-1] // 2
    turned = torch.cat((-x_BSND[..., half:], x_BSND[..., :half]), dim=-1)
    return x_BSND * cos_SD[None, :, None] + turned * sin_SD[None, :, None]


def _norm(x_BSH: torch.Tensor, scale_H: torch.Tensor, eps: float) -> torch.Tensor:
    return scale_H * (x_BSH * torch.rsqrt(x_BSH.pow(2).mean(-1, keepdim=True) + eps))


def _attention(
    x_BSH: torch.Tensor,
    rank: dict[str, torch.Tensor],
    name: str,
    keys: dict[str, Any],
    num_ranks: int,
    cos_SD: torch.Tensor,
    sin_SD: torch.Tensor,
) -> torch.Tensor:
    batch, length = x_BSH.shape[:2]
    heads = keys["num_attention_heads"] // num_ranks
    width = keys["hidden_size"] // keys["num_attention_heads"]
    mixed = x_BSH @ rank[f"{name}.attention.query_key_value.weight"].T
    kv_heads = keys.get("num_kv_heads")
    if not kv_heads or kv_heads == keys["num_attention_heads"]:
        # Head by head: the last axis is [q k v] of head 0, then of head 1, ...
        q, k, v = mixed.view(batch, length, heads, 3 * width).split(width, dim=-1)
    else:
        kv = kv_heads // num_ranks
        q, k, v = mixed.split([heads * width, kv * width, kv * width], dim=-1)
        q = q.view(batch, length, heads, width)
        k = k.view(batch, length, kv, width).repeat_interleave(heads // kv, dim=2)
        v = v.view(batch, length, kv, width).repeat_interleave(heads // kv, dim=2)
    q, k = _rotate(q, cos_SD, sin_SD), _rotate(k, cos_SD, sin_SD)
    scores = torch.einsum("bsnd,btnd->bnst", q, k) / math.sqrt(width)
    hidden_from_future = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden_from_future, float("-inf")).softmax(-1)
    context = torch.einsum("bnst,btnd->bsnd", weights, v).reshape(batch, length, heads * width)
    return context @ rank[f"{name}.attention.dense.weight"].T


def _mlp(x_BSH: torch.Tensor, rank: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """linear1 is [up; gate]: the first half is multiplied by the activated second half."""
    up, gate = (x_BSH @ rank[f"{name}.mlp.linear1.weight"].T).chunk(2, dim=-1)
    return (up * torch.nn.functional.silu(gate)) @ rank[f"{name}.mlp.linear2.weight"].T
