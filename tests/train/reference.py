"""Llama written down once more in numpy and float64, slow and without any library: what the trainer is held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

Weights = dict[str, np.ndarray]


def load_weights(folder: Path) -> Weights:
    return {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}


def token_losses(
    weights: Weights, tokens: np.ndarray, heads: int = 4, kv_heads: int = 2, base: float = 10_000.0
) -> np.ndarray:
    """Cross-entropy of each next token, shape (samples, positions)."""
    return np.stack([_sample_losses(weights, row, heads, kv_heads, base) for row in tokens])


def _sample_losses(weights: Weights, tokens: np.ndarray, heads: int, kv_heads: int, base: float) -> np.ndarray:
    logs = log_probabilities(weights, tokens[:-1], heads, kv_heads, base)
    return -logs[np.arange(len(logs)), tokens[1:]]


def log_probabilities(
    weights: Weights, tokens: np.ndarray, heads: int = 4, kv_heads: int = 2, base: float = 10_000.0
) -> np.ndarray:
    """Of each token of the vocabulary behind each position of one sample, shape (positions, vocabulary)."""
    x = weights["model.embed_tokens.weight"][tokens]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("model.layers."))
    for layer in range(layers):
        part = {
            name.removeprefix(f"model.layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        x = x + _attention(part, _norm(x, part["input_layernorm.weight"]), heads, kv_heads, base)
        y = _norm(x, part["post_attention_layernorm.weight"])
        gate = y @ part["mlp.gate_proj.weight"].T
        up = y @ part["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ part["mlp.down_proj.weight"].T
    logits = _norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].T
    logits -= logits.max(axis=1, keepdims=True)
    shares: np.ndarray = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * weight


def _attention(part: Weights, x: np.ndarray, heads: int, kv_heads: int, base: float) -> np.ndarray:
    length = len(x)
    query, key, value = (x @ part[f"self_attn.{name}_proj.weight"].T for name in "qkv")
    width = query.shape[1] // heads
    rows = []
    for head in range(heads):
        shared = head // (heads // kv_heads)
        q = _rotate(query[:, head * width : (head + 1) * width], base)
        k = _rotate(key[:, shared * width : (shared + 1) * width], base)
        v = value[:, shared * width : (shared + 1) * width]
        scores = q @ k.T / np.sqrt(width)
        scores[np.triu_indices(length, 1)] = -np.inf
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        rows.append(shares / shares.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(rows, axis=1) @ part["self_attn.o_proj.weight"].T


def _rotate(x: np.ndarray, base: float) -> np.ndarray:
    """Each pair (i, i + width / 2) as a complex number, turned by position × frequency."""
    half = x.shape[1] // 2
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
    turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=1)


def adamw(
    weight: np.ndarray, grad: np.ndarray, lr: float, betas: tuple[float, float], eps: float, decay: float
) -> np.ndarray:
    """The first update of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2)."""
    first, second = (1 - betas[0]) * grad, (1 - betas[1]) * grad**2
    step = first / (1 - betas[0]) / (np.sqrt(second / (1 - betas[1])) + eps)
    return weight - lr * decay * weight - lr * step
