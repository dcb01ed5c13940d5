"""A polite end: a signal lets the step finish and a checkpoint be written."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT)


@dataclass(kw_only=True)
class StopRequest:
    """The first signal that asked for an end; None while none has come."""

    number: int | None = None
    is_shown: bool = False  # somebody else says on the terminal that it is made

    @property
    def words(self) -> str:
        """What a person is told who has made it."""
        if self.number == signal.SIGINT:
            return "interrupted: ends when all is saved; Ctrl-C again ends at once, without saving"
        return "asked to stop: ends when all is saved"

    def is_made(self) -> bool:
        """True as soon as the run should save and end."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """Of a run that has saved and ended: 130 after Ctrl-C, as shells count it; 0 after a cluster's signal."""
        return 128 + signal.SIGINT if self.number == signal.SIGINT else 0


@contextlib.contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """Yields a request that a signal makes: SIGTERM, SIGHUP or SIGUSR1, sent by clusters before they kill, or Ctrl-C.

    A second Ctrl-C raises KeyboardInterrupt at once. A signal that our caller ignores (`nohup`) stays ignored.
    """
    request = StopRequest()

    def remember(number: int, _frame: FrameType | None) -> None:
        if request.number is None:
            request.number = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if not request.is_shown:
                # Not print: a handler may run in the middle of another write to the same stream.
                os.write(2, f"\n{request.words}\n".encode())

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread alone
        yield request
        return
    with signals_handled(remember):
        yield request


@contextlib.contextmanager
def signals_handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Hands the signals that ask for an end to a function for a while; those that our caller ignores stay ignored."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [number for number in _SIGNALS if before[number] not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
