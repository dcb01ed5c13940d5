"""A plan's estimates as one JSON value, for record.json and for the report.

{"parameters": {part: n, "total": n}, "gpu_hours": h | null, "mfu": share | null, "wall_hours": h | null,
 "stages": [{"name", "iterations", "tokens", "tokens_per_iteration", "flops_per_token_square", "flops_per_token_causal",
             "total_flops", "gpu_hours", "memory_per_gpu_bytes": {component: n, "total": n},
             "checkpoint_bytes", "storage_bytes", "epochs": {source: e}}]}
FLOPs are counted with the whole attention square unless the name says causal; bytes are of the fullest GPU.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from llemma.plan.compile import Plan, PlannedStage
from llemma.plan.estimate import (
    checkpoint_sizes,
    count_parameters,
    flops_per_token,
    gpu_hours,
    memory_per_gpu,
)


def peak_tflops(plan: Plan) -> float | None:
    """The cluster's peak per GPU in the precision of the first stage, where the cluster file gives one."""
    return plan.cluster.peak_tflops.get(plan.stages[0].config.precision) if plan.stages else None


def stage_gpu_hours(plan: Plan, planned: PlannedStage) -> float | None:
    """GPU-hours of one stage at the plan's MFU; None without an MFU or a known peak."""
    peak = plan.cluster.peak_tflops.get(planned.config.precision)
    if plan.mfu is None or peak is None:
        return None
    return gpu_hours(planned.tokens, flops_per_token(planned.config).square, plan.mfu, peak)


def plan_estimates(plan: Plan) -> dict[str, Any]:
    """All estimates of a plan."""
    parameters = count_parameters(plan.stages[0].config)
    hours = [stage_gpu_hours(plan, planned) for planned in plan.stages]
    total = None if None in hours else sum(hour for hour in hours if hour is not None)
    return {
        "parameters": {**asdict(parameters), "total": parameters.total},
        "gpu_hours": total,
        "wall_hours": None if total is None else total / plan.cluster.num_gpus,
        "num_gpus": plan.cluster.num_gpus,
        "accelerator": plan.cluster.accelerator,
        "mfu": plan.mfu,
        "peak_tflops": peak_tflops(plan),
        "stages": [_stage(plan, planned) for planned in plan.stages],
    }


def _stage(plan: Plan, planned: PlannedStage) -> dict[str, Any]:
    config = planned.config
    flops, memory, disk = flops_per_token(config), memory_per_gpu(config), checkpoint_sizes(config)
    return {
        "name": planned.stage.name,
        "iterations": config.last_iteration,
        "tokens": planned.tokens,
        "tokens_per_iteration": config.tokens_per_iteration,
        "flops_per_token_square": flops.square,
        "flops_per_token_causal": flops.causal,
        "total_flops": planned.tokens * flops.square,
        "gpu_hours": stage_gpu_hours(plan, planned),
        "memory_per_gpu_bytes": {**asdict(memory), "total": memory.total},
        "checkpoint_bytes": disk.each,
        "storage_bytes": disk.storage,
        "epochs": {source.name: source.epochs for source in planned.sources},
    }
