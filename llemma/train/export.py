"""The finished model as a Hugging Face folder, with the tokenizer that made its data.

RUN/export/hf/{model.safetensors, config.json, generation_config.json, tokenizer files, record.json}
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from llemma.checkpoint.hf_files import CARRIED_NAMES
from llemma.checkpoint.tensors import dtype_name
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import atomic_folder, read_json, remove_leftovers, sha256_file, write_json
from llemma.core.records import write_record
from llemma.train.model.weights import load_model, stored_weights, write_model_config, write_tensors
from llemma.train.preflight import TokenizerFacts
from llemma.train.settings import Settings

GENERATION_CONFIG = "generation_config.json"  # written here; a tokenizer's folder may hold that of another model


def export_model(checkpoint: Path, folder: Path, settings: Settings, tokenizer: TokenizerFacts) -> bool:
    """Writes a checkpoint as a Hugging Face folder, whole or not at all; False if it is there already.

    The weights are stored in the precision of the run: bf16 where matrices were multiplied in bf16, else fp32.
    """
    source = sha256_file(checkpoint / "model.safetensors")
    if _is_exported(folder, source):
        return False
    model = load_model(checkpoint, torch.device("cpu"))
    dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    with atomic_folder(folder, replace=True) as partial:
        write_tensors(stored_weights(model, dtype), partial / "model.safetensors")
        config = model.config.for_export(
            max_positions=settings.config.max_position_embeddings, eos_token_id=tokenizer.eod_id
        )
        write_model_config(config, partial, dtype_name(dtype))
        generation = {"eos_token_id": tokenizer.eod_id, "do_sample": False}
        if config.carried.get("bos_token_id") is not None:
            generation["bos_token_id"] = config.carried["bos_token_id"]
        write_json(partial / GENERATION_CONFIG, generation)
        for name in CARRIED_NAMES:
            if name != GENERATION_CONFIG and (tokenizer.folder / name).is_file():
                shutil.copyfile(tokenizer.folder / name, partial / name)
        write_record(
            partial / "record.json",
            kind="exported-model",
            config={"stage": settings.stage, "precision": settings.precision},
            outputs=sorted(path for path in partial.iterdir() if path.name != "record.json"),
            counts={"parameters": sum(parameter.numel() for parameter in model.parameters())},
            checkpoint={"name": checkpoint.name, "model_sha256": source},
        )
    remove_leftovers(folder.parent)
    return True


def _is_exported(folder: Path, source: str) -> bool:
    try:
        record = read_json(folder / "record.json")
        return bool(record["checkpoint"]["model_sha256"] == source)
    except (InputError, DamagedFileError, KeyError, TypeError):
        return False
