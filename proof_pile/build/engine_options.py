"""The options of `proof-pile run` that say who does the work, and the engine that they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import InputError
from proof_pile.build.arguments import parse_bytes
from proof_pile.build.engines import ENGINES

if TYPE_CHECKING:
    from proof_pile.build.engines import Engine


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Adds --engine and what belongs to each engine."""
    who = parser.add_argument_group("who does the work")
    who.add_argument("--engine", choices=ENGINES, default="local", help="processes here (default), Ray or Slurm jobs")
    who.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes at work, here or in a Ray cluster made here (default: one a processor; 1: all in this process)",
    )
    who.add_argument(
        "--memory",
        metavar="SIZE",
        help="what local workers may hold in all, such as 8GB (default: 90%% of what is free)",
    )
    who.add_argument(
        "--retries", type=int, metavar="N", default=2, help="how often a task is tried again after its worker died (2)"
    )
    ray = parser.add_argument_group("Ray")
    ray.add_argument("--ray-address", metavar="ADDRESS", help="a cluster (default: RAY_ADDRESS, else one is made here)")
    ray.add_argument("--ray-cpus", type=float, metavar="N", default=1.0, help="processors for each task (1)")
    slurm = parser.add_argument_group("Slurm", "what each job is given; what is left out is the cluster's to say")
    slurm.add_argument("--slurm-partition", metavar="NAME", help="where jobs run")
    slurm.add_argument("--slurm-account", metavar="NAME", help="who pays")
    slurm.add_argument("--slurm-time", metavar="TIME", help="limit of time, such as 2:00:00")
    slurm.add_argument("--slurm-mem", metavar="SIZE", help="memory, such as 4G")
    slurm.add_argument("--slurm-cpus", type=int, metavar="N", default=1, help="processors (1)")
    slurm.add_argument("--slurm-tasks-per-job", type=int, metavar="N", help="(so many that a step has some 1000 jobs)")
    slurm.add_argument("--slurm-max-running", type=int, metavar="N", help="jobs of one array at work at once")
    slurm.add_argument("--slurm-setup", metavar="LINE", default="", help="shell line to begin with: 'module load gcc'")
    slurm.add_argument("--slurm-options", metavar="WORDS", default="", help="more options of sbatch, as one argument")
    slurm.add_argument("--slurm-poll", type=float, metavar="SECONDS", help="from one look at the queue to the next")


def make_engine(args: argparse.Namespace, out: Path) -> Engine:
    """The engine that the options describe, not yet begun.  Raises InputError where they make no sense."""
    _check(args)
    if args.engine == "slurm":
        return _slurm(args, out)
    from proof_pile.build.engines.local import LocalEngine, plan_workers, usable_cpus

    if args.engine == "ray":
        from proof_pile.build.engines.ray import RayEngine

        return RayEngine(
            args.workers or usable_cpus(), address=args.ray_address, cpus=args.ray_cpus, retries=args.retries
        )
    memory = None if args.memory is None else parse_bytes("--memory", args.memory)
    workers = plan_workers(args.workers, memory)
    return LocalEngine(workers, memory=memory or 0, retries=args.retries, in_process=args.workers == 1)


def _check(args: argparse.Namespace) -> None:
    for option in ("workers", "ray_cpus", "slurm_cpus", "slurm_tasks_per_job", "slurm_max_running", "slurm_poll"):
        value = getattr(args, option)
        least = 0 if isinstance(value, float) else 1
        if value is not None and (value < least or value == 0):
            wanted = "more than 0" if isinstance(value, float) else "1 or more"
            raise InputError(f"--{option.replace('_', '-')} is {value}, but must be {wanted}")
    if args.retries < 0:
        raise InputError(f"--retries is {args.retries}, but must be 0 or more")
    given = [name for name, value in vars(args).items() if value not in (None, "", 1, 1.0)]
    for name in given:
        of = name.partition("_")[0]
        if of in ENGINES and of != args.engine:
            raise InputError(f"--{name.replace('_', '-')} goes with --engine {of}")
    if args.memory is not None and args.engine != "local":
        raise InputError("--memory goes with --engine local" + ("" if args.engine == "ray" else ": see --slurm-mem"))
    if args.workers is not None and (args.engine == "slurm" or (args.engine == "ray" and args.ray_address)):
        other = "--slurm-max-running" if args.engine == "slurm" else "the cluster has as many as it has"
        raise InputError(f"--workers goes with processes on this machine ({other})")


def _slurm(args: argparse.Namespace, out: Path) -> Engine:
    import shlex

    from proof_pile.build.engines.slurm import SlurmEngine
    from proof_pile.build.engines.slurm_jobs import SlurmOptions

    try:
        shlex.split(args.slurm_options)
    except ValueError as error:
        raise InputError(f"--slurm-options is '{args.slurm_options}': {error}") from None
    options = SlurmOptions(
        partition=args.slurm_partition,
        account=args.slurm_account,
        time=args.slurm_time,
        memory=args.slurm_mem,
        cpus=args.slurm_cpus,
        tasks_per_job=args.slurm_tasks_per_job,
        max_running=args.slurm_max_running,
        setup=args.slurm_setup,
        extra=args.slurm_options,
        poll_s=args.slurm_poll,
    )
    return SlurmEngine(out, options, retries=args.retries)
