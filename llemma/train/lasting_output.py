"""Training outlives whoever reads what it says: a closed terminal, a pipe without another end, a log on a full disk.

Everywhere else a reader that goes away ends the program; days of training are worth more than their progress lines,
which metrics.jsonl holds too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, TypeVar, cast

T = TypeVar("T")
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.EBADF)  # EIO: the terminal has been closed


class _Lasting:
    """A stream whose writes do not fail; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what can be written."""
        return self._tried(lambda: self._stream.write(text), len(text))

    def flush(self) -> None:
        """Hands on what can be handed on."""
        self._tried(self._stream.flush, None)

    def _tried(self, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except AttributeError:  # there is none: closed before the program began
            return otherwise
        except OSError as error:
            if error.errno in _NOBODY_READS:
                with contextlib.suppress(OSError, ValueError):  # so that nothing that still writes there fails
                    nothing = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nothing, self._stream.fileno())
                    os.close(nothing)
            return otherwise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Makes standard output and standard error such streams for a while."""
    before = sys.stdout, sys.stderr
    lasting = [_Lasting(stream) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in lasting)
    try:
        yield
    finally:
        for stream in lasting:
            stream.flush()
        sys.stdout, sys.stderr = before
