"""An end for a run that hangs: where no sign of life comes for long, all threads' places are told and the process ends.

Python's own timer (faulthandler) is a thread without Python in it, so that a call that hangs while it holds the
interpreter's lock is ended too. A run that is started again goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_SHARE = 0.05  # of the time allowed: more often the timer is not wound up, which starts a thread


class Watchdog:
    """A timer that ends the process with exit code 1 unless `beat` is called in time; None never ends it."""

    def __init__(self, timeout_s: float | None, log: Path | None = None) -> None:
        """The places are told to standard error, or to a file."""
        self._timeout_s = timeout_s
        self._file: IO[str] | None = sys.__stderr__ if log is None else open(log, "a")  # noqa: SIM115 - to the end
        self._wound_up = -float("inf")

    def beat(self) -> None:
        """A sign of life."""
        now = time.monotonic()
        if self._timeout_s is None or self._file is None or now - self._wound_up < _SHARE * self._timeout_s:
            return
        self._wound_up = now
        faulthandler.dump_traceback_later(self._timeout_s, exit=True, file=self._file)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watches over a block."""
        self.beat()
        try:
            yield
        finally:
            if self._timeout_s is not None:
                faulthandler.cancel_dump_traceback_later()
