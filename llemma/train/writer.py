"""Checkpoints written while the training goes on: a copy is taken at once, and a thread brings it to the disk.

A process that is killed meanwhile leaves only a folder without a name, and the checkpoint before is gone on from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from llemma.guard.checkpoints import new_checkpoint, retain
from llemma.train.checkpoint import Snapshot, save_checkpoint

THREAD_NAME = "checkpoint-writer"


class CheckpointWriter:
    """Writes one checkpoint at a time; what went wrong is raised to whoever asks next."""

    def __init__(self, root: Path, keep_last: int | None, on_saved: Callable[[int], None]) -> None:
        """`on_saved` is called with the step of each checkpoint that stands, by the thread that asks."""
        self._root, self._keep_last, self._on_saved = root, keep_last, on_saved
        self._thread: threading.Thread | None = None
        self._step = 0
        self._error: BaseException | None = None

    def start(self, step: int, snapshot: Snapshot) -> None:
        """Begins to write the checkpoint of a step, after the one before is done. Raises what that one ran into."""
        self.wait()
        self._step = step
        self._thread = threading.Thread(target=self._write, args=(snapshot,), name=THREAD_NAME, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what the writing ran into, if it is over; never waits."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Returns when nothing is being written any more. Raises what the writing ran into."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error
        self._on_saved(self._step)

    def finish(self) -> None:
        """Returns when nothing is being written any more, whatever came of it."""
        if self._thread is not None:
            self._thread.join()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            with new_checkpoint(self._root, self._step) as folder:
                save_checkpoint(folder, snapshot)
            retain(self._root, self._keep_last)
        except BaseException as error:
            self._error = error
