"""Slurm's own commands: sbatch, squeue, scancel, sacct. Accounting is used where there is one, and not needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError, WorkError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
TIMEOUT_S = 120
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
# What Slurm says (lower case), and what a person can do about it.
_REMEDIES = (
    ("invalid partition", "`sinfo` lists the partitions: write yours into the cluster's slurm section"),
    ("invalid account", "write an account that you may use into the cluster's slurm section (`sacctmgr show assoc`)"),
    ("invalid qos", "write a quality of service that you may use into the cluster's slurm section"),
    ("job violates accounting/qos policy", "a quota is used up, or the job asks for more than your account may have"),
    ("qosmax", "a quota is used up, or the job asks for more than your account may have"),
    ("time limit", "ask for a shorter `time` in the cluster's slurm section"),
    ("node configuration is not available", "no node has as much as is asked for: compare `sinfo -N -l`"),
    ("more processors requested than permitted", "no node has as much as is asked for: compare `sinfo -N -l`"),
    ("invalid generic resource", "write the GPUs as your site names them into `gres` (`sinfo -o '%N %G'`)"),
    ("invalid feature", "there is no such `constraint` here (`sinfo -o '%N %f'`)"),
    ("unable to contact slurm controller", "Slurm does not answer: try again in a moment"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What Slurm says of one job."""

    state: str
    reason: str = ""
    nodes: str = ""
    elapsed: str = ""
    exit_code: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it waits or runs."""
        return not self.state.startswith(_ENDED)


def check_commands() -> None:
    """Raises InputError where Slurm's commands are not on this machine."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise InputError(
            f"--on slurm needs Slurm's commands, but this machine has no {', '.join(absent)}: run it on a login node "
            "of the cluster, or use --on host on a machine that trains by itself"
        )


def submit(script: Path, options: Sequence[str] = ()) -> str:
    """Submits a batch script and returns the id of its job. Raises InputError with Slurm's words and a remedy."""
    done = _call(["sbatch", "--parsable", *options, str(script)])
    if done.returncode:
        raise InputError(f"{script}: Slurm refuses the job: {with_remedy(_message(done))}")
    return done.stdout.strip().split(";")[0]


def run_to_its_end(script: Path) -> None:
    """Submits a batch script and waits until its job has ended, however it did."""
    done = _call(["sbatch", "--parsable", "--wait", str(script)], timeout_s=None)
    if done.returncode and not done.stdout.strip():
        raise InputError(f"{script}: Slurm refuses the job: {with_remedy(_message(done))}")


def job_states(jobs: Iterable[str]) -> dict[str, JobState]:
    """What Slurm knows of some jobs; those that it has forgotten are left out. Raises WorkError if it is silent."""
    wanted = list(dict.fromkeys(jobs))
    if not wanted:
        return {}
    done = _call(["squeue", "--noheader", "--states=all", "--format=%A|%T|%r|%N|%M", "--jobs", ",".join(wanted)])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise WorkError(f"squeue: {with_remedy(_message(done))}")
    states = {}
    for line in done.stdout.splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) == 5:
            reason = "" if fields[2] == "None" else fields[2]
            states[fields[0]] = JobState(state=fields[1], reason=reason, nodes=fields[3], elapsed=fields[4])
    # squeue knows nothing of any job where it does not know one of several, and forgets each after some minutes.
    for job in [job for job in wanted if job not in states and len(wanted) > 1]:
        states.update(job_states([job]))
    missing = [job for job in wanted if job not in states]
    if missing and len(wanted) == 1 and shutil.which("sacct"):
        states.update(_accounted(missing[0]))
    return states


def _accounted(job: str) -> dict[str, JobState]:
    """The same from the accounting, nothing where the cluster has none."""
    columns = "JobIDRaw,State,Reason,NodeList,Elapsed,ExitCode"
    done = _call(["sacct", "--noheader", "--parsable2", "--allocations", f"--format={columns}", "--jobs", job])
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        fields = line.split("|")
        if len(fields) == 6 and fields[0] == job:
            reason = "" if fields[2] == "None" else fields[2]
            state = JobState(state=fields[1], reason=reason, nodes=fields[3], elapsed=fields[4], exit_code=fields[5])
            return {job: state}
    return {}


def cancel(jobs: Sequence[str]) -> None:
    """Ends jobs; those that have ended are passed over. Raises WorkError where Slurm is silent."""
    done = _call(["scancel", "--quiet", *jobs])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise WorkError(f"scancel: {with_remedy(_message(done))}")


def kill_steps(job: str) -> None:
    """Ends the processes that srun has started in a job at once; its batch script goes on."""
    done = _call(["squeue", "--noheader", "--steps", "--format=%i", "--jobs", job])
    steps = [name for name in done.stdout.split() if name.rpartition(".")[2].isdecimal()]
    if steps:
        _call(["scancel", "--quiet", "--signal=KILL", *steps])  # of the whole job KILL would end the script as well


def requeue(job: str) -> str | None:
    """Puts the running job back into the queue; what Slurm says against it, or None."""
    done = _call(["scontrol", "requeue", job])
    return _message(done) if done.returncode else None


def node_names(nodelist: str) -> list[str]:
    """The names in Slurm's short form `n[1-8]`."""
    done = _call(["scontrol", "show", "hostnames", nodelist])
    return done.stdout.split() if done.returncode == 0 else [nodelist]


def with_remedy(message: str) -> str:
    """Slurm's words with what a person can do about them."""
    for words, remedy in _REMEDIES:
        if words in message.lower():
            return f"{message}\n  {remedy}"
    return message


def _call(command: Sequence[str], timeout_s: float | None = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise WorkError(f"{command[0]} did not answer within {TIMEOUT_S} s: try again in a moment") from None
    except FileNotFoundError:
        raise InputError(f"there is no {command[0]} on this machine: run this on a login node of the cluster") from None


def _message(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    text = " ".join(lines) or f"{done.args[0]} ended with code {done.returncode}"
    return text.removeprefix("sbatch: ").removeprefix("error: ")
