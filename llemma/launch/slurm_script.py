"""The batch script of a stage's job: what is asked of Slurm, the rendezvous, and one program that does the rest."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llemma.launch.places import Ticket
from llemma.stages import SlurmSettings

_HIGHEST_BASE = 64000  # of the port, so that what is added stays a port


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What a batch script is rendered from."""

    name: str
    title: str
    ticket: Ticket
    ticket_path: Path
    log: Path  # %j in it is Slurm's own sign for the job's id
    settings: SlurmSettings
    python: str  # this library's
    search: Mapping[str, str] = field(default_factory=dict)  # folders put before what PATH and PYTHONPATH name


def batch_script(job: BatchJob) -> str:
    """The script, ready for sbatch."""
    lines = [
        "#!/bin/bash",
        f"# {job.title}, rendered by `llemma launch`.",
        *(f"#SBATCH {option}" for option in batch_options(job)),
        "",
        "unset MASTER_ADDR  # the first node, where the lines of the cluster's `setup` do not say another name for it",
        *job.settings.setup,
        'export MASTER_ADDR="${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}"',
        f"export MASTER_PORT={_port(job.settings)}",
        *(f"export {name}={shlex.quote(value)}${{{name}:+:${name}}}" for name, value in job.search.items()),
        "# Checks the nodes, starts a process a GPU by srun, goes on after failures; on USR1 saves and queues again.",
        f"exec {shlex.join([job.python, '-m', 'llemma.launch.job', str(job.ticket_path)])}",
    ]
    return "\n".join(lines) + "\n"


def batch_options(job: BatchJob) -> list[str]:
    """The options of sbatch; the site's own come last, and so win."""
    settings, ticket = job.settings, job.ticket
    # Of a range of nodes Slurm gives no more than the tasks need, if it is told of tasks: ask for processors instead.
    is_range = ticket.min_nodes < ticket.nodes
    wanted: list[tuple[str, str | int | None]] = [
        ("job-name", job.name),
        ("nodes", f"{ticket.min_nodes}-{ticket.nodes}" if is_range else ticket.nodes),
        ("ntasks-per-node", None if is_range else ticket.processes_per_node),
        ("cpus-per-task", None if is_range else ticket.cpus_per_process),
        ("mincpus", ticket.processes_per_node * (ticket.cpus_per_process or 1) if is_range else None),
        ("gres", settings.gres),
        ("gpus-per-node", ticket.processes_per_node if ticket.backend == "nccl" and not settings.gres else None),
        ("mem", settings.memory),
        ("partition", settings.partition),
        ("account", settings.account),
        ("qos", settings.qos),
        ("constraint", settings.constraint),
        ("time", settings.time),
        ("signal", f"B:USR1@{settings.signal_before_end_s}"),
        ("output", str(job.log)),
        ("open-mode", "append"),
    ]
    options = [f"--{name}={shlex.quote(str(value))}" for name, value in wanted if value is not None]
    options += ["--exclusive"] if settings.exclusive else []
    options += ["--requeue" if ticket.requeue else "--no-requeue"]
    return [*options, *settings.options]


def _port(settings: SlurmSettings) -> str:
    if settings.exclusive:
        return str(settings.master_port)
    # Two jobs may meet on a node; the port above is the network check's.
    return f"$(({min(settings.master_port, _HIGHEST_BASE)} + SLURM_JOB_ID % 500 * 2))"
