"""A stage's and a cluster's own words written into the NeoX keys that the overlays gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llemma.core.config import YamlFile
from llemma.neox import units
from llemma.neox.config import NeoxConfig
from llemma.plan.supply import SourceSupply, packing_of
from llemma.stages import Cluster, LearningRate, Stage, StageSchedule

# Keys that the cluster and the stage decide: an overlay that sets one would be overruled without a word.
CLUSTER_KEYS = (
    "global_num_gpus", "model_parallel_size", "pipe_parallel_size", "gradient_accumulation_steps",
    "distributed_backend", "attention_config",
)  # fmt: skip
RUN_KEYS = ("save", "load", "finetune", "exit_interval", "train_epochs", "eval_tasks")


class Place:
    """Where a stage stands in its recipe, for messages."""

    def __init__(self, recipe: YamlFile, index: int) -> None:
        self._recipe, self._index = recipe, index
        self.name = f"{recipe.path}:{recipe.line(('stages', index))}"

    def of(self, key: str) -> str:
        """Path and line of one of the stage's keys."""
        return f"{self._recipe.path}:{self._recipe.line(('stages', self._index, key))}"


def apply_stage(values: dict[str, Any], stage: Stage, supply: Sequence[SourceSupply], place: Place) -> list[str]:
    """Sets what the stage says in place of what the overlays say; all but the batch, which needs the cluster."""
    problems: list[str] = []
    if stage.rope_base is not None:
        values["rotary_emb_base"] = stage.rope_base
    if stage.seq_length is not None:
        values["seq_length"] = stage.seq_length
        values["max_position_embeddings"] = max(stage.seq_length, values.get("max_position_embeddings") or 0)
    if stage.global_batch_size is not None:
        values["train_batch_size"] = stage.global_batch_size
    problems += _apply_length(values, stage, supply, place)
    rate = stage.learning_rate
    if rate is not None and isinstance(values.get("train_iters"), int):
        decay_iters = rate.decay_iters or values["train_iters"]
        optimizer = dict(values.get("optimizer") or {"type": "Adam"})
        params = optimizer.get("params") or {}
        if isinstance(params, dict):  # the typed configuration says what is wrong with another value
            optimizer["params"] = {**params, "lr": rate.peak}
        values |= {
            "optimizer": optimizer,
            "min_lr": rate.final,
            # NeoX has no warm-up-stable-decay: stage.json says it, and the repair 'schedule' makes NeoX follow.
            "lr_decay_style": "constant" if rate.shape == "warmup-stable-decay" else rate.shape,
            "lr_decay_iters": decay_iters,
        }
        try:
            values["warmup"] = units.warmup_fraction(warmup_iters(rate, decay_iters), decay_iters)
        except ValueError as error:
            problems.append(f"{place.of('learning_rate')}: {error}")
    if stage.stop_iters is not None:
        planned = values.get("train_iters")
        if isinstance(planned, int) and stage.stop_iters > planned:
            problems.append(f"{place.of('stop_iters')}: stops at iteration {stage.stop_iters}, but ends at {planned}")
        elif stage.stop_iters != planned:
            values["exit_interval"] = stage.stop_iters
            factor = values.get("checkpoint_factor")
            if isinstance(factor, int) and stage.stop_iters % factor:
                values["extra_save_iters"] = [stage.stop_iters]
    return problems


def _apply_length(values: dict[str, Any], stage: Stage, supply: Sequence[SourceSupply], place: Place) -> list[str]:
    """Iterations from the stage's tokens or epochs; what neither says is the training overlay's to say."""
    if stage.tokens is None and stage.epochs is None:
        return []
    key = "tokens" if stage.tokens is not None else "epochs"
    batch, length = values.get("train_batch_size"), values.get("seq_length")
    if not isinstance(batch, int) or not isinstance(length, int) or batch < 1 or length < 1:
        return [f"{place.of(key)}: '{key}' needs a global batch size, from the stage or an overlay"]
    if stage.epochs is None:
        assert stage.tokens is not None
        values["train_iters"] = math.ceil(stage.tokens / (batch * length))
        return []
    packing = packing_of(values)
    there = [source.samples(packing, length) for source in supply if source.weight > 0]
    known = [samples for samples in there if samples]
    if not known or None in there:
        unit = "documents" if packing == "unpacked" else "tokens"
        return [
            f"{place.of('epochs')}: 'epochs' needs to know how much there is to repeat: name the mixture with --data, "
            f"or write '{unit}' for each of the planned sources"
        ]
    values["train_iters"] = max(1, round(stage.epochs * sum(known) / batch))
    return []


