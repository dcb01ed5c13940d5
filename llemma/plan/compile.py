"""A recipe compiled: overlays, cluster and stage become one set of NeoX keys per stage, with every reason against it.

Nothing is written here. A plan that cannot work comes back with `problems`, all of them, each saying where it comes
from; `warnings` are what works but should be known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from llemma.core.config import YamlFile, check_config, load_yaml
from llemma.core.errors import ConfigError, InputError, LlemmaError
from llemma.guard.steps import GuardPolicy
from llemma.neox import units
from llemma.neox.config import NeoxConfig
from llemma.neox.data_overlay import data_keys
from llemma.neox.overlays import merge_overlays
from llemma.plan.checkpoint_check import StartCheckpoint, checkpoint_problems
from llemma.plan.data_check import data_problems, epoch_findings
from llemma.plan.estimate import GIB, memory_per_gpu
from llemma.plan.sources import Data, find_config, read_data
from llemma.stages import Cluster, Recipe, Stage, StageSchedule, StageSource

# Keys that the cluster and the stage decide: an overlay that sets one would be overruled without a word.
CLUSTER_KEYS = (
    "global_num_gpus", "model_parallel_size", "pipe_parallel_size", "gradient_accumulation_steps",
    "distributed_backend", "attention_config",
)  # fmt: skip
RUN_KEYS = ("save", "load", "finetune", "exit_interval", "train_epochs", "eval_tasks")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for: a recipe, and what the command line says beside it."""

    recipe: str
    data: Path | None = None
    init_from: Path | None = None
    cluster: str | None = None
    mfu: float | None = None
    stop_iters: int | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage with its NeoX keys, typed and as written, and the data it will draw."""

    number: int
    stage: Stage
    values: dict[str, Any]
    config: NeoxConfig
    data: Data | None
    schedule: StageSchedule | None
    sources: tuple[StageSource, ...]
    replaced: dict[str, list[Any]]
    overlays: tuple[Path, ...]

    @property
    def directory(self) -> str:
        """Name of the stage's folder."""
        return f"{self.number:02d}-{self.stage.name}"

    @property
    def tokens(self) -> int:
        """Tokens that the stage trains on."""
        return self.config.last_iteration * self.config.tokens_per_iteration


