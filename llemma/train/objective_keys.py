"""What a stage's objective asks of GPT-NeoX's data and packing keys.

NeoX's own rules (ea7aefd8): megatron/training.py:389-470 and 626-830, megatron/data/gpt2_dataset.py:65-68 and 345-365,
megatron/data/pairwise_dataset.py:60-70. `train_impl: normal` with labels is fine-tuning.
"""

from __future__ import annotations

from typing import Any

from llemma.neox.config import NeoxConfig
from llemma.neox.data_overlay import path_keys

_OBJECTIVES = {"normal": "gpt2", "kto": "gpt2", "dpo": "pairwise"}  # train_impl: the dataset_impl that it needs
_NEEDED = {"normal": (), "kto": ("labels", "rewards"), "dpo": ("labels", "rejected", "rejected_labels")}
_SPLITS = ("train", "valid")


def objective_problems(config: NeoxConfig) -> list[tuple[str, str]]:
    """(key, message) for everything that keeps a stage from being trained towards what `train_impl` names."""
    values = config.other
    found: list[tuple[str, str]] = []

    def problem(key: str, wanted: str) -> None:
        value = values.get(key, getattr(config, key, None))
        text = repr(value)
        found.append((key, f"'{key}' is {text if len(text) <= 40 else text[:37] + '...'}, but {wanted}"))

    kind, packing = values.get("train_impl", "normal"), values.get("pack_impl", "packed")
    if kind not in _OBJECTIVES:
        problem("train_impl", "the embedded trainer trains towards 'normal', 'dpo' and 'kto': run this on GPT-NeoX")
        return found
    if values.get("dataset_impl", "gpt2") != _OBJECTIVES[kind]:
        problem("dataset_impl", f"train_impl '{kind}' reads '{_OBJECTIVES[kind]}'")
    found += _path_problems(config, kind)
    if kind != "normal" and packing != "unpacked":
        problem("pack_impl", f"{kind} compares whole answers: it must be 'unpacked'")
    if kind == "normal" and packing == "unpacked" and not values.get("train_label_data_paths"):
        problem("pack_impl", "leaving documents unpacked needs train_label_data_paths")
    if kind != "normal" and values.get(f"{kind}_beta", 0.1) <= 0:
        problem(f"{kind}_beta", "must be above 0, or nothing is learnt")
    for key in ("kto_desirable_weight", "kto_undesirable_weight"):
        if values.get(key, 1.0) < 0:
            problem(key, "must be at least 0")
    if kind == "kto" and config.train_micro_batch_size_per_gpu % 2:
        problem("train_micro_batch_size_per_gpu", "KTO compares the halves of a micro-batch: it must be even")
    return found


def _path_problems(config: NeoxConfig, kind: str) -> list[tuple[str, str]]:
    """Data that are missing for an objective, and data that it would pass over."""
    found = []
    read: set[str] = set()
    for split in _SPLITS:
        keys = path_keys(split, is_pairs=kind == "dpo")
        read |= {keys[name] for name in ("tokens", "labels", *_NEEDED[kind])}
        is_there = bool(_paths(config, keys["tokens"]))
        if split == "train" and not is_there:
            found.append((keys["tokens"], f"'{keys['tokens']}' is missing: it names the data to train on"))
        if split == "train" or is_there:
            found += [
                (keys[name], f"'{keys[name]}' is missing: train_impl '{kind}' needs it")
                for name in _NEEDED[kind]
                if not _paths(config, keys[name])
            ]
        every = {key for is_pairs in (False, True) for key in path_keys(split, is_pairs=is_pairs).values()}
        found += [
            (key, f"'{key}' stands there, but train_impl '{kind}' does not read it: leave it out")
            for key in sorted(every - read)
            if _paths(config, key)
        ]
    return found


def _paths(config: NeoxConfig, key: str) -> list[Any]:
    return list(getattr(config, key, None) or config.other.get(key) or [])
