"""Llama weights in and out of Hugging Face folders, and drawn at random."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from llemma.checkpoint.architecture import hf_config
from llemma.checkpoint.hf_files import CONFIG_NAME, HfSource
from llemma.checkpoint.tensors import named_shapes
from llemma.core.errors import DamagedFileError
from llemma.core.files import write_json
from llemma.neox.config import NeoxConfig
from llemma.train.model.config import ModelConfig
from llemma.train.model.initial_weights import weight_std
from llemma.train.model.llama import Llama
from llemma.train.model.tensor_parallel import ALONE, TensorParallel, slice_of


def load_model(
    folder: Path, device: torch.device, config: NeoxConfig | None = None, tensor_parallel: TensorParallel = ALONE
) -> Llama:
    """The model of a Hugging Face folder in fp32, or a process's slice of it.

    With a configuration it takes that one's RoPE base and length: the same weights, for another stage. Raises
    InputError where its weights are not those of its config.json or the model is no plain Llama, DamagedFileError where
    a file cannot be read.
    """
    source = HfSource(folder)
    facts = source.facts()
    described = ModelConfig.read(folder)
    if config is not None:
        described = described.for_stage(config)
    model = _empty_model(described, device, tensor_parallel)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for fact in facts:
            try:
                whole = source.read(fact.name)
            except (OSError, RuntimeError) as error:
                raise DamagedFileError(f"{folder}: {fact.name} cannot be read ({error})") from None
            parameters[fact.name].copy_(slice_of(fact.name, whole, tensor_parallel))
    return model.train()


def random_model(config: NeoxConfig, device: torch.device, tensor_parallel: TensorParallel = ALONE) -> Llama:
    """A model of the configured architecture with random weights, drawn from torch's current random state.

    Every process draws the whole of each weight and keeps its slice: the model does not depend on their number.
    """
    described = ModelConfig.of(config)
    model = _empty_model(described, device, tensor_parallel)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for part, shape in named_shapes(described.architecture):
            whole = torch.empty(shape, device=device)
            whole = whole.fill_(1.0) if len(shape) == 1 else whole.normal_(std=weight_std(part.name, config))
            parameters[part.name].copy_(slice_of(part.name, whole, tensor_parallel))
    return model.train()


def _empty_model(config: ModelConfig, device: torch.device, tensor_parallel: TensorParallel) -> Llama:
    with torch.device("meta"):
        model = Llama(config, tensor_parallel)
    return model.to_empty(device=device)


def write_model_config(config: ModelConfig, folder: Path, dtype: str = "float32") -> None:
    """Writes config.json with the RoPE base where transformers 5 and where transformers 4 looks for it."""
    carried = {key: value for key, value in config.carried.items() if key != "architectures"}
    write_json(folder / CONFIG_NAME, hf_config(config.architecture, carried, dtype))


def stored_weights(model: Llama, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The weights as they are stored, on the CPU; a tied output layer is left out, as Hugging Face does."""
    return {name: parameter.detach().to("cpu", dtype).contiguous() for name, parameter in model.named_parameters()}


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file. Raises OSError where the disk is full, as every other writer does."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))  # safetensors tells the system's error only in words
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
