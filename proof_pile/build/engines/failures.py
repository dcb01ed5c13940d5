"""Why a task failed, and what a person is told of it."""

from __future__ import annotations

import errno
import re
import shlex
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llemma.core.commands import describe_os_error
from llemma.core.errors import LlemmaError, WorkError
from llemma.core.logging import get_logger
from llemma.core.steps import ChangedInputError, LostFolderError, StepDirectory

log = get_logger(__name__)
MAX_SHOWN = 5
MAX_INPUTS = 3
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PASSING = (  # of a network, a network file system or a machine that is short of something just now
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTUNREACH),
    *(errno.ENETUNREACH, errno.EPIPE, errno.EAGAIN, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
_FULL_DISK_WORDS = re.compile(r"no space|free space|requested and \d+ written", re.I)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task failed: a message for a person and the exit code that it deserves.

    `is_fatal`: going on with other tasks is pointless (a full disk).  `may_pass`: tried again, the task may well do its
    work (its worker was killed, the network hung).  `inputs_changed`: planned anew, it may.  `needs_memory`: alone on
    its machine, it may.  `details` is the traceback where the failure is a fault of ours.
    """

    message: str
    exit_code: int = 1
    is_fatal: bool = False
    may_pass: bool = False
    inputs_changed: bool = False
    needs_memory: bool = False
    details: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, for a file or another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Failure:
        """The failure that `as_json` made JSON of; what is not one becomes a failure that says so."""
        try:
            return cls(**value)
        except TypeError:
            return cls(message=f"its failure could not be read: {str(value)[:200]}", may_pass=True)


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task that failed for good, and how often it was tried."""

    directory: StepDirectory
    number: int
    failure: Failure
    tries: int = 1

    @property
    def label(self) -> str:
        """The step's and the task's name."""
        return job_label(self.directory, self.number)


class TasksFailedError(WorkError):
    """Raised when all tasks of a batch were tried and some failed; says which, their inputs, and what to do."""

    def __init__(self, failed: Sequence[FailedTask]) -> None:
        self.failed = tuple(failed)
        super().__init__(_message(self.failed))
        self.exit_code = max(task.failure.exit_code for task in self.failed)


def job_label(directory: StepDirectory, number: int) -> str:
    """The name of a task for a person: its step and what it works on."""
    label = directory.tasks[number].label
    return f"{directory.step.name}, {label}" if label else directory.step.name


def failure_of(error: BaseException) -> Failure:
    """What an exception that ended a task says."""
    if isinstance(error, LlemmaError):
        changed, lost = isinstance(error, ChangedInputError), isinstance(error, LostFolderError)
        return Failure(message=str(error), exit_code=error.exit_code, inputs_changed=changed, may_pass=lost)
    if isinstance(error, OSError):
        if error.errno is None and _FULL_DISK_WORDS.search(str(error)):  # numpy's tofile keeps the number to itself
            error = OSError(errno.ENOSPC, "")
        is_fatal = error.errno in _FATAL
        if is_fatal:
            error.filename = None  # a temporary file: of no use to a person, and another one each time
        return Failure(message=describe_os_error(error), is_fatal=is_fatal, may_pass=error.errno in _PASSING)
    if isinstance(error, MemoryError):
        message = "out of memory: use fewer --workers, or smaller 'shard_bytes' or more 'partitions' in the recipe"
        return Failure(message=message, needs_memory=True)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (in {Path(frames[-1].filename).name}:{frames[-1].lineno}; -vv shows more)" if frames else ""
    message = f"{type(error).__name__}: {error}{place}"
    return Failure(message=message, details="".join(traceback.format_exception(error)))


def _message(failed: Sequence[FailedTask]) -> str:
    for task in failed:
        if task.failure.details:
            log.debug("%s: %s", task.label, task.failure.details)
    fatal = [task for task in failed if task.failure.is_fatal]
    if fatal:
        return f"{fatal[0].label}: {fatal[0].failure.message}"
    lines = [f"{len(failed)} tasks failed; what was finished is kept"] if len(failed) > 1 else []
    for task in failed[:MAX_SHOWN]:
        lines += _lines(task)
    if len(failed) > MAX_SHOWN:
        lines.append(f"... and {len(failed) - MAX_SHOWN} more")
    lines.append(
        "all other tasks of this step are finished and kept: mend this input or take it out of the recipe, then run "
        "the same command again"
        if any(task.directory.tasks[task.number].inputs for task in failed)
        else "all other tasks of this step are finished and kept; the same command goes on from there"
    )
    return "\n".join(lines)


def _lines(task: FailedTask) -> list[str]:
    tries = f" (tried {task.tries} times)" if task.tries > 1 else ""
    lines = [f"{task.label}: {task.failure.message}{tries}"]
    inputs = [item.path for item in task.directory.tasks[task.number].inputs]
    if inputs:
        more = f" and {len(inputs) - MAX_INPUTS:,} more" if len(inputs) > MAX_INPUTS else ""
        lines.append(f"  its {'inputs' if len(inputs) > 1 else 'input'}: {', '.join(inputs[:MAX_INPUTS])}{more}")
    step = shlex.quote(str(task.directory.path))
    lines.append(f"  to run it alone: python -m proof_pile.build task {step} {task.number}")
    return lines
