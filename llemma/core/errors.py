"""Every error that a person can meet, and the exit code it ends with.

    LlemmaError                 exit 1
    ├── InputError              exit 2   what a person gave is wrong: a path, an option, a value
    │   ├── ConfigError                  a configuration file: all of its problems at once
    │   └── MissingPackageError          an optional package is not installed
    └── WorkError               exit 1   the input was right, the work failed
        └── DamagedFileError             a file is not what its record says it is

Python callers who pass a wrong argument get ValueError or TypeError, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault in a file that a person wrote: where it stands and what to do about it."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


class LlemmaError(Exception):
    """Root of the errors that are shown to a person without a traceback."""

    exit_code = 1


class InputError(LlemmaError):
    """Raised when something that a person gave cannot be used: the message says what to do."""

    exit_code = 2


class ConfigError(InputError):
    """Raised when a configuration file is wrong; carries every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("ConfigError needs at least one problem")
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MissingPackageError(InputError):
    """Raised when a part needs an optional package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"this needs the package '{package}': install it with  pip install 'llemma[{extra}]'")


class WorkError(LlemmaError):
    """Raised when work on good input failed."""


class DamagedFileError(WorkError):
    """Raised when a file is truncated, altered or of another format than its record says."""
