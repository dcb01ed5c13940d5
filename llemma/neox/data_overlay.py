"""NeoX's data keys for a mixture: paths, weights, tokenizer, and what an objective needs beside the tokens.

NeoX changes into its checkout before it reads data, so every path is made absolute, or is put under the folder
that `data_root` names on the cluster.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from llemma.core.errors import ConfigError, Problem
from llemma.core.schemas import CompanionShard, Mixture, Objective, Shard

MAX_DATASETS = 254  # megatron/data/blendable_dataset.py:38 at ea7aefd8 numbers data sets in a byte
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_TOKENIZER_TYPES = {"sentencepiece": "SPMTokenizer", "huggingface": "HFTokenizer"}


# What must lie beside each shard for an objective, in words, by its field in mixture.json.
_COMPANIONS: dict[Objective, dict[str, str]] = {
    "language-modelling": {},
    "sft": {"labels": "labels (each token, or -100 where the loss does not count)"},
    "kto": {
        "labels": "labels (each token, or -100 where the loss does not count)",
        "rewards": "rewards (1 for a wanted answer, -1 for an unwanted one)",
    },
    "dpo": {
        "labels": "labels (each token, or -100 where the loss does not count)",
        "rejected": "the rejected answers",
        "rejected_labels": "the labels of the rejected answers",
    },
}
# NeoX's key for a shard and for what lies beside it; {} is train, valid or test.
_PATH_KEYS = {"tokens": "{}_data_paths", "labels": "{}_label_data_paths", "rewards": "{}_reward_data_paths"}
_PAIR_KEYS = {
    "tokens": "pos_{}_data_paths",
    "labels": "pos_{}_label_data_paths",
    "rejected": "neg_{}_data_paths",
    "rejected_labels": "neg_{}_label_data_paths",
}


def path_keys(split: str, *, is_pairs: bool) -> dict[str, str]:
    """NeoX's keys for the tokens of a split (train, valid or test), and by its name for what lies beside them."""
    return {name: key.format(split) for name, key in (_PAIR_KEYS if is_pairs else _PATH_KEYS).items()}


def data_keys(
    mixture: Mixture,
    mixture_path: Path,
    data_root: str | None = None,
    objective: Objective = "language-modelling",
) -> dict[str, Any]:
    """NeoX's data keys. Sources without a document in a split are left out of that split.

    Validation and test are weighted as training is, over the sources that have any. NeoX wants all three splits:
    where no source has test documents, the validation shards stand in. Raises ConfigError with all problems.
    """
    root = PurePosixPath(data_root) if data_root else PurePosixPath(os.path.abspath(mixture_path.parent))
    problems = [Problem(str(mixture_path), None, message) for message in _faults(mixture, objective)]
    if problems:
        raise ConfigError(problems)
    keys: dict[str, Any] = {}
    for split, name in _SPLITS.items():
        key_of = path_keys(split, is_pairs=objective == "dpo")
        chosen = _with_documents(mixture, name) or _with_documents(mixture, "validation")
        total = sum(weight for _, weight, _ in chosen)
        keys[key_of["tokens"]] = [str(root / shard.path) for _, _, shard in chosen]
        keys[f"{split}_data_weights"] = [weight if split == "train" else weight / total for _, weight, _ in chosen]
        for companion in _COMPANIONS[objective]:
            beside: list[CompanionShard] = [getattr(shard, companion) for _, _, shard in chosen]
            keys[key_of[companion]] = [str(root / shard.path) for shard in beside]
    keys["data_impl"] = "mmap"
    keys["tokenizer_type"] = _TOKENIZER_TYPES[mixture.tokenizer.kind]
    keys["vocab_file"] = str(root / mixture.tokenizer.path)
    return keys


def _with_documents(mixture: Mixture, split: str) -> list[tuple[str, float, Shard]]:
    return [
        (source.name, source.weight, source.splits[split])
        for source in mixture.sources
        if source.weight > 0 and split in source.splits and source.splits[split].num_documents > 0
    ]


def _faults(mixture: Mixture, objective: Objective) -> list[str]:
    faults = []
    if len(mixture.sources) > MAX_DATASETS:
        faults.append(f"{len(mixture.sources)} sources: NeoX blends at most {MAX_DATASETS}")
    for source in mixture.sources:
        if source.weight > 0 and (source.splits.get("train") is None or source.splits["train"].num_tokens == 0):
            faults.append(f"the source '{source.name}' has the weight {source.weight:.4f}, but no training tokens")
    if not _with_documents(mixture, "validation"):
        faults.append("no source has validation documents: NeoX wants training, validation and test data together")
    for split in _SPLITS.values():
        for name, _, shard in _with_documents(mixture, split):
            missing = [words for key, words in _COMPANIONS[objective].items() if getattr(shard, key) is None]
            if missing:
                faults.append(
                    f"the objective {objective} needs {', and '.join(missing)}, which the source '{name}' has not for "
                    f"its {split} documents"
                )
    return faults
