"""`llemma launch`: starts a planned run on GPT-NeoX or the embedded trainer, on this host or on Slurm."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import InputError, WorkError
from llemma.neox.repair_table import REPAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llemma.launch.places import Ticket
    from llemma.launch.preflight import LaunchStage
    from llemma.stages import Cluster


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma launch`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, written by llemma plan --out")
    parser.add_argument(
        "--engine",
        type=lambda word: "embedded" if word == "local" else word,
        choices=("embedded", "neox"),
        default="embedded",
        help="what trains: GPT-NeoX, or this library's own trainer, which 'local' names too (default: embedded)",
    )
    parser.add_argument(
        "--on",
        choices=("host", "slurm"),
        help="this machine, or one Slurm job a stage (default: slurm where the cluster has a slurm section)",
    )
    parser.add_argument("--neox-dir", type=Path, metavar="D", help="a clone of GPT-NeoX (default: $NEOX_DIR)")
    parser.add_argument(
        "--python", metavar="P", help="the Python that has GPT-NeoX's packages (default: $NEOX_PYTHON, else this one)"
    )
    parser.add_argument(
        "--without-repair",
        action="append",
        default=[],
        choices=tuple(REPAIRS),
        metavar="NAME",
        help=f"leave GPT-NeoX unrepaired in this point (several times allowed): {', '.join(REPAIRS)}",
    )
    parser.add_argument(
        "--min-nodes",
        type=int,
        metavar="N",
        help="Slurm: begin, and go on, with so few nodes where not all are free (default: all that were planned)",
    )
    parser.add_argument(
        "--check-data",
        choices=("sizes", "sampled", "full"),
        default="sampled",
        help="preflight: how the tokens are held to the mixture's hashes; the indexes always wholly (default: sampled)",
    )
    parser.add_argument(
        "--network-timeout",
        type=int,
        default=120,
        metavar="S",
        help="preflight: seconds in which the nodes must have met (default: 120)",
    )
    parser.add_argument("--preflight-only", action="store_true", help="check the machines and start nothing")
    parser.add_argument(
        "--dry-run", action="store_true", help="check the run and print the commands or scripts, start nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Checks the run, then starts its stages or submits them; here it ends with the first code that is not 0."""
    from llemma.launch.preflight import (
        embedded_problems,
        engine_of,
        launch_problems,
        neox_problems,
        read_run,
        refuse,
    )
    from llemma.launch.submission import cluster_of

    stages = read_run(args.run)
    problems = launch_problems(stages, args.run)
    for stage in stages:
        other = engine_of(args.run, stage.compiled)
        if other not in (None, args.engine):
            problems.append(f"{stage.compiled.directory}: it holds checkpoints of the engine '{other}', go on with it")
    neox_dir = args.neox_dir or _path_from("NEOX_DIR")
    python = args.python or os.environ.get("NEOX_PYTHON") or sys.executable
    if args.engine == "embedded":
        problems += embedded_problems(stages, args.run)
        neox_dir, python = None, sys.executable
    else:
        problems += neox_problems(stages, args.run, neox_dir, python)
    cluster = cluster_of(args.run)
    on_slurm = args.on == "slurm" or (args.on is None and cluster is not None and cluster.slurm is not None)
    if on_slurm and cluster is None:
        problems.append(f"{args.run}: its record does not say for which cluster it was planned: plan it anew")
    if not on_slurm and args.engine == "neox" and cluster is not None and cluster.nodes > 1:
        problems.append(f"it was planned for {cluster.nodes} nodes, which one host cannot start: use --on slurm")
    if args.min_nodes is not None and not (on_slurm and cluster and 1 <= args.min_nodes <= cluster.nodes):
        most = f"1 to {cluster.nodes}, the nodes that were planned" if on_slurm and cluster else "for --on slurm alone"
        problems.append(f"--min-nodes is {args.min_nodes}, but it must be {most}")
    if args.network_timeout < 1:
        problems.append(f"--network-timeout is {args.network_timeout}, but must be at least 1")
    refuse(problems)
    tickets = [_ticket(stage, stages, args, cluster if on_slurm else None, neox_dir, python) for stage in stages]
    if on_slurm and cluster is not None:
        return _on_slurm(args, stages, tickets, cluster, python)
    return _preflight_here(tickets) if args.preflight_only else _on_this_host(args, stages, neox_dir, python)


def _on_this_host(args: argparse.Namespace, stages: list[LaunchStage], neox_dir: Path | None, python: str) -> int:
    from llemma.launch.host import only_launch, run_stages
    from llemma.launch.partition import cut_anew
    from llemma.launch.processes import embedded_command, neox_command
    from llemma.launch.submission import refuse_living_jobs

    if args.engine == "embedded" or neox_dir is None:
        work = [(stages, embedded_command(args.run))]
    else:
        work = [
            (
                [stage],
                neox_command(stage, neox_dir, python, _repairs(stage, args.without_repair), _before(stage, stages)),
            )
            for stage in stages
        ]
    if args.dry_run:
        for _, command in work:
            print(command)
        return 0
    with only_launch(args.run):
        refuse_living_jobs(args.run)
        for trained, command in work:
            if neox_dir is not None:
                variables = {**os.environ, **command.environment}
                place, size = trained[0].compiled.directory, trained[0].config.dp_size
                message = cut_anew(args.run, place, size, python, lambda line: print(line, flush=True), variables)
                if message is not None:
                    raise WorkError(message)
            print(f"running: {command}", file=sys.stderr, flush=True)
            code = run_stages(args.run, [stage.compiled for stage in trained], command, neox_dir)
            if code:
                return code
    return 0


