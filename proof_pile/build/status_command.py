"""proof-pile status: how far a build has come, also while it runs in another terminal, whoever runs it."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, LlemmaError
from proof_pile.build.arguments import add_out_option, out_folder
from proof_pile.build.tables import size_words

CURRENT = "current.json"  # in OUT/steps: {"name", "stages": [{"name", "directories": [folder names]}]}, begun ones only
MAX_LINES = 8
WATCH_S = 2.0
CLEAR = "\033[H\033[2J"
MIN_DONE = 2  # tasks, before the time that is left can be guessed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --out and --watch."""
    add_out_option(parser)
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds until the build ends")


def run(args: argparse.Namespace) -> int:
    """Prints a line a step, what runs now, what failed, and whether a build is running."""
    from proof_pile.build.lock import lock_holder

    out = out_folder(args)
    with contextlib.suppress(KeyboardInterrupt) if args.watch else contextlib.nullcontext():
        while True:
            _show(out, before=CLEAR if args.watch else "")
            if not args.watch or lock_holder(out / "steps") is None:
                break
            time.sleep(WATCH_S)
    return 0


def _show(out: Path, before: str) -> None:
    """Looks first and prints then, so that a terminal that is cleared `before` is not empty for long."""
    from llemma.core.files import read_json
    from proof_pile.build.lock import lock_holder
    from proof_pile.build.stages import STAGES
    from proof_pile.build.tables import print_table

    steps = out / "steps"
    begun: dict[str, list[str]] = {}
    name = out.name
    if (steps / CURRENT).exists():
        current = read_json(steps / CURRENT)
        try:
            name = current["name"]
            begun = {stage["name"]: stage["directories"] for stage in current["stages"]}
        except (TypeError, KeyError):
            raise DamagedFileError(f"{steps / CURRENT}: not what a build writes: run the build again") from None
    holder = lock_holder(steps)
    live = _live(steps, holder)
    if holder is not None:
        since = f" for {span(live['elapsed_s'])}" if live else ""
        who = f", engine {live['engine']}" if live else ""
        state = f"running{since} (process {holder.get('pid', '?')} on {holder.get('host', '?')}{who})"
    elif (out / "manifest.json").exists():
        state = "finished"
    else:
        state = "not running: the same run command goes on from here"
    now = {} if live is None else {stage["name"]: stage for stage in live["stages"]}
    rows = []
    num_complete = 0
    for stage in STAGES:
        tasks, what, counts = _describe(steps, begun.get(stage.name))
        num_complete += what in ("complete", "not asked for")
        pace, left = _pace(now.get(stage.name), is_running=holder is not None)
        rows.append((stage.name, what if what != "complete" else f"{tasks} complete", pace, left, counts))
    print(f"{before}{name} in {out}: {state}; {num_complete} of {len(rows)} steps complete")
    print_table("", ("step", "tasks", "speed", "left", "counts"), rows, num_text=5)
    if live is not None:
        _show_work(live, is_running=holder is not None)


def _live(steps: Path, holder: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the build at work (or the last one, where that has failed) tells of itself; None where it tells nothing."""
    from llemma.core.files import read_json
    from proof_pile.build.engines.journal import FILE

    try:
        live = read_json(steps / FILE)
        if holder is not None and (live["pid"], live["host"]) != (holder.get("pid"), holder.get("host")):
            return None  # of an earlier run: this one has not written yet
        float(live["elapsed_s"])
        for key in ("stages", "running", "failed", "retried"):
            list(live[key])
    except (LlemmaError, OSError, TypeError, KeyError, ValueError):
        return None
    checked: dict[str, Any] = live
    return checked


def _pace(stage: dict[str, Any] | None, *, is_running: bool) -> tuple[str, str]:
    """The speed of a stage in this run and, where it is at work, the time that is left."""
    if stage is None or not stage["done"] or stage["elapsed_s"] <= 0:
        return "", ""
    per_s = stage["done"] / stage["elapsed_s"]
    if stage["bytes"]:
        speed = f"{size_words(stage['bytes'] / stage['elapsed_s'])}/s"
    else:
        speed = f"{per_s:,.1f} tasks/s" if per_s >= 1 else f"{60 * per_s:,.1f} tasks/min"
    left = stage["total"] - stage["done"] - stage["failed"]
    is_at_work = is_running and stage["at_work"] and stage["done"] >= MIN_DONE
    return speed, span(left / per_s) if is_at_work and left > 0 else ""


def _show_work(live: dict[str, Any], *, is_running: bool) -> None:
    if is_running and live["running"]:
        print(f"\nrunning now ({live['num_running']:,})")
        _print_list([(span(entry["for_s"]), f"{entry['label']}  [{entry['where']}]") for entry in live["running"]])
    for key, title in (("retried", "tried again"), ("failed", "failed")):
        entries = live[key]
        if entries:
            total = sum(stage[key] for stage in live["stages"])
            print(f"\n{title} ({total:,})")
            newest = [("", f"{entry['label']}: {entry['message'].splitlines()[0]}") for entry in reversed(entries)]
            _print_list(newest)


def _print_list(entries: Sequence[tuple[str, str]]) -> None:
    """Lines that fit the terminal; names of files may hold anything, also what would move its cursor."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    for lead, text in entries[:MAX_LINES]:
        line = f"  {lead:>8}  {text}" if lead else f"  {text}"
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)
        print(shown if len(shown) <= width else f"{shown[: width - 3]}...")
    if len(entries) > MAX_LINES:
        print(f"  and {len(entries) - MAX_LINES} more")


def span(seconds: float) -> str:
    """A span of time for a person: 45 s, 12 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _describe(steps: Path, directories: list[str] | None) -> tuple[str, str, str]:
    from llemma.core.steps import StepDirectory
    from proof_pile.build.pipeline import sum_counts

    if directories is None:
        return "", "not begun", ""
    total = missing = 0
    records = []
    for folder in directories:
        try:
            directory = StepDirectory.open(steps / folder)
            absent = set(directory.missing())
            records += [directory.record(number) for number in range(len(directory.tasks)) if number not in absent]
        except (LlemmaError, OSError):  # being made or removed just now
            return "?", "in motion", ""
        total += len(directory.tasks)
        missing += len(absent)
    if not total:
        return "0", "not asked for", ""
    state = "complete" if not missing else f"{total - missing} of {total} done"
    counts = ", ".join(
        f"{name.replace('_', ' ')} {size_words(value) if name.endswith('bytes') else format(value, ',')}"
        for name, value in _shown(sum_counts(records)).items()
    )
    return str(total), state, counts


def _shown(counts: dict[str, float]) -> dict[str, int]:
    """The counts that say most: totals, not those by source, split or reason, but how many were dropped in all."""
    shown = {name: int(value) for name, value in counts.items() if "/" not in name and value}
    for prefix, name in (("dropped/", "dropped"), ("tokens/", "tokens")):
        total = sum(int(value) for key, value in counts.items() if key.startswith(prefix))
        if total:
            shown[name] = total
    return shown
