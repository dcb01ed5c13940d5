"""`llemma plan`: prints what a recipe would do and cost, and with --out writes a run directory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import InputError
from neox_configs import config_names

if TYPE_CHECKING:
    from llemma.plan.compile import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma plan`."""
    recipes, clusters = ", ".join(config_names("recipes")), ", ".join(config_names("clusters"))
    parser.add_argument("recipe", metavar="RECIPE", help=f"a recipe file, or a shipped one: {recipes}")
    parser.add_argument("--data", type=Path, metavar="MIXTURE.json", help="mixture.json of a data build, or its folder")
    parser.add_argument(
        "--init-from", type=Path, metavar="CHECKPOINT", help="the model to go on from: a Hugging Face or a NeoX folder"
    )
    parser.add_argument("--cluster", metavar="C", help=f"a cluster file, or a shipped one: {clusters}")
    parser.add_argument("--mfu", type=_share, help="expected model FLOPs utilization, 0 to 1 (default: the recipe's)")
    parser.add_argument(
        "--stop-iters", type=_positive, metavar="N", help="end the last stage at iteration N, on the same schedule"
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="write a new run directory (default: only print)")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Prints the plan; refuses one that cannot work with all reasons; writes it where --out says."""
    from llemma.plan.compile import Request, compile_plan
    from llemma.plan.show import print_plan

    if args.out is not None:
        from llemma.plan.rundir import refuse_unless_new

        refuse_unless_new(args.out)
    plan = compile_plan(
        Request(
            recipe=args.recipe,
            data=args.data,
            init_from=args.init_from,
            cluster=args.cluster,
            mfu=args.mfu,
            stop_iters=args.stop_iters,
        )
    )
    problems = list(plan.problems)
    if args.out is not None:
        problems += _missing(plan, args.init_from, args.data)
    if problems:
        count = "one reason" if len(problems) == 1 else f"{len(problems)} reasons"
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"this plan cannot work, for {count}:\n{listed}")
    print_plan(plan)
    if args.out is not None:
        from llemma.plan.rundir import write_run

        write_run(plan, args.out)
        from_neox = plan.init_from is not None and plan.init_from.kind == "neox"  # only NeoX itself can load that
        print(f"\nwritten: {args.out}\nnext:    llemma launch {args.out}{' --engine neox' if from_neox else ''}")
    return 0


def _missing(plan: Plan, init_from: Path | None, data: Path | None) -> list[str]:
    """What a run needs and a plan on the screen does not."""
    problems = []
    if plan.recipe.start == "checkpoint" and init_from is None:
        problems.append(
            "--init-from is missing: the recipe goes on from a checkpoint (a recipe with 'start: noise' would begin "
            "with random weights)"
        )
    if data is None and any(stage.data is None for stage in plan.recipe.stages):
        problems.append("--data is missing: name the mixture.json of a data build")
    return problems
