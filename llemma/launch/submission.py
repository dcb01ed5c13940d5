"""A run as jobs of Slurm: a ticket and a batch script a stage, chained by `afterok`, remembered in jobs.json.

RUN/launch/jobs.json   {"schema": 1, "submitted": UTC, "engine", "jobs": [{"stage", "job", "after": job or null}]}
"""

from __future__ import annotations

import datetime
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from llemma.core.config import Config
from llemma.core.errors import InputError, WorkError
from llemma.core.files import write_text
from llemma.core.schemas import RunRecord, read_model, write_model
from llemma.launch import slurm_commands as slurm
from llemma.launch.host import only_launch
from llemma.launch.layouts import layout_for
from llemma.launch.places import Engine, Ticket, is_finished, launch_folder, quoted
from llemma.launch.preflight import LaunchStage
from llemma.launch.slurm_script import BatchJob, batch_script
from llemma.stages import Cluster, SlurmSettings

JOBS_NAME = "jobs.json"


class SubmittedJob(Config):
    """One job of a run."""

    stage: str
    job: str
    after: str | None = None


class Submission(Config):
    """jobs.json."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    submitted: str
    engine: Engine
    jobs: tuple[SubmittedJob, ...]

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


@dataclass(frozen=True, kw_only=True)
class PreparedStage:
    """A stage's ticket and script before they are written, and the stage whose job must end well before."""

    ticket: Ticket
    ticket_path: Path
    script: str
    script_path: Path
    after: str | None


def cluster_of(run: Path) -> Cluster | None:
    """The cluster that a run was planned for; None in a record that does not say it."""
    planned = RunRecord.read(run).recipe.get("cluster_as_planned")
    return Cluster.model_validate(planned) if isinstance(planned, dict) else None


def read_submission(run: Path) -> Submission | None:
    """jobs.json of a run, None where nothing was submitted."""
    path = launch_folder(run) / JOBS_NAME
    return read_model(path, Submission) if path.is_file() else None


def prepare(
    run: Path, stages: Sequence[LaunchStage], tickets: Sequence[Ticket], cluster: Cluster, search: Mapping[str, str]
) -> list[PreparedStage]:
    """Scripts of the stages that are not finished. Raises InputError where so few nodes as allowed cannot do one."""
    settings = cluster.slurm or SlurmSettings()
    folder = launch_folder(run)
    prepared = []
    for stage, ticket in zip(stages, tickets, strict=True):
        name = stage.compiled.directory
        if is_finished(run, name, stage.compiled.iterations) and not ticket.preflight_only:
            continue
        if ticket.engine == "neox" and layout_for(stage, ticket.min_nodes, ticket.processes_per_node) is None:
            raise InputError(
                f"{name}: on {ticket.min_nodes} nodes of {ticket.processes_per_node} its parallel sizes and its global "
                f"batch ({stage.config.global_batch_size}) cannot be kept: give a greater --min-nodes"
            )
        suffix = "-preflight" if ticket.preflight_only else ""
        ticket_path = folder / f"{name}{suffix}.json"
        job = BatchJob(
            name=f"{job_prefix(run)}-{name}{suffix}",
            title=f"Stage {stage.compiled.number} '{stage.compiled.name}' of {run}".replace("\n", " "),
            ticket=ticket,
            ticket_path=ticket_path,
            log=Path(str(folder / "logs").replace("%", "%%")) / f"{name}{suffix}-%j.log",
            settings=settings,
            python=sys.executable,
            search=search,
        )
        prepared.append(
            PreparedStage(
                ticket=ticket,
                ticket_path=ticket_path,
                script=batch_script(job),
                script_path=folder / f"{name}{suffix}.sbatch",
                after=_stage_before(stage, stages, ticket.engine),
            )
        )
    return prepared


def submit(run: Path, engine: Engine, prepared: Sequence[PreparedStage]) -> Submission:
    """Writes tickets and scripts and submits them in a chain. Raises InputError where the run is launched already.

    Where Slurm refuses one of them, those that it took are cancelled again.
    """
    slurm.check_commands()
    with only_launch(run):  # of two at the same moment one
        refuse_living_jobs(run)
        return _submit(run, engine, prepared)


def refuse_living_jobs(run: Path) -> None:
    """Raises InputError where jobs of the run wait or run: another launch would train in the same folder."""
    alive = living_jobs(run)
    if alive:
        raise InputError(
            f"{run}: its jobs {', '.join(alive)} are in Slurm's queue already: look with  llemma status {quoted(run)}  "
            f"and end them with  llemma cancel {quoted(run)}"
        )


def _submit(run: Path, engine: Engine, prepared: Sequence[PreparedStage]) -> Submission:
    write_files(run, prepared)
    jobs: list[SubmittedJob] = []
    try:
        for item in prepared:
            before = next((job.job for job in jobs if job.stage == item.after), None)
            options = ["--kill-on-invalid-dep=yes", f"--dependency=afterok:{before}"] if before else []
            number = slurm.submit(item.script_path, options)
            jobs.append(SubmittedJob(stage=item.ticket.stage, job=number, after=before))
            _remember(run, engine, jobs)
    except (InputError, WorkError):
        if jobs:
            slurm.cancel([job.job for job in jobs])
        raise
    return _remember(run, engine, jobs)


def write_files(run: Path, prepared: Sequence[PreparedStage]) -> None:
    """Writes tickets and scripts, and the folder of logs, which Slurm does not make."""
    (launch_folder(run) / "logs").mkdir(parents=True, exist_ok=True)
    for item in prepared:
        item.ticket.write(item.ticket_path)
        write_text(item.script_path, item.script)


def living_jobs(run: Path) -> list[str]:
    """Ids of the run's jobs that wait or run."""
    submission = read_submission(run)
    if submission is None:
        return []
    states = slurm.job_states(job.job for job in submission.jobs)
    return [job for job, state in states.items() if state.is_alive]


def job_prefix(run: Path) -> str:
    """The beginning of the names of a run's jobs."""
    return f"llemma-{hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:8]}"


def _stage_before(stage: LaunchStage, stages: Sequence[LaunchStage], engine: Engine) -> str | None:
    """The directory of the stage whose job a stage waits for: the one that it starts from.

    The embedded trainer takes the stages one after the other.
    """
    if engine == "embedded":
        number = stage.compiled.number
        return stages[number - 2].compiled.directory if number > 1 else None
    return start_directory(stage, stages)


def start_directory(stage: LaunchStage, stages: Sequence[LaunchStage]) -> str | None:
    """The directory of the stage that a stage starts from; None for those that start from something else."""
    if stage.compiled.start != "stage":
        return None
    if stage.compiled.start_from is not None:
        return stage.compiled.start_from
    return stages[stage.compiled.number - 2].compiled.directory


def _remember(run: Path, engine: Engine, jobs: Sequence[SubmittedJob]) -> Submission:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    submission = Submission(submitted=now, engine=engine, jobs=tuple(jobs))
    write_model(launch_folder(run) / JOBS_NAME, submission)
    return submission
