"""A plan on the terminal: one table a subject, at most 100 columns wide."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from llemma.neox.config import NeoxConfig
from llemma.plan.compile import Plan, PlannedStage
from llemma.plan.data_check import MANY_EPOCHS
from llemma.plan.estimate import (
    GIB,
    CheckpointSizes,
    checkpoint_sizes,
    count_parameters,
    flops_per_token,
    memory_per_gpu,
    parameters_per_gpu,
)
from llemma.plan.summary import stage_gpu_hours
from llemma.schedules import Schedule, learning_rate

WIDTH = 100


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """Prints a plan without problems."""
    console = console or _console()
    first = plan.stages[0].config
    console.print(Panel(Text(plan.recipe.title, style="bold"), subtitle=str(plan.recipe_path), expand=True))
    console.print(_facts("Model", _model_rows(first, plan)))
    console.print(_parameters(first))
    console.print(_facts("Machine", _machine_rows(plan)))
    for planned in plan.stages:
        console.rule(f"[bold]Stage {planned.number}: {escape(planned.stage.name)}[/]", align="left")
        console.print(_facts("Schedule", _schedule_rows(planned)))
        if planned.sources:
            console.print(_sources(planned))
        console.print(_costs(plan, planned))
    for warning in plan.warnings:
        console.print(Padding(Text.assemble(("warning: ", "yellow bold"), warning), (0, 1)))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.width <= WIDTH else Console(highlight=False, width=WIDTH)


def _facts(title: str, rows: list[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=18)
    table.add_column()
    for name, value in rows:
        table.add_row(name, escape(value))
    return Group(Text(title, style="bold cyan"), Padding(table, (0, 0, 1, 2), expand=False))


def _parts(columns: list[tuple[str, str]]) -> RenderableType:
    """One row of numbers under their names; the last is the sum."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name, _ in columns:
        table.add_column(name, justify="right", header_style="dim")
    table.add_row(*(value for _, value in columns[:-1]), f"[bold]{columns[-1][1]}[/]")
    return Padding(table, (0, 0, 1, 2), expand=False)


def _parameters(config: NeoxConfig) -> RenderableType:
    parts = count_parameters(config)
    columns = [
        ("embedding", parts.embedding),
        ("attention", parts.attention),
        ("feed-forward", parts.feed_forward),
        ("norms", parts.norms),
        ("output", parts.output),
        ("all", parts.total),
    ]
    return _parts([(name, short(count)) for name, count in columns])


def _model_rows(config: NeoxConfig, plan: Plan) -> list[tuple[str, str]]:
    parts = count_parameters(config)
    heads = f"{config.num_attention_heads} heads of {config.head_dim}"
    if config.is_grouped_query:
        heads += f", {config.num_kv_heads_or_all} for keys and values (grouped-query)"
    start = "random weights" if plan.recipe.start == "noise" else "a checkpoint, named by --init-from"
    if plan.init_from is not None:
        kind = {"hf": "Hugging Face", "neox": "NeoX", None: "unknown"}[plan.init_from.kind]
        start = f"{plan.init_from.path} ({kind})"
    return [
        ("parameters", f"{parts.total:,}"),
        ("layers", f"{config.num_layers} of width {config.hidden_size:,}, feed-forward {config.true_ffn_width:,}"),
        ("attention", heads),
        ("vocabulary", f"{config.vocab_rows:,} rows, " + ("shared" if config.tie_embeddings else "output not shared")),
        ("RoPE base", f"{config.rotary_emb_base:,}"),
        ("starts from", start),
    ]


def _machine_rows(plan: Plan) -> list[tuple[str, str]]:
    cluster, config = plan.cluster, plan.stages[0].config
    unit = "processes" if cluster.accelerator == "CPU" else "GPUs"
    return [
        ("cluster", f"{cluster.title}"),
        (unit, f"{cluster.num_gpus} = {cluster.nodes} x {cluster.gpus_per_node}"),
        (
            "parallel",
            f"tensor {config.model_parallel_size} · pipeline {max(1, config.pipe_parallel_size)} · data "
            f"{config.dp_size} · ZeRO-{config.zero_stage}",
        ),
        ("precision", _precision(config)),
    ]


def _precision(config: NeoxConfig) -> str:
    if config.precision == "fp32":
        return "fp32"
    reduced = "fp32" if config.fp32_allreduce else config.precision
    return f"{config.precision}, gradients summed in {config.grad_accum_dtype} and reduced in {reduced}"