@dataclass(kw_only=True)
class Plan:
    """A compiled recipe. It can be run where `problems` is empty."""

    recipe: Recipe
    recipe_path: Path
    cluster: Cluster
    cluster_path: Path
    mfu: float | None
    init_from: StartCheckpoint | None
    stages: list[PlannedStage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def compile_plan(request: Request) -> Plan:
    """Compiles a recipe. Raises InputError or ConfigError only where recipe or cluster themselves cannot be read."""
    recipe_path = find_config("recipes", request.recipe)
    recipe_file = load_yaml(recipe_path)
    recipe = check_config(recipe_file, Recipe)
    cluster_path = find_config("clusters", request.cluster or recipe.cluster, None if request.cluster else recipe_path)
    cluster = check_config(load_yaml(cluster_path), Cluster)
    plan = Plan(
        recipe=recipe,
        recipe_path=recipe_path,
        cluster=cluster,
        cluster_path=cluster_path,
        mfu=request.mfu or recipe.mfu,
        init_from=StartCheckpoint.find(request.init_from) if request.init_from else None,
    )
    stages = list(recipe.stages)
    if request.stop_iters is not None:
        stages[-1] = stages[-1].model_copy(update={"stop_iters": request.stop_iters})
    parallel = cluster.tensor_parallel * max(1, cluster.pipeline_parallel)
    if cluster.num_gpus % parallel:
        plan.problems.append(
            f"{cluster_path}: {cluster.num_gpus} GPUs do not divide into tensor parallel {cluster.tensor_parallel} x "
            f"pipeline parallel {max(1, cluster.pipeline_parallel)}"
        )
    for number, stage in enumerate(stages, start=1):
        _compile_stage(plan, recipe_file, number, stage, request.data)
    if recipe.start == "noise" and plan.init_from is not None:
        plan.problems.append(f"{recipe_path}: the recipe starts from noise, but --init-from names a checkpoint")
    if plan.init_from is not None and plan.stages:
        found, warnings = checkpoint_problems(plan.init_from, plan.stages[0].config, plan.stages[0].data)
        plan.problems += found
        plan.warnings += warnings
    plan.problems = list(dict.fromkeys(plan.problems))
    plan.warnings = list(dict.fromkeys(plan.warnings))
    return plan


def _compile_stage(plan: Plan, recipe_file: YamlFile, number: int, stage: Stage, data_path: Path | None) -> None:
    """Adds a stage to the plan, or the reasons why it cannot be compiled."""
    recipe = plan.recipe
    place = _Place(recipe_file, number - 1)
    try:
        paths = (
            find_config("models", recipe.model, plan.recipe_path),
            find_config("training", stage.training or recipe.training, plan.recipe_path),
        )
        overlays = merge_overlays(paths)
    except LlemmaError as error:
        plan.problems += str(error).split("\n")
        return
    faults = [
        f"{path}:{line}: '{key}' is the planner's to set, by the cluster, the recipe or the command line"
        for key, (path, line) in overlays.origins.items()
        if key in CLUSTER_KEYS or key in RUN_KEYS
    ]
    plan.problems += faults
    data = _read_stage_data(plan, stage, data_path)
    values = {key: value for key, value in overlays.values.items() if key not in (*CLUSTER_KEYS, *RUN_KEYS)}
    before = dict(values)
    plan.problems += _apply_stage(values, stage, place)
    plan.problems += _apply_cluster(values, plan, stage, place)
    replaced = {key: [before[key], values[key]] for key in before if values.get(key, before[key]) != before[key]}
    if data is not None:
        try:
            values |= data_keys(data.mixture, data.path)
        except ConfigError as error:
            plan.problems += str(error).split("\n")
    try:
        config = NeoxConfig.from_values(values, place.name)
    except LlemmaError as error:
        plan.problems += _with_origins(error, values, overlays.origins)
        return
    plan.problems += _schedule_problems(config, stage, place)
    plan.problems += _guard_problems(stage, place)
    plan.problems += [f"{paths[0]}: {message}" for _, message in config.llama_problems()]
    plan.problems += _memory_problems(config, plan)
    sources = _stage_sources(config, data, recipe)
    if data is not None:
        plan.problems += data_problems(data, config)
    cap = stage.max_epochs or recipe.max_epochs
    too_short, repeated = epoch_findings(sources, cap, place.name)
    plan.problems += too_short
    plan.warnings += repeated
    plan.stages.append(
        PlannedStage(
            number=number,
            stage=stage,
            values=values,
            config=config,
            data=data,
            schedule=_stage_schedule(stage, config),
            sources=sources,
            replaced=replaced,
            overlays=paths,
        )
    )


class _Place:
    """Where a stage stands in its recipe, for messages."""

    def __init__(self, recipe: YamlFile, index: int) -> None:
        self._recipe, self._index = recipe, index
        self.name = f"{recipe.path}:{recipe.line(('stages', index))}"

    def of(self, key: str) -> str:
        return f"{self._recipe.path}:{self._recipe.line(('stages', self._index, key))}"


def _with_origins(
    error: LlemmaError, values: Mapping[str, Any], origins: Mapping[str, tuple[str, int | None]]
) -> list[str]:
    """Problems of the merged keys, told under the overlay and line that set the key they begin with."""
    if not isinstance(error, ConfigError):
        return str(error).split("\n")
    told = []
    for problem in error.problems:
        keys = [name for name in values if problem.message.startswith((f"'{name}'", f"'{name}.", f"{name} is"))]
        path, line = origins.get(keys[0], (None, None)) if keys else (None, None)
        told.append(f"{path}:{line}: {problem.message}" if path else str(problem))
    return told


def _read_stage_data(plan: Plan, stage: Stage, given: Path | None) -> Data | None:
    path = plan.recipe_path.parent / stage.data if stage.data else given
    if path is None:
        return None
    try:
        return read_data(path)
    except LlemmaError as error:
        plan.problems += str(error).split("\n")
        return None


def _apply_stage(values: dict[str, Any], stage: Stage, place: _Place) -> list[str]:
    """Sets what the stage says in place of what the overlays say; all but the batch, which needs the cluster."""
    problems: list[str] = []
    if stage.rope_base is not None:
        values["rotary_emb_base"] = stage.rope_base
    if stage.seq_length is not None:
        values["seq_length"] = stage.seq_length
        values["max_position_embeddings"] = max(stage.seq_length, values.get("max_position_embeddings") or 0)
    if stage.global_batch_size is not None:
        values["train_batch_size"] = stage.global_batch_size
    if stage.tokens is not None:
        batch, length = values.get("train_batch_size"), values.get("seq_length")
        if not batch or not length:
            problems.append(f"{place.of('tokens')}: 'tokens' needs a global batch size, from the stage or an overlay")
        else:
            values["train_iters"] = math.ceil(stage.tokens / (batch * length))
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
            values["warmup"] = units.warmup_fraction(rate.warmup_iters, decay_iters)
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


def _stage_schedule(stage: Stage, config: NeoxConfig) -> StageSchedule | None:
    """The rate that NeoX's keys cannot say."""
    rate = stage.learning_rate
    if rate is None or rate.shape != "warmup-stable-decay" or rate.half_life_iters is None:
        return None
    return StageSchedule(
        style=rate.shape,
        peak_lr=rate.peak,
        min_lr=rate.final,
        warmup_iters=rate.warmup_iters,
        decay_iters=config.decay_iters,
        stable_end_iters=rate.warmup_iters if rate.stable_end_iters is None else rate.stable_end_iters,
        half_life_iters=rate.half_life_iters,
    )


def _apply_cluster(values: dict[str, Any], plan: Plan, stage: Stage, place: _Place) -> list[str]:
    """Sets parallel sizes, accumulation, back end and attention kernel."""
    cluster = plan.cluster
    values |= {
        "global_num_gpus": cluster.num_gpus,
        "model_parallel_size": cluster.tensor_parallel,
        "pipe_parallel_size": cluster.pipeline_parallel,
        "distributed_backend": cluster.backend,
    }
    if isinstance(values.get("num_layers"), int):
        values["attention_config"] = [[[cluster.attention], values["num_layers"]]]
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
            f"{plan.cluster_path}: 'accumulation' is {cluster.accumulation}, but a global batch of {batch} sequences "
            f"needs {accumulation} (micro-batch {micro} x data-parallel {cluster.dp_size})"
        ]
    return []


