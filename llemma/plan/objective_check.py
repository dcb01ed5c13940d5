"""Whether a stage's training overlay is one for its objective.

GPT-NeoX (ea7aefd8) says the objective in `train_impl` and how documents become samples in `pack_impl`; the rules here
are its own: megatron/training.py:389-470 and 626-760, megatron/data/gpt2_dataset.py:65-68 and 345-365,
megatron/data/pairwise_dataset.py:60-70.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llemma.neox.config import NeoxConfig
from llemma.plan.stage_keys import Place
from llemma.stages import Stage

_TRAIN_IMPL = {"language-modelling": "normal", "sft": "normal", "dpo": "dpo", "kto": "kto"}


def objective_problems(config: NeoxConfig, stage: Stage, place: Place) -> list[str]:
    """Reasons why this overlay does not train towards this objective."""
    other: Mapping[str, Any] = config.other
    objective, wanted = stage.objective, _TRAIN_IMPL[stage.objective]
    found = other.get("train_impl", "normal")
    where = f"{place.of('objective')}: the objective is {objective}"
    if found != wanted:
        return [f"{where}, but the training overlay's train_impl is '{found}', wanted '{wanted}': name another overlay"]
    problems = []
    packing, dataset = other.get("pack_impl", "packed"), other.get("dataset_impl", "gpt2")
    if objective == "dpo" and dataset != "pairwise":
        problems.append(f"{where}, whose pairs of answers need dataset_impl 'pairwise', not '{dataset}'")
    if objective == "dpo" and packing != "unpacked":
        problems.append(
            f"{where}, and NeoX compares the pairs of a row as if they were one: pack_impl must be 'unpacked', not "
            f"'{packing}'"
        )
    if objective == "kto" and packing != "unpacked":
        problems.append(f"{where}, whose rewards belong to whole documents: pack_impl must be 'unpacked'")
    if objective == "kto" and config.train_micro_batch_size_per_gpu % 2:
        problems.append(
            f"{where}, which compares the halves of a micro-batch: train_micro_batch_size_per_gpu is "
            f"{config.train_micro_batch_size_per_gpu}, but must be even"
        )
    weights = [float(other.get(f"kto_{kind}_weight", 1.0)) for kind in ("desirable", "undesirable")]
    if objective == "kto" and weights[0] != weights[1] and config.train_micro_batch_size_per_gpu > 2:
        problems.append(
            f"{where}, and NeoX weighs each half of a micro-batch by its mean weight, so that kto_desirable_weight "
            f"{weights[0]:g} and kto_undesirable_weight {weights[1]:g} blur: make them equal, or "
            f"train_micro_batch_size_per_gpu 2, not {config.train_micro_batch_size_per_gpu}"
        )
    if objective in ("dpo", "kto") and config.pipe_parallel_size:
        problems.append(f"{where}, which NeoX cannot do under pipeline parallelism: pipe_parallel_size must be 0")
    if objective == "language-modelling" and packing == "unpacked":
        problems.append(f"{where}, but NeoX cannot leave documents unpacked without labels: take pack_impl 'packed'")
    return problems
