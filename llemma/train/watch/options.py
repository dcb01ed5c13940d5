"""How a training is to be watched: what the command line says of it, checked before the training begins."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from llemma.core.errors import InputError
from llemma.train.signals import StopRequest
from llemma.train.watch.prompts import BUILTIN_PROMPTS, read_prompts

if TYPE_CHECKING:
    from llemma.train.settings import Settings

TrackerName = Literal["tensorboard", "wandb", "trackio"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Over which stages (those of this call, in their order), by which trackers, with which samples."""

    stages: tuple[Settings, ...] = ()
    trackers: tuple[TrackerName, ...] = ()
    sample_every: int = 0  # iterations; 0: no samples
    prompts: tuple[str, ...] = BUILTIN_PROMPTS
    stop: StopRequest = field(default_factory=StopRequest)


def add_watch_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma train` about watching it."""
    parser.add_argument(
        "--track",
        action="append",
        choices=TRACKERS,
        default=[],
        help="tell this tracker all that metrics.jsonl holds; may be given several times",
    )
    parser.add_argument(
        "--sample-every",
        type=int,
        default=0,
        metavar="STEPS",
        help="let the model write after some prompts every so many steps, and before the first and after the last",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help='the prompts, one a line, or one {"prompt": …} a line in a .jsonl (default: three of our own)',
    )


def read_watch_arguments(args: argparse.Namespace) -> Watching:
    """What they say. Raises InputError where it cannot be done."""
    if args.sample_every < 0:
        raise InputError(f"--sample-every is {args.sample_every}, but must be at least 1, or 0 for no samples")
    if args.prompts is not None and not args.sample_every:
        raise InputError("--prompts names a file, but no samples are asked for: give  --sample-every STEPS  too")
    trackers = tuple(dict.fromkeys(args.track))
    if trackers:
        from llemma.train.watch.trackers import check_trackers

        check_trackers(trackers)
    return Watching(
        trackers=trackers,
        sample_every=args.sample_every,
        prompts=BUILTIN_PROMPTS if args.prompts is None else read_prompts(args.prompts),
    )
