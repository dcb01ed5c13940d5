"""`llemma train RUN`: trains the stages of a run directory here, one after the other, and exports the model.

The same command goes on after any interruption, and says so where there is nothing left to do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llemma.core.errors import InputError, MissingPackageError
from llemma.train.places import StagePlaces, export_folder, find_stages, only_trainer, stage_before

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
        "--hang-timeout",
        type=float,
        default=HANG_TIMEOUT_S,
        metavar="SECONDS",
        help="end with exit code 1 where no step is finished for so long; 0 never does (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Trains, exports after the last stage, and prints where things lie. Stopped by a signal: 0, by Ctrl-C: 130."""
    if args.threads is not None and args.threads < 1:
        raise InputError(f"--threads is {args.threads}, but must be at least 1")
    if not 0 <= args.hang_timeout < 1e6:
        raise InputError(f"--hang-timeout is {args.hang_timeout:g}, but must lie between 0 and 1,000,000 seconds")
    stages = find_stages(args.run)
    if args.stage is not None and not 1 <= args.stage <= len(stages):
        raise InputError(f"--stage is {args.stage}, but {args.run} has the stages 1 to {len(stages)}")
    from llemma.train.preflight import check_run
    from llemma.train.processor import prepare_processor
    from llemma.train.signals import stop_requested

    checked = check_run(stages)
    prepare_processor()
    try:
        import safetensors  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(str(error.name), "train") from None
    from llemma.train.export import export_model
    from llemma.train.loop import train_stage

    device = _device(args.device, torch.cuda.is_available())
    chosen = range(len(stages)) if args.stage is None else (args.stage - 1,)
    with stop_requested() as stop:
        for number in chosen:
            stage, settings, tokenizer = stages[number], checked.settings[number], checked.tokenizers[number]
            with only_trainer(stage):
                outcome = train_stage(
                    stage,
                    settings,
                    tokenizer,
                    stage_before(stages, number, settings.plan.start_from),
                    device=torch.device(device),
                    num_threads=args.threads,
                    should_stop=stop.is_made,
                    hang_timeout_s=args.hang_timeout or None,
                )
                _print_outcome(stage, outcome.state, outcome.iteration, outcome.tokens_per_s)
                if outcome.state == "stopped":
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
