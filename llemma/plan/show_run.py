"""What a plan says of the run as a whole: its stages side by side, and what measured GPU-hours mean."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from llemma.plan.amounts import short, size
from llemma.plan.compile import Plan
from llemma.plan.estimate import checkpoint_sizes, flops_per_token, utilization
from llemma.plan.summary import peak_tflops, stage_gpu_hours


def stages_table(plan: Plan) -> RenderableType:
    """One row a stage, and their sums."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, show_footer=True)
    hours = [stage_gpu_hours(plan, planned) for planned in plan.stages]
    disks = [checkpoint_sizes(planned.config).storage for planned in plan.stages]
    known = [hour for hour in hours if hour is not None]
    tokens = sum(planned.tokens for planned in plan.stages)
    iterations = sum(planned.config.last_iteration for planned in plan.stages)
    all_hours = f"{sum(known):,.0f}" if len(known) == len(hours) else "?"
    table.add_column("stage", "all", overflow="fold", header_style="dim", footer_style="bold")
    table.add_column("goes on from", overflow="fold", header_style="dim")
    for title, footer in (
        ("iterations", f"{iterations:,}"),
        ("tokens", short(tokens)),
        ("GPU-hours", all_hours),
        ("storage", size(sum(disks))),
    ):
        table.add_column(title, footer, justify="right", header_style="dim", footer_style="bold")
    for planned, hour, disk in zip(plan.stages, hours, disks, strict=True):
        before = planned.before
        table.add_row(
            escape(planned.stage.name),
            escape(f"{before.stage.name} at {planned.start_iteration:,}") if before else "",
            f"{planned.config.last_iteration:,}",
            short(planned.tokens),
            "?" if hour is None else f"{hour:,.0f}",
            size(disk),
        )
    return Padding(table, (1, 0, 1, 2), expand=False)


def utilization_rows(plan: Plan, hours: float, tokens: float | None) -> list[tuple[str, str]]:
    """The MFU that measured GPU-hours mean, over the plan's own mix of stages."""
    peak = peak_tflops(plan)
    planned = sum(stage.tokens for stage in plan.stages)
    if peak is None or not planned:
        return [("MFU", "not known: the cluster gives no peak FLOP/s")]
    square = sum(stage.tokens * flops_per_token(stage.config).square for stage in plan.stages) / planned
    causal = sum(stage.tokens * flops_per_token(stage.config).causal for stage in plan.stages) / planned
    count = tokens or planned
    speed = count / (hours * 3600)
    return [
        ("took", f"{hours:,.0f} GPU-hours for {short(count)} tokens: {speed:,.0f} tokens/s on a GPU"),
        (
            "MFU",
            f"{utilization(count, square, hours, peak):.1%} of {peak:g} TFLOP/s "
            f"({utilization(count, causal, hours, peak):.1%} where only the causal triangle counts)",
        ),
    ]
