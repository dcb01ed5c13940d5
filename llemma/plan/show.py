"""A plan on the terminal: one table a subject, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from llemma.neox.config import NeoxConfig
from llemma.plan.amounts import plural, short, size
from llemma.plan.compile import Plan, PlannedStage
from llemma.plan.data_check import is_many
from llemma.plan.embedded_memory import embedded_memory
from llemma.plan.estimate import (
    CheckpointSizes,
    checkpoint_sizes,
    count_parameters,
    flops_per_token,
    memory_per_gpu,
    parameters_per_gpu,
)
from llemma.plan.show_run import stages_table, utilization_rows
from llemma.plan.summary import stage_gpu_hours
from llemma.plan.supply import packing_of
from llemma.schedules import Schedule, learning_rate
from llemma.stages import SlurmSettings, StageSource

WIDTH = 100


def print_plan(plan: Plan, console: Console | None = None, took: tuple[float, float | None] | None = None) -> None:
    """Prints a plan without problems; `took`: GPU-hours of a run like it, and its tokens where not the plan's."""
    console = console or _console()
    first = plan.stages[0].config
    console.print(Panel(Text(plan.recipe.title, style="bold"), subtitle=str(plan.recipe_path), expand=True))
    console.print(_facts("Model", _model_rows(first, plan)))
    console.print(_parameters(first))
    console.print(_facts("Machine", _machine_rows(plan)))
    for planned in plan.stages:
        console.print()
        console.rule(f"[bold]Stage {planned.number}: {escape(planned.stage.name)}[/]", align="left")
        console.print(_facts("Schedule", _schedule_rows(planned)))
        if planned.sources:
            console.print(_sources(planned))
        console.print(_costs(plan, planned, like=plan.stages[0]))
    if len(plan.stages) > 1:
        console.print()
        console.rule("[bold]All stages[/]", align="left")
        console.print(stages_table(plan))
    if took is not None:
        console.print(_facts("Measured", utilization_rows(plan, *took)))
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
    slurm = cluster.slurm
    queue = [] if slurm is None else [("Slurm", _slurm(slurm))]
    return [
        ("cluster", f"{cluster.title}"),
        *queue,
        (unit, f"{cluster.num_gpus} = {cluster.nodes} x {cluster.gpus_per_node}"),
        (
            "parallel",
            f"tensor {config.model_parallel_size} · pipeline {max(1, config.pipe_parallel_size)} · data "
            f"{config.dp_size} · ZeRO-{config.zero_stage}",
        ),
        ("precision", _precision(config)),
    ]


def _slurm(slurm: SlurmSettings) -> str:
    partition = f"partition {slurm.partition}, " if slurm.partition else ""
    again = ", then queued again" if slurm.requeue else ""
    return f"{partition}{slurm.time} a job, a checkpoint {slurm.signal_before_end_s} s before its end{again}"


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
        *_start_rows(planned),
        ("tokens", f"{planned.tokens:,} ({short(planned.tokens)})"),
        ("iterations", iterations),
        (
            "a step",
            f"{config.tokens_per_iteration:,} tokens = {config.global_batch_size:,} sequences of {config.seq_length:,}",
        ),
        *_filled_rows(planned),
        (
            "a pass",
            f"micro-batch {config.train_micro_batch_size_per_gpu} x accumulation {config.gradient_accumulation_steps} "
            f"x data-parallel {config.dp_size}",
        ),
        (
            "learning rate",
            _rate(schedule) + ("" if _is_told(schedule, config.last_iteration) else f"; ends with {ends:.3g}"),
        ),
        (
            "optimizer",
            f"AdamW {config.optimizer.params.betas[0]:g}/{config.optimizer.params.betas[1]:g}, weight decay "
            f"{config.weight_decay:g}, clipped at {config.gradient_clipping:g}",
        ),
        ("evaluated", f"every {plural(config.eval_interval, 'iteration')}, on {plural(config.eval_iters, 'batch')}"),
        ("saved", _saved(config)),
    ]
    rows += [("set by the stage", line) for line in _replaced(planned)]
    return rows


def _filled_rows(planned: PlannedStage) -> list[tuple[str, str]]:
    filled = _filled(planned)
    return [] if filled is None else [("", f"{filled:.0%} of these positions hold tokens, the rest is padding")]


def _start_rows(planned: PlannedStage) -> list[tuple[str, str]]:
    """What sets this stage apart from a first stage of language modelling."""
    stage, rows = planned.stage, []
    if planned.before is not None:
        optimizer = "with its optimizer" if stage.carry_optimizer else "with a new optimizer"
        rows.append(("goes on from", f"'{planned.before.stage.name}' at {planned.start_iteration:,}, {optimizer}"))
    if stage.objective != "language-modelling":
        rows.append(("objective", stage.objective.upper()))
    if stage.packing == "isolated":
        rows.append(("packing", "several documents in one sequence, none of which attends to another"))
        rows.append(("", "with the attention kernel 'global', for flash attention cannot keep them apart"))
    return rows


