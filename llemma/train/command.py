"""`llemma train RUN`: trains the stages of a run directory here, one after the other, and exports the model.

The same command goes on after any interruption, and says so where there is nothing left to do.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import InputError, MissingPackageError
from llemma.train.acceleration import Acceleration, add_acceleration_arguments, read_acceleration
from llemma.train.places import StagePlaces, export_folder, find_stages, only_trainer, stage_before
from llemma.train.processes import Membership, as_member, chosen_layout, membership, run_together
from llemma.train.watch.options import Watching, add_watch_arguments, read_watch_arguments

if TYPE_CHECKING:
    from llemma.train.preflight import CheckedRun

HANG_TIMEOUT_S = 1800.0  # far beyond any step, validation or checkpoint; chosen by us


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma train`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="a run directory, made with  llemma plan RECIPE --out RUN"
    )
    parser.add_argument(
        "--stage", type=int, metavar="N", help="train only stage N (default: all that are not finished)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor threads (default: one for each core, or what the checkpoint was made with)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to compute (default: a GPU if there is one)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes that train together (default: one for each GPU, or one on a processor): they share the "
        "samples of a step and the optimizer's state (ZeRO-1)",
    )
    parser.add_argument(
        "--tensor-parallel",
        type=int,
        metavar="T",
        help="how many of them hold one model together, each a slice (default: as planned, where it divides N)",
    )
    parser.add_argument(
        "--zero",
        choices=("own", "deepspeed"),
        default="own",
        help="whose optimizer: our own (ZeRO-1), or DeepSpeed's with ZeRO 1 or 2 and offload_optimizer as the stages' "
        "zero_optimization says; a run may change between them at any checkpoint (default: own)",
    )
    parser.add_argument(
        "--hang-timeout",
        type=float,
        default=HANG_TIMEOUT_S,
        metavar="SECONDS",
        help="end with exit code 1 where no step is finished for so long; 0 never does (default: %(default)g)",
    )
    add_acceleration_arguments(parser)
    add_watch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, exports after the last stage, and prints where things lie. Stopped by a signal: 0, by Ctrl-C: 130."""
    for option in ("threads", "processes", "tensor_parallel"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} is {value}, but must be at least 1")
    if not 0 <= args.hang_timeout < 1e6:
        raise InputError(f"--hang-timeout is {args.hang_timeout:g}, but must lie between 0 and 1,000,000 seconds")
    stages = find_stages(args.run)
    if args.stage is not None and not 1 <= args.stage <= len(stages):
        raise InputError(f"--stage is {args.stage}, but {args.run} has the stages 1 to {len(stages)}")
    from llemma.train.preflight import check_layout, check_run
    from llemma.train.processor import prepare_processor

    checked = check_run(stages)
    watching = read_watch_arguments(args)
    acceleration = read_acceleration(args)
    prepare_processor()
    try:
        import safetensors  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingPackageError(str(error.name), "train") from None
    device = _device(args.device, torch.cuda.is_available())
    num_gpus = torch.cuda.device_count() if device == "cuda" else 0
    size, tensor = chosen_layout(args.processes, args.tensor_parallel, checked.settings[0].config, num_gpus)
    for settings in checked.settings:
        check_layout(settings, size // tensor)
    if args.zero == "deepspeed":
        from llemma.train.deepspeed_engine import check_deepspeed

        check_deepspeed(checked.settings, device)
    member = membership()
    if member is not None:
        return as_member(member, lambda: _train(args, checked, watching, acceleration, device, tensor, member))
    if size > 1:
        return run_together(args.run, args.words, size, has_threads=args.threads is not None)
    return _train(args, checked, watching, acceleration, device)


def _train(
    args: argparse.Namespace,
    checked: CheckedRun,
    watching: Watching,
    acceleration: Acceleration,
    kind: str,
    tensor: int = 1,
    member: Membership | None = None,
) -> int:
    """Trains in this process, alone or as a member of several."""
    import torch

    from llemma.train.export import export_model
    from llemma.train.grid import ALONE, joined_grid
    from llemma.train.lasting_output import lasting_output
    from llemma.train.loop import train_stage
    from llemma.train.signals import stop_requested

    stages, grid, device = checked.stages, ALONE, torch.device(kind)
    if member is not None:
        if kind == "cuda":
            device = torch.device("cuda", member.rank)
            torch.cuda.set_device(device)
        grid = joined_grid(member.rank, member.size, tensor, member.init_method, device, args.hang_timeout)
    chosen = range(len(stages)) if args.stage is None else (args.stage - 1,)
    with lasting_output(), stop_requested() as stop:
        watching = dataclasses.replace(watching, stages=tuple(checked.settings[n] for n in chosen), stop=stop)
        for number in chosen:
            stage, settings, tokenizer = stages[number], checked.settings[number], checked.tokenizers[number]
            with only_trainer(stage) if grid.is_first else contextlib.nullcontext():
                outcome = train_stage(
                    stage,
                    settings,
                    tokenizer,
                    stage_before(stages, number, settings.plan.start_from),
                    device=device,
                    num_threads=args.threads,
                    should_stop=stop.is_made,
                    hang_timeout_s=args.hang_timeout or None,
                    grid=grid,
                    engine=args.zero,
                    log=member.log if member is not None else None,
                    watching=watching,
                    acceleration=acceleration,
                )
                if grid.is_first:
                    _print_outcome(stage, outcome.state, outcome.iteration, outcome.tokens_per_s)
                if outcome.state == "stopped":
                    if grid.is_first:
                        print(f"go on with  llemma train {args.run}", flush=True)
                    return stop.exit_code
                if number == len(stages) - 1 and outcome.checkpoint is not None:
                    folder = export_folder(args.run)
                    export_model(outcome.checkpoint, folder, settings, tokenizer)
                    print(f"the model: {folder}", flush=True)
    return 0


def _device(asked: str, has_gpu: bool) -> str:
    if asked == "cuda" and not has_gpu:
        raise InputError("--device is cuda, but torch finds no GPU here: leave it out to train on the processor")
    return "cuda" if asked != "cpu" and has_gpu else "cpu"


def _print_outcome(stage: StagePlaces, state: str, iteration: int, tokens_per_s: float | None) -> None:
    speed = f", {tokens_per_s:,.0f} tokens/s" if tokens_per_s else ""
    if state == "stopped":
        print(f"{stage.name}: stopped on request after iteration {iteration}{speed}; everything is saved", flush=True)
    elif tokens_per_s is None:
        print(f"{stage.name}: is finished already (iteration {iteration})", flush=True)
    else:
        print(f"{stage.name}: finished at iteration {iteration}{speed}", flush=True)
