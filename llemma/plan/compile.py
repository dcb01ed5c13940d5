"""A recipe compiled: overlays, cluster and stage become one set of NeoX keys per stage, with every reason against it.

Nothing is written here. A plan that cannot work comes back with `problems`, all of them, each saying where it comes
from; `warnings` are what works but should be known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from llemma.core.config import YamlFile, check_config, load_yaml
from llemma.core.errors import ConfigError, InputError, LlemmaError
from llemma.guard.steps import GuardPolicy
from llemma.neox.config import NeoxConfig
from llemma.neox.data_overlay import data_keys
from llemma.neox.overlays import Overlays, merge_overlays
from llemma.plan.chain import chain_problems, iterations_needed, keep_needed, start_of
from llemma.plan.checkpoint_check import StartCheckpoint, checkpoint_problems
from llemma.plan.data_check import bucket_problems, data_problems, epoch_findings, length_findings
from llemma.plan.estimate import GIB, memory_per_gpu
from llemma.plan.objective_check import objective_problems
from llemma.plan.sources import Data, find_config, read_data
from llemma.plan.stage_keys import (
    CLUSTER_KEYS,
    RUN_KEYS,
    Place,
    apply_cluster,
    apply_stage,
    schedule_problems,
    stage_schedule,
)
from llemma.plan.supply import SourceSupply, packing_of, supplies
from llemma.stages import Cluster, Recipe, Stage, StageSchedule, StageSource


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for: a recipe, and what the command line says beside it."""

    recipe: str
    data: Path | None = None  # for every stage that no other line names
    stage_data: Mapping[str, Path] = field(default_factory=dict)  # by the name of the stage
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
    before: PlannedStage | None = None  # the stage that it begins with
    place: Place

    @property
    def directory(self) -> str:
        """Name of the stage's folder."""
        return f"{self.number:02d}-{self.stage.name}"

    @property
    def tokens(self) -> int:
        """Tokens that the stage trains on."""
        return self.config.last_iteration * self.config.tokens_per_iteration

    @property
    def start_iteration(self) -> int | None:
        """Iteration of the checkpoint that it begins with; None where that is no other stage's."""
        if self.before is None:
            return None
        return self.stage.start_iteration or self.before.config.last_iteration


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
    names = [stage.name for stage in stages]
    plan.problems += [
        f"--data {name}={path}: the recipe has no stage '{name}' (it has: {', '.join(names)})"
        for name, path in request.stage_data.items()
        if name not in names
    ]
    read = functools.cache(merge_overlays)  # most stages share their overlays
    for index in range(len(stages)):
        _compile_stage(plan, recipe_file, stages, index, request, read)
    if recipe.start == "noise" and plan.init_from is not None:
        plan.problems.append(f"{recipe_path}: the recipe starts from noise, but --init-from names a checkpoint")
    if plan.init_from is not None and plan.stages:
        found, warnings = checkpoint_problems(plan.init_from, plan.stages[0].config, plan.stages[0].data)
        plan.problems += found
        plan.warnings += warnings
    plan.problems = list(dict.fromkeys(plan.problems))
    plan.warnings = list(dict.fromkeys(plan.warnings))
    return plan


