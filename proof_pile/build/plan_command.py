"""proof-pile plan: the steps and tasks of a build, and which of them are complete.  Changes nothing."""

from __future__ import annotations

import argparse

from proof_pile.build.arguments import add_build_options, read_order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --recipe, --out, --tokenizer and --eod."""
    add_build_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the plan, as far as it can be told before earlier steps have run."""
    from proof_pile.build.stages import STAGES
    from proof_pile.build.tables import print_table

    order = read_order(args)
    build = order.build
    rows: list[tuple[str, str, str, str]] = []
    waiting = False
    for stage in STAGES:
        if waiting:
            rows.append((stage.name, stage.title, "", "after the steps before it"))
            continue
        state = build.look(stage)
        if not state.num_tasks:
            rows.append((stage.name, stage.title, "0", "not asked for"))
            continue
        if state.num_missing:
            done = state.num_tasks - state.num_missing
            rows.append((stage.name, stage.title, str(state.num_tasks), f"{state.num_missing} to do, {done} complete"))
            waiting = True
            continue
        rows.append((stage.name, stage.title, str(state.num_tasks), "complete"))
        build.settle(stage, state)
    rows.append(("finish", "mixture, overlay, datasheet, manifest, verification", "", "" if waiting else "as needed"))
    print(f"recipe  {order.recipe_path}\nout     {build.out}")
    print_table("", ("step", "what it does", "tasks", "state"), rows, num_text=4)
    return 0