def _rate(schedule: Schedule) -> str:
    warmup = f" after {_iterations(schedule.warmup_iters)}" if schedule.warmup_iters else ""
    if schedule.style == "constant":
        return f"{schedule.peak_lr:.3g}{warmup}, constant"
    if schedule.half_life_iters is not None:
        change = f"halved every {schedule.half_life_iters:,g} from {schedule.stable_end:,g} on"
    else:
        change = f"{schedule.min_lr:.3g} at {schedule.decay_iters:,}"
    return f"{schedule.style}: {schedule.peak_lr:.3g}{warmup}, {change}"


def _iterations(count: float) -> str:
    return plural(int(count), "iteration") if count == int(count) else f"{count:,g} iterations"


def _is_told(schedule: Schedule, last: int) -> bool:
    """True where the rate's description says already what it ends with."""
    return schedule.style == "constant" or (schedule.half_life_iters is None and last == schedule.decay_iters)


def _saved(config: NeoxConfig) -> str:
    text = f"every {config.checkpoint_factor or 0:,} iterations"
    extra = config.other.get("extra_save_iters")
    if extra:
        text += f", and at {', '.join(f'{step:,}' for step in extra)}"
    if config.keep_last_n_checkpoints:
        text += f"; the last {config.keep_last_n_checkpoints} are kept"
    return text


_SHOWN_ELSEWHERE = (
    "train_iters", "lr_decay_iters", "lr_decay_style", "min_lr", "warmup", "optimizer.params.lr",
    "max_position_embeddings", "keep_last_n_checkpoints",
)  # fmt: skip


def _replaced(planned: PlannedStage) -> Iterator[str]:
    """What the stage says against the overlays, one line each; inside a block only what differs."""
    for key, (before, now) in planned.replaced.items():
        for name, old, new in _differences(key, before, now):
            if name not in _SHOWN_ELSEWHERE:
                yield f"{name}: {_value(new)} (overlays: {_value(old)})"


def _differences(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now:
            yield from _differences(f"{name}.{key}", before.get(key), now[key])
    elif before != now:
        yield name, before, now


def _value(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sources(planned: PlannedStage) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 3, 0, 0), show_edge=False)
    table.add_column("source", header_style="dim")
    for title in ("share", "drawn", "tokens there", "epochs"):
        table.add_column(title, justify="right", header_style="dim")
    for source in planned.sources:
        epochs = "?" if source.epochs is None else f"{source.epochs:.2f}"
        many = source.epochs is not None and is_many(source.epochs)
        table.add_row(
            escape(source.name),
            f"{source.weight:.1%}",
            _drawn(planned, source),
            "?" if source.tokens is None else short(source.tokens),
            f"[yellow]{epochs}[/]" if many else epochs,
        )
    title = "Data" if planned.data else "Data (as the recipe plans it; --data brings the measured mixture)"
    return Group(Text(title, style="bold cyan"), Padding(table, (0, 0, 1, 2), expand=False))


def _drawn(planned: PlannedStage, source: StageSource) -> str:
    """Tokens that the stage reads of a source; where samples are padded, those that are no padding."""
    if packing_of(planned.config.other) == "packed":
        return short(planned.tokens * source.weight)
    return "?" if source.epochs is None or source.tokens is None else short(source.epochs * source.tokens)


def _filled(planned: PlannedStage) -> float | None:
    """The share of a step's positions that hold tokens; None where it is not known, or where nothing is padded."""
    if packing_of(planned.config.other) == "packed" or not planned.sources:
        return None
    drawn = [None if s.epochs is None or s.tokens is None else s.epochs * s.tokens for s in planned.sources]
    known = [tokens for tokens in drawn if tokens is not None]
    return min(1.0, sum(known) / planned.tokens) if len(known) == len(drawn) else None


def _costs(plan: Plan, planned: PlannedStage, like: PlannedStage) -> RenderableType:
    config = planned.config
    memory, flops, disk = memory_per_gpu(config), flops_per_token(config), checkpoint_sizes(config)
    limit = plan.cluster.memory_gib
    room = f", which has {limit:g} GiB" if limit else ""
    unit = "process" if plan.cluster.accelerator == "CPU" else "GPU"
    components = [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("reference", memory.reference),
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
    if planned is not like and memory == memory_per_gpu(like.config):
        rows.insert(0, ("memory", f"as in stage {like.number}: {size(memory.total)} on the fullest {unit}"))
        return _facts("Cost", rows)
    return Group(
        Text.assemble((f"Memory on the fullest {unit}", "bold cyan"), f"{room}  ({there} parameters on it)"),
        _parts([(name, size(count)) for name, count in components if count]),
        *_embedded(plan, planned),
        _facts("Cost", rows),
    )


def _embedded(plan: Plan, planned: PlannedStage) -> list[RenderableType]:
    """Memory in the embedded trainer, where the cluster is one process."""
    if plan.cluster.num_gpus > 1:
        return []
    memory = embedded_memory(planned.config)
    components = [(name.replace("_", " "), count) for name, count in asdict(memory).items()]
    return [
        Text("Memory in the embedded trainer", style="bold cyan"),
        _parts([(name, size(count)) for name, count in (*components, ("all", memory.total)) if count]),
    ]


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
