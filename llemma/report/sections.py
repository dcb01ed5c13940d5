"""The sections of the page about data, training, times and origins. Each says "not run" where there is nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llemma.core.pages.figures import Figure
from llemma.core.pages.html import code, escape, not_run, shortened, table
from llemma.core.pages.numbers import format_count, format_seconds, format_share, format_small
from llemma.core.pages.svg import draw
from llemma.report import charts
from llemma.report.inputs import MAX_ROUNDS, RunData, StageMetrics

_MAX_WRITTEN = 2000  # characters of a prompt and of what was written after it


def figures(*wanted: Figure | None) -> str:
    """Those figures that there are, side by side where the window is wide enough."""
    there = [
        f'<figure id="figure-{figure.key}"><figcaption>{escape(figure.title)}</figcaption>{draw(figure)}</figure>'
        for figure in wanted
        if figure is not None
    ]
    return f'<div class="figures">{"".join(there)}</div>' if there else ""


def data_section(data: RunData) -> str:
    """Sources, their tokens and weights, and what was removed from them."""
    if not data.record.mixture:
        return not_run("The run was planned without data.", "python -m proof_pile.build")
    if data.mixture is None:
        return not_run(
            f"There is no mixture at {data.record.mixture}: the data has not been built, or was moved away.",
            "python -m proof_pile.build",
        )
    mixture = data.mixture
    rows = []
    for source in mixture.sources:
        train = source.splits.get("train")
        held = [source.splits[name].num_tokens for name in ("validation", "test") if name in source.splits]
        rows.append(
            [
                escape(source.name),
                escape(source.group),
                f"{train.num_documents:,}" if train else "0",
                f"{train.num_tokens:,}" if train else "0",
                f"{sum(held):,}",
                format_share(source.weight),
                f"{source.epochs:.2f}",
            ]
        )
    head = ["source", "group", "documents", "training tokens", "held-out tokens", "weight", "epochs"]
    composition = table(head, rows, caption=f"Sources of the mixture '{mixture.name}'", numeric=range(2, len(head)))
    total = sum(source.splits["train"].num_tokens for source in mixture.sources if "train" in source.splits)
    intro = (
        f"<p>{format_count(total)} unique training tokens in {len(mixture.sources)} sources, drawn by weight for "
        f"{format_count(mixture.planned_tokens)} planned tokens. Epochs say how often a source is repeated.</p>"
    )
    warnings = (data.manifest or {}).get("warnings")
    told = "".join(
        f'<p class="note">{escape(shortened(str(warning), 1000))}</p>'
        for warning in (warnings[:20] if isinstance(warnings, list) else ())
    )
    shown = figures(charts.mixture_figure(data), charts.removal_figure(data))
    return intro + told + shown + composition + _removals(data)


def _removals(data: RunData) -> str:
    sources = charts.removal_counts(data)
    if not sources:
        return not_run("The build's manifest.json is missing, so removals cannot be shown.")
    rows = []
    for name, counts in sources.items():
        by_reason = sorted(counts["filtered"].items(), key=lambda pair: (-pair[1], pair[0]))
        rows.append(
            [
                escape(name),
                f"{counts['read']:,}",
                f"{counts['quarantined']:,}",
                f"{sum(number for _, number in by_reason):,}",
                *(f"{counts[key]:,}" for key in charts.MARKS),
                f"{counts['kept']:,}",
                ", ".join(f"{escape(reason)} {number:,}" for reason, number in by_reason if number) or "none",
            ]
        )
    head = ["source", "read", "quarantined", "filtered", "exact duplicates", "near-duplicates", "contaminated",
            "kept", "filters, documents each"]  # fmt: skip
    return "<h3>What was removed, and why</h3>" + table(
        head,
        rows,
        caption="Documents by source; quarantined records could not be read",
        numeric=range(1, 8),
        prose=(8,),
    )


def training_section(data: RunData) -> str:
    """Losses, learning rate, and what the guard did."""
    if not data.has_training:
        return not_run("No training step has been taken yet.", f"llemma train {data.path}")
    rows = [_stage_row(stage) for stage in data.stages]
    head = ["stage", "steps", "planned", "tokens", "training loss", "validation loss", "peak learning rate"]
    parts = [
        figures(
            charts.loss_figure(data),
            charts.source_loss_figure(data),
            charts.learning_rate_figure(data),
            charts.speed_figure(data),
        ),
        table(head, rows, caption=f"First and last loss of each stage, {data.loss_unit}", numeric=range(1, len(head))),
        _by_source(data),
        _goodput(data.stages),
        _events(data.stages),
    ]
    return "".join(parts)


def _stage_row(stage: StageMetrics) -> list[str]:
    rates = [line.lr for line in stage.train if line.lr is not None]
    return [
        escape(stage.name),
        f"{len(stage.train) and stage.last_iteration:,}",
        "" if stage.planned_iterations is None else f"{stage.planned_iterations:,}",
        format_count(stage.tokens),
        _first_to_last(line.loss for line in stage.train),
        _first_to_last(line.loss for line in stage.validation),
        format_small(max(rates)) if rates else "",
    ]


def _first_to_last(losses: Iterable[float | None]) -> str:
    known = [loss for loss in losses if loss is not None]
    return f"{known[0]:.3f} → {known[-1]:.3f}" if known else ""


def _by_source(data: RunData) -> str:
    lines = [line for stage in data.stages for line in stage.validation if line.by_source]
    if not lines:
        return ""
    first, last = lines[0].by_source or {}, lines[-1].by_source or {}
    rows = [
        [
            escape(name),
            f"{first[name]:.3f}" if name in first else "",
            f"{last[name]:.3f}" if name in last else "",
            f"{last[name] - first[name]:+.3f}" if name in first and name in last else "",
        ]
        for name in sorted({*first, *last})
    ]
    inner = table(["source", "first", "last", "change"], rows, caption="Validation loss by source", numeric=(1, 2, 3))
    return f"<details><summary>Validation loss by source as a table</summary>{inner}</details>"


def _goodput(stages: Iterable[StageMetrics]) -> str:
    """What of the time was of use, over all attempts."""
    rows = []
    for stage in stages:
        totals = stage.totals
        all_s = totals.useful_seconds + totals.lost_seconds + totals.pause_seconds
        if not totals.attempts or not all_s:
            continue
        seconds = (totals.useful_seconds, totals.lost_seconds, totals.pause_seconds, stage.validation_s)
        counts = (totals.repeated_steps, totals.skipped_steps, totals.rollbacks, totals.excluded_samples)
        rows.append(
            [
                escape(stage.name),
                f"{totals.attempts:,}",
                *(
                    f"{format_seconds(value)} ({format_share(value / all_s, 0)})" if value else "none"
                    for value in seconds
                ),
                *(f"{count:,}" for count in counts),
            ]
        )
    if not rows:
        return ""
    head = ["stage", "attempts", "useful", "made again", "between attempts", "validation", "steps made again",
            "left out", "returns", "samples excluded"]  # fmt: skip
    return table(head, rows, caption="Use of the time, over all attempts of a stage", numeric=range(1, len(head)))


def _events(stages: Iterable[StageMetrics]) -> str:
    events = [(stage, line) for stage in stages for line in stage.events]
    if not events:
        return ""
    shown = [
        [escape(stage.name), f"{line.iteration:,}", escape((line.message or "")[:500])] for stage, line in events[:200]
    ]
    inner = table(["stage", "step", "what happened"], shown, caption="Events while training", numeric=(1,))
    return f"<details><summary>Events while training ({len(events)})</summary>{inner}</details>"


def text_section(data: RunData) -> str:
    """What the model wrote after the same prompts as it was trained."""
    if not any(stage.written for stage in data.stages):
        return not_run("The model was not asked to write while it trained: --sample-every of llemma train does that.")
    parts = []
    for stage in data.stages:
        by_prompt: dict[str, dict[int, dict[float, str]]] = {}
        for one in stage.written:
            by_prompt.setdefault(one.prompt, {}).setdefault(one.iteration, {})[one.temperature] = one.text
        for number, (prompt, rounds) in enumerate(by_prompt.items(), start=1):
            temperatures = sorted({temperature for found in rounds.values() for temperature in found})
            rows = [
                [f"{iteration:,}", *(_written(found.get(temperature, "")) for temperature in temperatures)]
                for iteration, found in rounds.items()
            ]
            head = ["step", *("likeliest" if not one else f"drawn at temperature {one:g}" for one in temperatures)]
            caption = f"Stage {stage.name}, prompt {number}"
            inner = table(head, rows, caption=caption, numeric=(0,), prose=range(1, len(head)))
            opened = " open" if number == 1 and stage is data.stages[0] else ""
            shown = escape(shortened(" ".join(prompt.split()), 120))
            parts.append(
                f"<details{opened}><summary>{escape(stage.name)}: {shown}</summary>"
                f'<pre class="asked">{escape(shortened(prompt, _MAX_WRITTEN))}</pre>{inner}</details>'
            )
    return f"<p>The same prompts at up to {MAX_ROUNDS} steps, from the first to the last.</p>" + "".join(parts)


def _written(text: str) -> str:
    close = re.sub(r"\n\s*\n", "\n\n", text.strip())  # a young model writes many empty lines
    shown = escape(shortened(close, _MAX_WRITTEN)) or "<em>(nothing)</em>"
    return f'<span class="written">{shown}</span>'


def time_section(data: RunData) -> str:
    """How long each stage of the whole way took."""
    if not data.stage_times:
        return not_run("Times of the stages are kept only by the demonstration run.", "llemma demo")
    rows = []
    for stage in data.stage_times:
        budget = stage.get("budget_s")
        rows.append(
            [
                escape(stage["name"]) + (" (not finished)" if stage.get("finished") is False else ""),
                format_seconds(float(stage["seconds"])),
                format_seconds(float(budget)) if isinstance(budget, int | float) else "",
            ]
        )
    total = sum(float(stage["seconds"]) for stage in data.stage_times)
    budgets = sum(
        float(stage["budget_s"]) for stage in data.stage_times if isinstance(stage.get("budget_s"), int | float)
    )
    rows.append(["<strong>all stages</strong>", format_seconds(total), format_seconds(budgets) if budgets else ""])
    return figures(charts.time_figure(data)) + table(
        ["stage", "took", "planned"], rows, caption="Times of all attempts until a stage was finished", numeric=(1, 2)
    )


def origin_section(data: RunData) -> str:
    """Versions of all programs, and the hashes by which data and models can be found again."""
    versions: dict[str, dict[str, str]] = {"plan": dict(data.record.versions)}
    for evaluation in data.evaluations:
        versions[f"eval {evaluation.label}"] = dict(evaluation.results.versions)
    packages = sorted({package for found in versions.values() for package in found})
    rows = [[escape(package), *(escape(found.get(package, "")) for found in versions.values())] for package in packages]
    hashes = [["run planned", escape(data.record.created)]]
    if data.mixture is not None:
        hashes.append(["tokenizer", code(data.mixture.tokenizer.sha256)])
        for source in data.mixture.sources:
            for split, shard in source.splits.items():
                hashes.append([f"{escape(source.name)}, {escape(split)} (.bin)", code(shard.bin_sha256)])
    for evaluation in data.evaluations:
        hashes.append([f"model, eval {escape(evaluation.label)}", code(evaluation.results.model_sha256)])
    return (
        table(["package", *versions], rows, caption="Versions")
        + "<details><summary>Hashes of data and models (SHA-256)</summary>"
        + table(["what", "SHA-256"], hashes, caption="Hashes")
        + "</details>"
    )