def _schedule_problems(config: NeoxConfig, stage: Stage, place: _Place) -> list[str]:
    problems = []
    if config.lr_decay_style != "constant" and config.train_iters > config.decay_iters:
        problems.append(
            f"{place.name}: the stage runs for {config.train_iters} iterations, but its {config.lr_decay_style} "
            f"schedule ends at {config.decay_iters}, and past its end NeoX's rate climbs again: lengthen the decay or "
            "shorten the stage"
        )
    if config.warmup_iters >= config.train_iters:
        problems.append(f"{place.name}: the warm-up takes {config.warmup_iters:g} of {config.train_iters} iterations")
    if config.checkpoint_factor is None:
        problems.append(f"{place.name}: 'checkpoint_factor' is missing: the run would leave no checkpoint")
    return problems


def _guard_problems(stage: Stage, place: _Place) -> list[str]:
    try:
        GuardPolicy.model_validate(stage.guard)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        return [f"{place.of('guard')}: 'guard.{'.'.join(map(str, item['loc']))}': {item['msg']}" for item in details]
    return []


def _memory_problems(config: NeoxConfig, plan: Plan) -> list[str]:
    if plan.cluster.memory_gib is None:
        return []
    try:
        needed = memory_per_gpu(config).total / GIB
    except InputError as error:
        return [str(error)]
    if needed <= plan.cluster.memory_gib:
        return []
    return [
        f"{plan.cluster_path}: the plan needs {needed:.1f} GiB a GPU, but {plan.cluster.accelerator} has "
        f"{plan.cluster.memory_gib:g}: raise tensor_parallel, lower the micro-batch, or recompute activations"
    ]


def _stage_sources(config: NeoxConfig, data: Data | None, recipe: Recipe) -> tuple[StageSource, ...]:
    """The stage's sources with the epochs that its tokens make of them."""
    planned = config.last_iteration * config.tokens_per_iteration
    if data is None:
        total = sum(source.weight for source in recipe.sources)
        return tuple(
            StageSource(
                name=source.name,
                weight=source.weight / total,
                tokens=source.tokens,
                epochs=None if source.tokens is None else planned * source.weight / total / source.tokens,
            )
            for source in recipe.sources
        )
    result = []
    for source in data.mixture.sources:
        prefixes = {
            split: str(data.path.parent / shard.path)
            for split, shard in source.splits.items()
            if shard.num_documents > 0 and split in ("train", "validation", "test")
        }
        tokens = source.splits["train"].num_tokens if "train" in source.splits else 0
        epochs = planned * source.weight / tokens if tokens else None
        result.append(StageSource(name=source.name, weight=source.weight, tokens=tokens, epochs=epochs, **prefixes))
    return tuple(result)
