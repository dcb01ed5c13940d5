"""NeoX's data keys for a mixture: paths, weights and tokenizer.

NeoX changes into its checkout before it reads data, so every path is made absolute, or is put under the folder
that `data_root` names on the cluster.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from llemma.core.errors import ConfigError, Problem
from llemma.core.schemas import Mixture

MAX_DATASETS = 254  # megatron/data/blendable_dataset.py:38 at ea7aefd8 numbers data sets in a byte
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_TOKENIZER_TYPES = {"sentencepiece": "SPMTokenizer", "huggingface": "HFTokenizer"}


def data_keys(mixture: Mixture, mixture_path: Path, data_root: str | None = None) -> dict[str, Any]:
    """NeoX's data keys. Sources without a document in a split are left out of that split.

    Validation and test are weighted as training is, over the sources that have any. NeoX wants all three splits:
    where no source has test documents, the validation shards stand in. Raises ConfigError with all problems.
    """
    root = PurePosixPath(data_root) if data_root else PurePosixPath(os.path.abspath(mixture_path.parent))
    problems = [Problem(str(mixture_path), None, message) for message in _faults(mixture)]
    if problems:
        raise ConfigError(problems)
    keys: dict[str, Any] = {}
    for split, name in _SPLITS.items():
        chosen = _with_documents(mixture, name) or _with_documents(mixture, "validation")
        total = sum(weight for weight, _ in chosen)
        keys[f"{split}_data_paths"] = [str(root / path) for _, path in chosen]
        keys[f"{split}_data_weights"] = [weight if split == "train" else weight / total for weight, _ in chosen]
    keys["data_impl"] = "mmap"
    keys["tokenizer_type"] = _TOKENIZER_TYPES[mixture.tokenizer.kind]
    keys["vocab_file"] = str(root / mixture.tokenizer.path)
    return keys


def _with_documents(mixture: Mixture, split: str) -> list[tuple[float, str]]:
    return [
        (source.weight, source.splits[split].path)
        for source in mixture.sources
        if source.weight > 0 and split in source.splits and source.splits[split].num_documents > 0
    ]


def _faults(mixture: Mixture) -> list[str]:
    faults = []
    if len(mixture.sources) > MAX_DATASETS:
        faults.append(f"{len(mixture.sources)} sources: NeoX blends at most {MAX_DATASETS}")
    for source in mixture.sources:
        if source.weight > 0 and (source.splits.get("train") is None or source.splits["train"].num_tokens == 0):
            faults.append(f"the source '{source.name}' has the weight {source.weight:.4f}, but no training tokens")
    if not _with_documents(mixture, "validation"):
        faults.append("no source has validation documents: NeoX wants training, validation and test data together")
    return faults
