"""The section of the page that sets the plan's estimates beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llemma.core.pages.html import escape, not_run, table
from llemma.core.pages.numbers import (
    format_bytes,
    format_count,
    format_flops,
    format_seconds,
    format_share,
    format_small,
)
from llemma.report.inputs import RunData, StageMetrics

_BYTE_PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "allowance")


def cost_section(data: RunData) -> str:
    """Each stage's estimates beside its measurements, then everything that the planner estimated."""
    estimates = data.record.estimates
    by_name = {str(stage.get("name")): stage for stage in estimates.get("stages") or () if isinstance(stage, Mapping)}
    parts = []
    if not data.has_training:
        parts.append(not_run("No speed has been measured yet.", f"llemma train {data.path}"))
    for stage in data.stages:
        rows = _compared(stage, by_name.get(stage.name, {}), estimates)
        if rows:
            head = ["quantity", "estimate", "measured"]
            parts.append(table(head, rows, caption=f"Stage: {stage.name}", numeric=(1, 2)))
    flat = flat_estimates(estimates)
    if flat:
        rows = [[escape(name), escape(value)] for name, value in flat]
        inner = table(["quantity", "estimate"], rows, caption="Estimated when the run was planned", numeric=(1,))
        parts.append(f"<details><summary>All estimates of the plan ({len(rows)})</summary>{inner}</details>")
    return "".join(parts)


def _compared(stage: StageMetrics, estimate: Mapping[str, Any], overall: Mapping[str, Any]) -> list[list[str]]:
    """Rows of quantity, estimate and measurement; a quantity known on neither side is left out."""
    speed = stage.tokens_per_s
    seconds = stage.seconds or None
    gpus = _number(overall.get("num_gpus")) or 1
    gpu_hours = _number(estimate.get("gpu_hours"))
    wall_s = None if gpu_hours is None else gpu_hours * 3600 / gpus
    flops = _number(estimate.get("flops_per_token_square"))
    peak = _number(overall.get("peak_tflops"))
    mfu = _number(overall.get("mfu"))
    reached = None if flops is None or speed is None else flops * speed / gpus
    memory = estimate.get("memory_per_gpu_bytes")
    memory_total = _number(memory.get("total")) if isinstance(memory, Mapping) else None
    planned_tokens = stage.planned_tokens
    planned_speed = planned_tokens / wall_s if planned_tokens and wall_s else None
    rows = [
        ("steps", _shown(stage.planned_iterations, format_count), _shown(stage.last_iteration or None, format_count)),
        ("tokens", _shown(planned_tokens, format_count), _shown(stage.tokens or None, format_count)),
        ("time", _shown(wall_s, format_seconds), _shown(seconds, format_seconds)),
        ("tokens per second (median)", _shown(planned_speed, format_count), _shown(speed, format_count)),
        (
            "tokens per second (whole stage)",
            "",
            _shown(stage.tokens / seconds if seconds and stage.tokens else None, format_count),
        ),
        (
            "model speed per device",
            _shown(peak * mfu * 1e12 if peak and mfu else None, format_flops),
            _shown(reached, format_flops),
        ),
        (
            "share of the peak (MFU)",
            _shown(mfu, format_share),
            _shown(stage.mfu or (reached / (peak * 1e12) if reached is not None and peak else None), format_share),
        ),
        ("memory per device", _shown(memory_total, format_bytes), ""),
        ("one checkpoint", _shown(_number(estimate.get("checkpoint_bytes")), format_bytes), ""),
    ]
    return [[name, planned, measured] for name, planned, measured in rows if planned or measured]


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(value: float | None, form: Any) -> str:
    return "" if value is None else escape(form(value))


def flat_estimates(estimates: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plan's estimates as rows of a name and a value with its unit; the unit is told by the name's ending."""
    rows: list[tuple[str, str]] = []

    def walk(words: tuple[str, ...], value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if key != "name":
                    walk((*words, str(key)), inner)
        elif isinstance(value, list | tuple):
            for number, inner in enumerate(value, start=1):
                own = inner.get("name") if isinstance(inner, Mapping) else None
                walk((*words[:-1], str(own or number)), inner)
        elif value is not None:
            name = ", ".join(word.removesuffix("_bytes").replace("_", " ") for word in words)
            rows.append((name, _with_unit(words, value)))

    walk((), estimates)
    return rows


def _with_unit(words: tuple[str, ...], value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if any("bytes" in word for word in words) or words[-1] in _BYTE_PARTS:
        return format_bytes(value)
    if words[-1].endswith(("_s", "seconds")) and "per" not in words[-1]:
        return format_seconds(value)
    if words[-1].endswith("hours"):
        return format_seconds(value * 3600) if value < 1 else f"{value:,.1f} h"
    if 0 < abs(value) < 0.01:
        return format_small(value)
    return format_count(value)
