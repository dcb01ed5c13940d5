"""A plan written as a new run directory, whole or not at all.

RUN/record.json                        RunRecord: recipe, cluster, estimates, mixture, versions
RUN/stages/NN-name/neox.yml            one flat configuration for both engines
RUN/stages/NN-name/stage.json          CompiledStage: where it starts, how far it goes, which data it draws
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.core.files import atomic_folder, write_text
from llemma.core.records import installed_versions
from llemma.core.schemas import RunRecord, StagePlan
from llemma.neox.overlays import render
from llemma.plan.compile import Plan, PlannedStage
from llemma.plan.summary import plan_estimates
from llemma.stages import CompiledStage


def refuse_unless_new(out: Path) -> None:
    """Raises InputError where something stands at a run directory's place already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: this exists already, and a plan is only written to a new folder: give another --out")


def write_run(plan: Plan, out: Path) -> None:
    """Writes the run directory beside its place and renames it when it is whole."""
    refuse_unless_new(out)
    out = Path(os.path.abspath(out))
    with atomic_folder(out) as scratch:
        for planned in plan.stages:
            folder = scratch / "stages" / planned.directory
            folder.mkdir(parents=True)
            values = run_keys(plan, planned, out)
            write_text(folder / "neox.yml", render(values, _header(plan, planned)))
            compiled_stage(plan, planned).write(folder / "stage.json")
        _record(plan).write(scratch)


def run_keys(plan: Plan, planned: PlannedStage, out: Path) -> dict[str, Any]:
    """A stage's NeoX keys with those that name places of the run."""
    values = dict(planned.values)
    values["save"] = str(out / "train" / planned.directory / "checkpoints")
    if planned.number == 1 and plan.init_from is not None and plan.init_from.kind == "neox":
        values["load"] = str(plan.init_from.path)
        values["finetune"] = True  # a foreign checkpoint: its weights, not its optimizer or its iteration
    return values


def compiled_stage(plan: Plan, planned: PlannedStage) -> CompiledStage:
    """What stage.json says."""
    start, init_from = "stage", None
    if planned.number == 1:
        start = "noise" if plan.init_from is None else str(plan.init_from.kind)
        init_from = str(plan.init_from.path) if plan.init_from is not None and start == "hf" else None
    config = planned.config
    return CompiledStage.model_validate(
        {
            "name": planned.stage.name,
            "number": planned.number,
            "directory": planned.directory,
            "objective": planned.stage.objective,
            "start": start,
            "init_from": init_from,
            "start_from": planned.before.directory if planned.before else None,
            "start_iteration": planned.start_iteration,
            "carry_optimizer": planned.stage.carry_optimizer,
            "packing": planned.stage.packing,
            "schedule": planned.schedule,
            "guard": planned.stage.guard,
            "iterations": config.last_iteration,
            "scheduled_iterations": config.train_iters,
            "tokens_per_iteration": config.tokens_per_iteration,
            "tokens": planned.tokens,
            "mixture": str(planned.data.path) if planned.data else None,
            "mixture_sha256": planned.data.sha256 if planned.data else None,
            "sources": planned.sources,
            "replaced": planned.replaced,
        }
    )


def _header(plan: Plan, planned: PlannedStage) -> list[str]:
    overlays = ", ".join(path.name for path in planned.overlays)
    return [
        f"Stage {planned.number} '{planned.stage.name}' of {plan.recipe.title}, rendered by `llemma plan`.",
        f"Overlays: {overlays}; cluster: {plan.cluster_path.name}; recipe: {plan.recipe_path.name}.",
        "In NeoX's units: intermediate_size is 3 x the true width, warmup a share of lr_decay_iters.",
    ]


def _record(plan: Plan) -> RunRecord:
    first = plan.stages[0]
    return RunRecord(
        name=plan.recipe.title,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recipe={
            "file": str(plan.recipe_path),
            **plan.recipe.model_dump(mode="json", exclude_none=True),
            "cluster_file": str(plan.cluster_path),
            "cluster_as_planned": plan.cluster.model_dump(mode="json", exclude_none=True),
            "init_from": str(plan.init_from.path) if plan.init_from else None,
        },
        mixture=str(first.data.path) if first.data else "",
        stages=tuple(
            StagePlan(
                name=planned.stage.name,
                directory=f"stages/{planned.directory}",
                iterations=planned.config.last_iteration,
                tokens=planned.tokens,
            )
            for planned in plan.stages
        ),
        estimates=plan_estimates(plan),
        versions=installed_versions(),
    )
