"""proof-pile status: how far a build has come, also while it runs in another terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from llemma.core.errors import DamagedFileError, LlemmaError
from proof_pile.build.arguments import add_out_option, out_folder

CURRENT = "current.json"  # in OUT/steps: {"name", "stages": [{"name", "directories": [folder names]}]}, begun ones only


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --out."""
    add_out_option(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a line a step, and whether a build is running."""
    from llemma.core.files import read_json
    from proof_pile.build.lock import lock_holder
    from proof_pile.build.stages import STAGES
    from proof_pile.build.tables import print_table

    out = out_folder(args)
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
    rows = [(stage.name, *_describe(steps, begun.get(stage.name))) for stage in STAGES]
    holder = lock_holder(steps)
    if holder is not None:
        state = f"running (process {holder.get('pid', '?')} on {holder.get('host', '?')})"
    elif (out / "manifest.json").exists():
        state = "finished"
    else:
        state = "not running: the same run command goes on from here"
    print(f"{name} in {out}: {state}")
    print_table("", ("step", "tasks", "state", "counts"), rows, num_text=4)
    return 0


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
    state = "complete" if not missing else f"{total - missing} of {total} complete"
    counts = ", ".join(f"{name} {value:,}" for name, value in _shown(sum_counts(records)).items())
    return str(total), state, counts


def _shown(counts: dict[str, float]) -> dict[str, int]:
    """The counts that say most: totals, not those by source, split or reason, but how many were dropped in all."""
    shown = {name: int(value) for name, value in counts.items() if "/" not in name and value}
    for prefix, name in (("dropped/", "dropped"), ("tokens/", "tokens")):
        total = sum(int(value) for key, value in counts.items() if key.startswith(prefix))
        if total:
            shown[name] = total
    return shown
