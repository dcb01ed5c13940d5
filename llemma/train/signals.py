"""A polite end: SIGTERM lets the step finish and a checkpoint be written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGTERM has come since; Slurm and clusters send it before they kill."""
    asked = threading.Event()

    def remember(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread alone
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, remember)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
