"""Slurm's own commands: sbatch, squeue, scancel and scontrol.  The only place where the build calls them.

Accounting (sacct) is not needed: many clusters have none, and whether a task is complete is told by its files.
"""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from llemma.core.errors import InputError, WorkError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
TIMEOUT_S = 120
DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's own
_WAIT_WORDS = re.compile(
    r"MaxSubmit|SubmitJobs|job limit|try again|temporarily|timed out|Unable to contact|not responding|"
    r"Connection refused|Socket|Zero Bytes|exceeded limit on number",
    re.I,
)
_ALIVE = {"PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "RESIZING", "SIGNALING"}
_ALIVE |= {"STAGE_OUT", "STOPPED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
Place = tuple[str, int]  # of an array's element: the array's job id, the index


class SlurmBusyError(WorkError):
    """Raised when Slurm cannot take or tell something just now: later it may."""


@dataclass(frozen=True, kw_only=True)
class ElementState:
    """What Slurm says of one element of an array."""

    state: str
    nodes: str = ""
    reason: str = ""

    @property
    def is_alive(self) -> bool:
        """True if it waits or runs, or may run yet."""
        return self.state in _ALIVE and not self.is_held

    @property
    def is_held(self) -> bool:
        """True if it waits for a person to let it go: its node could not begin it."""
        return self.state in ("PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT") and "held" in self.reason.lower()


def check_commands() -> None:
    """Raises InputError where Slurm's commands are not on this machine."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise InputError(
            f"--engine slurm needs Slurm's commands, but this machine has no {', '.join(absent)}: run it on a login "
            "node of the cluster"
        )


def submit_array(script: str, options: Sequence[str]) -> str:
    """Submits a script and returns the id of its job.

    Raises SlurmBusyError where there is no room in the queue, InputError where Slurm refuses the options.
    """
    done = _call(["sbatch", "--parsable", *options], script)
    if done.returncode:
        message = _message(done)
        if _WAIT_WORDS.search(message):
            raise SlurmBusyError(f"sbatch: {message}")
        raise InputError(f"Slurm refuses the job: {message}")
    return done.stdout.strip().split(";")[0]


def element_states(job_name: str) -> dict[Place, ElementState]:
    """All elements of this user's arrays of that name that Slurm remembers, also those that have ended lately.

    Raises SlurmBusyError where Slurm does not answer.
    """
    which = [f"--user={_user()}", f"--name={job_name}", "--states=all", "--array"]
    done = _call(["squeue", "--noheader", "--format=%F|%K|%T|%N|%r", *which])
    if done.returncode:
        raise SlurmBusyError(f"squeue: {_message(done)}")
    states = {}
    for line in done.stdout.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5 and fields[1].isdigit():
            states[fields[0], int(fields[1])] = ElementState(state=fields[2], nodes=fields[3], reason=fields[4])
    return states


def cancel_elements(places: Sequence[Place]) -> None:
    """Ends some elements; those that have ended are passed over."""
    for first in range(0, len(places), 200):
        names = [f"{job}_{index}" for job, index in places[first : first + 200]]
        _call(["scancel", "--quiet", *names])


def cancel_named(job_name: str) -> None:
    """Ends all of this user's jobs of that name."""
    _call(["scancel", "--quiet", f"--user={_user()}", f"--name={job_name}"])


def max_array_size() -> int:
    """One more than the greatest index that an array may have here."""
    done = _call(["scontrol", "show", "config"])
    if done.returncode:
        raise InputError(f"Slurm does not answer: {_message(done)}")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.M)
    return max(1, int(found[1])) if found else DEFAULT_MAX_ARRAY_SIZE


def _user() -> str:
    return getpass.getuser()


def _call(command: Sequence[str], standard_input: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=standard_input,
            stdin=subprocess.DEVNULL if standard_input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,  # Ctrl-C is for us: a half-made submission would be lost track of
        )
    except subprocess.TimeoutExpired:
        raise SlurmBusyError(f"{command[0]} did not answer within {TIMEOUT_S} s") from None


def _message(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    text = " ".join(lines) or f"{done.args[0]} ended with code {done.returncode}"
    return text.removeprefix("sbatch: ").removeprefix("error: ")