def _compile_stage(
    plan: Plan,
    recipe_file: YamlFile,
    stages: Sequence[Stage],
    index: int,
    request: Request,
    read: Callable[[tuple[Path, ...]], Overlays],
) -> None:
    """Adds a stage to the plan, or the reasons why it cannot be compiled."""
    recipe, stage, place = plan.recipe, stages[index], Place(recipe_file, index)
    try:
        paths = (
            find_config("models", recipe.model, plan.recipe_path),
            find_config("training", stage.training or recipe.training, plan.recipe_path),
        )
        overlays = read(paths)
    except LlemmaError as error:
        plan.problems += str(error).split("\n")
        return
    faults = [
        f"{path}:{line}: '{key}' is the planner's to set, by the cluster, the recipe or the command line"
        for key, (path, line) in overlays.origins.items()
        if key in CLUSTER_KEYS or key in RUN_KEYS
    ]
    plan.problems += faults
    data = _read_stage_data(plan, stage, request)
    before = next((item for item in plan.stages if item.stage.name == start_of(stages, index)), None)
    planned_sources = stage.sources or recipe.sources
    values = {key: value for key, value in overlays.values.items() if key not in (*CLUSTER_KEYS, *RUN_KEYS)}
    as_written = dict(values)
    supply = supplies(data, planned_sources)
    plan.problems += apply_stage(values, stage, supply, place)
    plan.problems += apply_cluster(values, plan.cluster, plan.cluster_path, stage, place)
    keep_needed(values, iterations_needed(stages, index))
    _draw_anew(values, data, before, index)
    replaced = {key: [old, values[key]] for key, old in as_written.items() if values.get(key, old) != old}
    if data is not None:
        try:
            values |= data_keys(data.mixture, data.path, objective=stage.objective)
        except ConfigError as error:
            plan.problems += str(error).split("\n")
    try:
        config = NeoxConfig.from_values(values, place.name)
    except LlemmaError as error:
        plan.problems += _with_origins(error, values, overlays.origins)
        return
    schedule = stage_schedule(stage, config)
    planned = PlannedStage(
        number=index + 1,
        stage=stage,
        values=values,
        config=config,
        data=data,
        schedule=schedule,
        sources=_stage_sources(config, data, supply),
        replaced=replaced,
        overlays=paths,
        before=before,
        place=place,
    )
    plan.problems += schedule_problems(config, schedule, values, place)
    plan.problems += _guard_problems(stage, place)
    plan.problems += [f"{paths[0]}: {message}" for _, message in config.llama_problems()]
    plan.problems += objective_problems(config, stage, place)
    if before is None and recipe.start == "noise" and stage.objective in ("dpo", "kto"):
        plan.problems.append(
            f"{place.of('objective')}: {stage.objective} compares with the model that the stage starts from, but the "
            "recipe starts from noise: write 'start: checkpoint'"
        )
    plan.problems += _memory_problems(config, plan)
    if before is not None:
        plan.problems += chain_problems(planned, before, place)
    if data is not None:
        plan.problems += data_problems(data, config)
        plan.problems += bucket_problems(data, planned_sources)
        too_long, cut = length_findings(data, config)
        plan.problems += too_long
        plan.warnings += cut
    cap = stage.max_epochs or recipe.max_epochs
    too_short, repeated = epoch_findings(planned.sources, cap, place.name)
    plan.problems += too_short
    plan.warnings += [f"stage '{stage.name}': {text}" if len(stages) > 1 else text for text in repeated]
    plan.stages.append(planned)


def _draw_anew(values: dict[str, Any], data: Data | None, before: PlannedStage | None, index: int) -> None:
    """Another order of documents for a stage over the data of one that it goes on from.

    Each stage draws from the beginning of its own order: with the seed of the other it would see again, first of all,
    the documents that the other began with.
    """
    while data is not None and before is not None:
        if before.data is not None and before.data.sha256 == data.sha256 and isinstance(values.get("seed", 1234), int):
            values["seed"] = values.get("seed", 1234) + index  # NeoX's own default is 1234
            return
        before = before.before


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


def _read_stage_data(plan: Plan, stage: Stage, request: Request) -> Data | None:
    """The stage's mixture: what the command line names for it, else what the recipe does, else what is for all."""
    path = request.stage_data.get(stage.name)
    if path is None:
        path = plan.recipe_path.parent / stage.data if stage.data else request.data
    if path is None:
        return None
    try:
        return read_data(path)
    except LlemmaError as error:
        plan.problems += str(error).split("\n")
        return None


def _guard_problems(stage: Stage, place: Place) -> list[str]:
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


def _stage_sources(config: NeoxConfig, data: Data | None, supply: Sequence[SourceSupply]) -> tuple[StageSource, ...]:
    """The stage's sources with the epochs that its length makes of them."""
    drawn = config.last_iteration * config.global_batch_size
    shards = {} if data is None else {source.name: source.splits for source in data.mixture.sources}
    result = []
    for source in supply:
        there = source.samples(packing_of(config.other), config.seq_length)
        prefixes = {
            split: str(data.path.parent / shard.path)
            for split, shard in shards.get(source.name, {}).items()
            if data is not None and shard.num_documents > 0 and split in ("train", "validation", "test")
        }
        result.append(
            StageSource(
                name=source.name,
                weight=source.weight,
                tokens=source.tokens,
                epochs=drawn * source.weight / there if there else None,
                **prefixes,
            )
        )
    return tuple(result)
