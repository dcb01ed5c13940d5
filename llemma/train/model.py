"""Llama weights in and out of Hugging Face folders, and the loss that GPT-NeoX trains on.

Letters in tensor names: B samples, S positions, V vocabulary rows.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, write_json
from llemma.neox.config import NeoxConfig
from llemma.train.batch import IGNORED, Batch
from llemma.train.settings import Precision


def load_model(folder: Path, device: torch.device, config: NeoxConfig | None = None) -> LlamaForCausalLM:
    """The model of a Hugging Face folder in fp32. Raises InputError if weights are missing or unknown.

    With a configuration it takes that one's RoPE base and length: the same weights, for another stage.
    """
    transformers_logging.disable_progress_bar()
    changes: dict[str, Any] = {}
    if config is not None:
        changes = {
            "rope_parameters": {"rope_type": "default", "rope_theta": float(config.rotary_emb_base)},
            "max_position_embeddings": config.max_position_embeddings,
        }
    try:
        model, report = LlamaForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **changes,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: the weights cannot be loaded ({error})") from None
    except SafetensorError as error:
        raise DamagedFileError(f"{folder}: the weights cannot be read ({error})") from None
    faults = [
        f"{kind.replace('_', ' ')}: {', '.join(sorted(map(str, names))[:5])}" for kind, names in report.items() if names
    ]
    if faults:
        raise InputError(f"{folder}: the weights are not those of its config.json ({'; '.join(faults)})")
    model.to(device)
    model.train()
    return model


def random_model(config: NeoxConfig, device: torch.device) -> LlamaForCausalLM:
    """A model of the configured architecture with random weights, drawn from torch's current random state."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_rows,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_kv_heads_or_all,
            intermediate_size=config.true_ffn_width,
            max_position_embeddings=config.max_position_embeddings,
            rms_norm_eps=config.rms_norm_epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": float(config.rotary_emb_base)},
            tie_word_embeddings=config.tie_embeddings,
            initializer_range=config.init_method_std,
            attn_implementation="sdpa",
            dtype="float32",
        )
    )
    model.to(device)
    model.train()
    return model


def write_model_config(config: LlamaConfig, folder: Path) -> None:
    """Writes config.json with the RoPE base where transformers 5 and where transformers 4 looks for it.

    transformers 5 writes only `rope_parameters`; transformers 4 then reads a base of 10,000 without a word.
    """
    config.save_pretrained(folder)
    value = read_json(folder / "config.json")
    value["rope_theta"] = value["rope_parameters"]["rope_theta"]
    write_json(folder / "config.json", value)


def stored_weights(model: LlamaForCausalLM, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The weights as they are stored, on the CPU; a tied output layer is left out, as Hugging Face does."""
    return {
        name: parameter.detach().to("cpu", dtype).contiguous()
        for name, parameter in model.named_parameters()  # names a shared parameter once, at its first place
    }


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file. Raises OSError where the disk is full, as every other writer does."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))  # safetensors tells the system's error only in words
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None


def token_losses(model: LlamaForCausalLM, batch: Batch, precision: Precision, reduction: str) -> torch.Tensor:
    """Cross-entropy of the next token: the mean over the positions that count, or (`none`) each, shape (B, S)."""
    enabled = precision == "bfloat16"
    with torch.autocast(batch.inputs.device.type, dtype=torch.bfloat16, enabled=enabled):
        logits_BSV = model(
            input_ids=batch.inputs,
            position_ids=batch.positions,
            attention_mask=batch.mask,
            use_cache=False,
        ).logits
    labels = batch.labels
    losses = functional.cross_entropy(
        logits_BSV.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction=reduction
    )
    return losses if reduction != "none" else losses.view(labels.shape)