def warmup_iters(rate: LearningRate, decay_iters: int) -> int:
    """Iterations of warm-up of a segment that ends at `decay_iters`."""
    return rate.warmup_iters if rate.warmup_share is None else round(rate.warmup_share * decay_iters)


def stage_schedule(stage: Stage, config: NeoxConfig) -> StageSchedule | None:
    """The rate that NeoX's keys cannot say."""
    rate = stage.learning_rate
    if rate is None or rate.shape != "warmup-stable-decay" or rate.half_life_iters is None:
        return None
    warmup = warmup_iters(rate, config.decay_iters)
    return StageSchedule(
        style=rate.shape,
        peak_lr=rate.peak,
        min_lr=rate.final,
        warmup_iters=warmup,
        decay_iters=config.decay_iters,
        stable_end_iters=warmup if rate.stable_end_iters is None else rate.stable_end_iters,
        half_life_iters=rate.half_life_iters,
    )


def apply_cluster(
    values: dict[str, Any], cluster: Cluster, cluster_path: Path, stage: Stage, place: Place
) -> list[str]:
    """Sets parallel sizes, accumulation, back end and attention kernel."""
    values |= {
        "global_num_gpus": cluster.num_gpus,
        "model_parallel_size": cluster.tensor_parallel,
        "pipe_parallel_size": cluster.pipeline_parallel,
        "distributed_backend": cluster.backend,
    }
    if isinstance(values.get("num_layers"), int):
        # A kernel that takes no mask cannot keep documents apart (llemma/neox_engine/repairs/packing.py).
        kind = "global" if stage.packing == "isolated" else cluster.attention
        values["attention_config"] = [[[kind], values["num_layers"]]]
    micro, batch = values.get("train_micro_batch_size_per_gpu"), values.get("train_batch_size")
    if not isinstance(micro, int) or micro < 1 or cluster.dp_size < 1:
        return []  # the typed configuration says what is wrong with it
    if not isinstance(batch, int):
        values["gradient_accumulation_steps"] = cluster.accumulation or 1
        return []
    accumulation, rest = divmod(batch, micro * cluster.dp_size)
    if rest or accumulation == 0:
        del values["train_batch_size"]  # the typed configuration would give the same reason once more
        return [
            f"{place.name}: a global batch of {batch} sequences does not divide: micro-batch {micro} x data-parallel "
            f"{cluster.dp_size} makes {micro * cluster.dp_size} a pass ({cluster.num_gpus} GPUs, tensor parallel "
            f"{cluster.tensor_parallel})"
        ]
    values["gradient_accumulation_steps"] = accumulation
    if cluster.accumulation is not None and cluster.accumulation != accumulation and stage.global_batch_size is None:
        return [
            f"{cluster_path}: 'accumulation' is {cluster.accumulation}, but a global batch of {batch} sequences "
            f"needs {accumulation} (micro-batch {micro} x data-parallel {cluster.dp_size})"
        ]
    return []


def schedule_problems(
    config: NeoxConfig, schedule: StageSchedule | None, values: Mapping[str, Any], place: Place
) -> list[str]:
    """What is wrong with a stage's rate and length; `values` tells whether it saves anything."""
    problems = []
    style = schedule.style if schedule is not None else config.lr_decay_style
    if style != "constant" and config.train_iters > config.decay_iters:
        problems.append(
            f"{place.name}: the stage runs for {config.train_iters} iterations, but its {style} "
            f"schedule ends at {config.decay_iters}, and past its end NeoX's rate climbs again: lengthen the decay or "
            "shorten the stage"
        )
    if config.warmup_iters >= config.train_iters:
        problems.append(f"{place.name}: the warm-up takes {config.warmup_iters:g} of {config.train_iters} iterations")
    if schedule is not None:
        try:
            schedule.schedule()
        except ValueError as error:
            problems.append(f"{place.of('learning_rate')}: {error}")
    if values.get("checkpoint_factor") is None:
        problems.append(f"{place.name}: 'checkpoint_factor' is missing: the run would leave no checkpoint")
    return problems
