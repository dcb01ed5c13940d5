"""Meta's own forward pass over its own files, in plain torch, written from its program and sharing no code of ours.

Positions turn neighbouring values as complex numbers, which is where the layout differs from Hugging Face's.
Sources: meta-llama/llama llama/model.py (precompute_freqs_cis, apply_rotary_emb, Attention, FeedForward).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

_COLUMNS = ("wo.weight", "w2.weight")


def whole_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The files of all ranks joined: column-parallel layers by rows, row-parallel ones and the embedding by columns."""
    ranks = [torch.load(path, weights_only=True) for path in sorted(folder.glob("consolidated.*.pth"))]
    joined = {}
    for name in ranks[0]:
        pieces = [rank[name] for rank in ranks]
        if "norm" in name:
            joined[name] = pieces[0]
        else:
            joined[name] = torch.cat(pieces, dim=1 if name.endswith(_COLUMNS) or name.startswith("tok_") else 0)
    return joined


def meta_logits(folder: Path, tokens_BS: torch.Tensor) -> torch.Tensor:
    params = json.loads((folder / "params.json").read_text())
    weights = whole_tensors(folder)
    heads, kv_heads, eps = params["n_heads"], params.get("n_kv_heads", params["n_heads"]), params["norm_eps"]
    batch, length = tokens_BS.shape
    width = params["dim"] // heads
    angles = torch.outer(
        torch.arange(length).float(), 1.0 / (params["rope_theta"] ** (torch.arange(0, width, 2).float() / width))
    )
    turns = torch.polar(torch.ones_like(angles), angles)[None, :, None]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weights[name]

    def turned(x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(3)

    x = weights["tok_embeddings.weight"][tokens_BS]
    for i in range(params["n_layers"]):
        at = f"layers.{i}."
        inner = norm(x, f"{at}attention_norm.weight")
        q = turned((inner @ weights[f"{at}attention.wq.weight"].T).view(batch, length, heads, width))
        k = turned((inner @ weights[f"{at}attention.wk.weight"].T).view(batch, length, kv_heads, width))
        v = (inner @ weights[f"{at}attention.wv.weight"].T).view(batch, length, kv_heads, width)
        k, v = (t.repeat_interleave(heads // kv_heads, dim=2) for t in (k, v))
        scores = torch.einsum("bsnd,btnd->bnst", q, k) / math.sqrt(width)
        scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), float("-inf"))
        context = torch.einsum("bnst,btnd->bsnd", scores.softmax(-1), v).reshape(batch, length, -1)
        x = x + context @ weights[f"{at}attention.wo.weight"].T
        inner = norm(x, f"{at}ffn_norm.weight")
        gate, up = (inner @ weights[f"{at}feed_forward.{name}.weight"].T for name in ("w1", "w3"))
        x = x + (torch.nn.functional.silu(gate) * up) @ weights[f"{at}feed_forward.w2.weight"].T
    return norm(x, "norm.weight") @ weights["output.weight"].T