def _schedule_rows(planned: PlannedStage) -> list[tuple[str, str]]:
    config = planned.config
    schedule = planned.schedule.schedule() if planned.schedule else config.schedule()
    ends = learning_rate(schedule, config.last_iteration)
    iterations = f"{config.last_iteration:,}"
    if config.last_iteration != config.train_iters:
        iterations += f" of {config.train_iters:,} scheduled"
    rows = [
        ("tokens", f"{planned.tokens:,} ({short(planned.tokens)})"),
        ("iterations", iterations),
        (
            "a step",
            f"{config.tokens_per_iteration:,} tokens = {config.global_batch_size:,} sequences of {config.seq_length:,}",
        ),
        (
            "a pass",
            f"micro-batch {config.train_micro_batch_size_per_gpu} x accumulation {config.gradient_accumulation_steps} "
            f"x data-parallel {config.dp_size}",
        ),
        (
            "learning rate",
            f"{schedule.style}: {config.lr:.3g} after {config.warmup_iters:,g} iterations, {_decay(schedule)}; "
            f"ends with {ends:.3g}",
        ),
        (
            "optimizer",
            f"AdamW {config.optimizer.params.betas[0]:g}/{config.optimizer.params.betas[1]:g}, weight decay "
            f"{config.weight_decay:g}, clipped at {config.gradient_clipping:g}",
        ),
        ("evaluated", f"every {config.eval_interval:,} iterations, on {config.eval_iters:,} batches"),
        ("saved", f"every {config.checkpoint_factor or 0:,} iterations"),
    ]
    for key, (before, now) in planned.replaced.items():
        rows.append(("set by the stage", f"{key}: {now} (overlays: {before})"))
    return rows


def _decay(schedule: Schedule) -> str:
    if schedule.half_life_iters is not None:
        return f"halved every {schedule.half_life_iters:,g} from {schedule.stable_end:,g} on"
    return f"{schedule.min_lr:.3g} at {schedule.decay_iters:,}"


def _sources(planned: PlannedStage) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 3, 0, 0), show_edge=False)
    table.add_column("source", header_style="dim")
    for title in ("share", "drawn", "tokens there", "epochs"):
        table.add_column(title, justify="right", header_style="dim")
    for source in planned.sources:
        epochs = "?" if source.epochs is None else f"{source.epochs:.2f}"
        many = source.epochs is not None and source.epochs > MANY_EPOCHS
        table.add_row(
            escape(source.name),
            f"{source.weight:.1%}",
            short(planned.tokens * source.weight),
            "?" if source.tokens is None else short(source.tokens),
            f"[yellow]{epochs}[/]" if many else epochs,
        )
    title = "Data" if planned.data else "Data (as the recipe plans it; --data brings the measured mixture)"
    return Group(Text(title, style="bold cyan"), Padding(table, (0, 0, 1, 2), expand=False))


def _costs(plan: Plan, planned: PlannedStage) -> RenderableType:
    config = planned.config
    memory, flops, disk = memory_per_gpu(config), flops_per_token(config), checkpoint_sizes(config)
    limit = plan.cluster.memory_gib
    room = f", which has {limit:g} GiB" if limit else ""
    unit = "process" if plan.cluster.accelerator == "CPU" else "GPU"
    components = [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("activations", memory.activations),
        ("logits", memory.logits),
        ("CUDA, NCCL", memory.allowance),
        ("all", memory.total),
    ]
    total_flops = planned.tokens * flops.square
    rows = [
        (
            "FLOPs a token",
            f"{short(flops.square)} with the whole attention square, {short(flops.causal)} with the causal triangle",
        ),
        ("FLOPs in all", f"{total_flops:.3g}"),
        ("time", _time(plan, planned)),
        ("checkpoints", _checkpoints(disk)),
    ]
    there = short(parameters_per_gpu(config))
    return Group(
        Text.assemble((f"Memory on the fullest {unit}", "bold cyan"), f"{room}  ({there} parameters on it)"),
        _parts([(name, size(count)) for name, count in components if count]),
        _facts("Cost", rows),
    )


def _time(plan: Plan, planned: PlannedStage) -> str:
    hours = stage_gpu_hours(plan, planned)
    if hours is None:
        missing = "the cluster gives no peak FLOP/s" if plan.mfu else "no MFU is stated (--mfu)"
        return f"not estimated: {missing}"
    peak = plan.cluster.peak_tflops[planned.config.precision]
    wall = hours / plan.cluster.num_gpus
    return (
        f"{hours:,.0f} GPU-hours at {plan.mfu:.1%} of {peak:g} TFLOP/s; {wall:,.1f} hours ({wall / 24:.1f} days) "
        f"on {plan.cluster.num_gpus} GPUs"
    )


def _checkpoints(disk: CheckpointSizes) -> str:
    return (
        f"{size(disk.each)} each (weights {size(disk.weights)}, optimizer {size(disk.optimizer)}); {disk.kept} kept: "
        f"{size(disk.storage)}"
    )


def short(count: float) -> str:
    """A count in at most four digits and a letter: 6.74 B."""
    for limit, letter in ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= limit:
            return f"{count / limit:.{_decimals(count / limit)}f} {letter}"
    return f"{count:.0f}"


def size(count: float) -> str:
    """Bytes in binary units: 12.6 GiB."""
    for limit, letter in ((GIB * 1024, "TiB"), (GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= limit:
            return f"{count / limit:.{_decimals(count / limit)}f} {letter}"
    return f"{count:.0f} B"


def _decimals(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