def _preflight_here(tickets: Sequence[Ticket]) -> int:
    """Checks this machine for every stage."""
    import socket

    from llemma.launch.node_check import check_node
    from llemma.launch.reports import join_reports

    name = socket.gethostname()
    is_sound = True
    for ticket in tickets:
        problems, facts = join_reports([name], [check_node(ticket, [name], 0, "127.0.0.1", 0)])
        for line in facts:
            print(f"{ticket.stage}: {line}")
        for line in problems:
            print(f"{ticket.stage}: PROBLEM: {line}")
        is_sound = is_sound and not problems
    print("everything is as it must be" if is_sound else "this run cannot start here")
    return 0 if is_sound else 1


def _on_slurm(
    args: argparse.Namespace, stages: list[LaunchStage], tickets: list[Ticket], cluster: Cluster, python: str
) -> int:
    from llemma.launch import slurm_commands as slurm
    from llemma.launch.places import quoted
    from llemma.launch.processes import search_folders
    from llemma.launch.submission import prepare, submit, write_files

    run = args.run.resolve()
    prepared = prepare(run, stages, tickets, cluster, search_folders(python if args.engine == "neox" else ""))
    if args.dry_run:
        for item in prepared:
            print(f"# {item.script_path}" + (f", after {item.after}" if item.after else ""))
            print(item.script)
        return 0
    if not prepared:
        print("every stage is finished already")
        return 0
    if args.preflight_only:
        slurm.check_commands()
        write_files(run, prepared[:1])
        return _preflight_on_slurm(run, prepared[0].script_path)
    submission = submit(run, args.engine, prepared)
    for job in submission.jobs:
        after = f", after job {job.after} has ended well" if job.after else ""
        print(f"{job.stage}: job {job.job}{after}")
    print(f"watch it with  llemma status {quoted(args.run)}")
    return 0


def _preflight_on_slurm(run: Path, script: Path) -> int:
    """One job that checks the first stage's nodes; waits for it and prints what they found."""
    from llemma.core.files import write_text
    from llemma.launch import slurm_commands as slurm

    print("waiting for Slurm to start the check of the nodes", file=sys.stderr, flush=True)
    with tempfile.NamedTemporaryFile(prefix="preflight-", suffix=".log", dir=run / "launch" / "logs") as log:
        text = script.read_text(encoding="utf-8")
        output = f"#SBATCH --output={shlex.quote(log.name.replace('%', '%%'))}"
        lines = [output if line.startswith("#SBATCH --output=") else line for line in text.splitlines()]
        write_text(script, "\n".join(lines) + "\n")
        slurm.run_to_its_end(script)
        shown = Path(log.name).read_text(encoding="utf-8", errors="replace")
    print(shown, end="")
    if "check: " not in shown:
        raise InputError("the job ended before the nodes were checked: what it printed stands above")
    is_sound = "PROBLEM" not in shown
    print("everything is as it must be" if is_sound else "this run cannot start on these nodes")
    return 0 if is_sound else 1


def _ticket(
    stage: LaunchStage,
    stages: list[LaunchStage],
    args: argparse.Namespace,
    cluster: Cluster | None,
    neox_dir: Path | None,
    python: str,
) -> Ticket:
    """What a stage's job must know; without a cluster, that of this host."""
    from llemma.launch.places import Ticket
    from llemma.stages import SlurmSettings

    is_neox = args.engine == "neox"
    before = _before(stage, stages)
    nodes = cluster.nodes if cluster and is_neox else 1
    processes = (cluster.gpus_per_node if cluster else stage.config.global_num_gpus) if is_neox else 1
    slurm = (cluster.slurm if cluster else None) or SlurmSettings()
    cpus, warning_s = slurm.cpus_per_node, slurm.signal_before_end_s
    return Ticket(
        run=str(args.run.resolve()),
        stage=stage.compiled.directory,
        engine=args.engine,
        python=python,
        neox_dir=str(neox_dir.resolve()) if neox_dir else None,
        repairs=tuple(_repairs(stage, args.without_repair)) if is_neox else (),
        start_from=str(before.config.save) if before else None,
        backend=stage.config.distributed_backend,
        nodes=nodes,
        min_nodes=min(args.min_nodes or nodes, nodes),
        processes_per_node=processes,
        cpus_per_process=max(1, cpus // processes) if cpus else None,
        requeue=slurm.requeue,
        preflight_only=args.preflight_only,
        data_check=args.check_data,
        network_timeout_s=args.network_timeout,
        save_within_s=max(warning_s - 30, warning_s // 2),  # the rest is for Slurm
    )


def _before(stage: LaunchStage, stages: list[LaunchStage]) -> LaunchStage | None:
    """The stage that a stage starts from."""
    from llemma.launch.submission import start_directory

    directory = start_directory(stage, stages)
    return next((item for item in stages if item.compiled.directory == directory), None)


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _repairs(stage: LaunchStage, without: list[str]) -> list[str]:
    """The repairs of a stage: those that its back end asks for, but the ones that were declined."""
    backend = stage.config.distributed_backend
    return [name for name, item in REPAIRS.items() if item.backend in (None, backend) and name not in without]
