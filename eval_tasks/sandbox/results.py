"""What a program may use, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a program ended.  Only OK means that it reached its end."""

    OK = "ok"
    ERROR = "error"  # it raised, left with an exit code other than 0, or died
    TIMEOUT = "timeout"  # wall time or CPU time
    MEMORY = "memory"
    OUTPUT_LIMIT = "output limit"
    REFUSED = "refused"  # it was never started


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use.  The defaults are chosen by us, but for the five seconds, which are the published ones.

    wall_s: seconds from the start of its process.   cpu_s: whole seconds of processor time, of each process.
    memory_bytes: address space beyond what the preloaded packages take, of each process.
    output_bytes: standard output and standard error together, and the answer.
    file_bytes: the folder it may write in, all files together (where the backend gives one, see `Sandbox`).
    processes: processes and threads together; more than one needs the backend `namespaces`.
    program_bytes: the program's own text.
    """

    wall_s: float = 5.0
    cpu_s: int = 5
    memory_bytes: int = 512 << 20
    output_bytes: int = 64 << 10
    file_bytes: int = 16 << 20
    processes: int = 1
    program_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}, but must be above 0")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one program.

    value is the answer that it gave (see `AnswerForm`), None where it gave none or was not asked for one.  Everything
    in output, errors and value is the program's own word; outcome, reason and times are the server's.
    """

    outcome: Outcome
    reason: str
    output: str = ""
    errors: str = ""
    value: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
