"""Tiny Llama models in Hugging Face's form, random and reproducible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Saves a model with large random weights (small ones would hide a fault) and returns its folder."""

    def make(
        name: str = "model",
        kv_heads: int = 4,
        vocab: int = 97,
        tied: bool = False,
        base: float = 1e6,
        dtype: str = "float32",
        heads: int = 4,
        ffn: int = 256,
        layers: int = 2,
        **save: object,
    ) -> Path:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=vocab,
            hidden_size=heads * 8,
            intermediate_size=ffn,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": base},
            tie_word_embeddings=tied,
        )
        torch.manual_seed(7)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for tensor_name, parameter in model.named_parameters():
                if "norm" in tensor_name:
                    parameter.copy_(1.0 + 0.3 * torch.randn_like(parameter))
                else:
                    parameter.copy_(0.15 * torch.randn_like(parameter))
        folder = tmp_path / name
        model.to(getattr(torch, dtype)).save_pretrained(folder, **save)
        return folder

    return make
