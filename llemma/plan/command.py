"""`llemma plan`: prints what a recipe would do and cost, and with --out writes a run directory."""

from __future__ import annotations

import argparse
import re
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
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[STAGE=]MIXTURE.json",
        help="mixture.json of a data build, or its folder; with a stage's name for that stage alone (may be repeated)",
    )
    parser.add_argument(
        "--init-from", type=Path, metavar="CHECKPOINT", help="the model to go on from: a Hugging Face or a NeoX folder"
    )
    parser.add_argument("--cluster", metavar="C", help=f"a cluster file, or a shipped one: {clusters}")
    parser.add_argument(
        "--gpu-hours",
        type=_above_zero,
        metavar="H",
        help="GPU-hours that a run like this took: tells the MFU that they mean",
    )
    parser.add_argument(
        "--gpu-hours-tokens", type=_above_zero, metavar="T", help="tokens of those hours (default: the plan's)"
    )
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


def _above_zero(text: str) -> float:
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
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
    data, stage_data = _split_data(args.data)
    plan = compile_plan(
        Request(
            recipe=args.recipe,
            data=data,
            stage_data=stage_data,
            init_from=args.init_from,
            cluster=args.cluster,
            mfu=args.mfu,
            stop_iters=args.stop_iters,
        )
    )
    problems = list(plan.problems)
    if args.out is not None:
        problems += _missing(plan, args.init_from, data, stage_data)
    if problems:
        count = "one reason" if len(problems) == 1 else f"{len(problems)} reasons"
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"this plan cannot work, for {count}:\n{listed}")
    print_plan(plan, took=(args.gpu_hours, args.gpu_hours_tokens) if args.gpu_hours else None)
    if args.out is not None:
        from llemma.plan.rundir import write_run

        write_run(plan, args.out)
        from_neox = plan.init_from is not None and plan.init_from.kind == "neox"  # only NeoX itself can load that
        print(f"\nwritten: {args.out}\nnext:    llemma launch {args.out}{' --engine neox' if from_neox else ''}")
    return 0


def _split_data(words: list[str]) -> tuple[Path | None, dict[str, Path]]:
    """(the mixture for all stages, mixtures by stage). A path that begins like STAGE= is written as ./STAGE=..."""
    everywhere: Path | None = None
    by_stage: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if equals and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            if name in by_stage:
                raise InputError(f"--data {word}: the stage '{name}' has {by_stage[name]} already")
            by_stage[name] = Path(path)
        elif everywhere is not None:
            raise InputError(f"--data {word}: the stages have {everywhere} already; for one stage say STAGE={word}")
        else:
            everywhere = Path(word)
    return everywhere, by_stage


def _missing(plan: Plan, init_from: Path | None, data: Path | None, stage_data: dict[str, Path]) -> list[str]:
    """What a run needs and a plan on the screen does not."""
    problems = []
    if plan.recipe.start == "checkpoint" and init_from is None:
        problems.append(
            "--init-from is missing: the recipe goes on from a checkpoint (a recipe with 'start: noise' would begin "
            "with random weights)"
        )
    stages = plan.recipe.stages
    bare = [stage.name for stage in stages if stage.data is None and data is None and stage.name not in stage_data]
    if bare and len(stages) == len(bare):
        problems.append("--data is missing: name the mixture.json of a data build")
    elif bare:
        problems.append(f"--data is missing for the stages {', '.join(bare)}: --data {bare[0]}=MIXTURE.json")
    return problems
