"""One process of the local pool, and the driver's end of its pipe.

A worker lives as long as its engine, so that what it imports and compiles is paid for once.  Where the driver dies,
even by kill -9, the pipe closes and the worker ends itself at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from llemma.core.memory import resident_bytes
from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import Failure
from proof_pile.build.engines.task import try_task


class Worker:
    """A process that runs the tasks it is given, one after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # no locks and threads of the driver in the child
        self.connection, theirs = context.Pipe()
        lifeline, self._lifeline = context.Pipe(duplex=False)
        with _quiet_main():
            self._process = context.Process(target=_work, args=(theirs, lifeline), daemon=True)
            self._process.start()
        theirs.close()
        lifeline.close()

    @property
    def name(self) -> str:
        """What a person may know it by."""
        return f"process {self._process.pid}"

    @property
    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        return resident_bytes(self._process.pid or 0)

    def send(self, job: Job) -> None:
        """Gives the worker a task; `receive` returns what became of it."""
        # A worker that died while idle is noticed when its answer is waited for.
        with contextlib.suppress(OSError):
            self.connection.send((str(job[0].path), job[1]))

    def receive(self) -> Failure | None:
        """Why the task failed, None if it did not.  Raises EOFError or OSError where the process has died."""
        failure: Failure | None = self.connection.recv()
        return failure

    def obituary(self) -> Failure:
        """What to say of a worker that ended in the middle of a task."""
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        is_kill = code == -signal.SIGKILL  # by the kernel, nearly always, which has no memory left
        hint = ": often a lack of memory: use fewer --workers, or a smaller 'shard_bytes'" if is_kill else ""
        return Failure(message=f"its worker {how}{hint}", may_pass=True, needs_memory=is_kill)

    def stop(self) -> None:
        """Ends the process and waits until it has."""
        self.close()
        self._process.join(timeout=0.5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def kill(self) -> None:
        """Ends the process at once, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.close()

    def close(self) -> None:
        """Tells the process to end, also in the middle of a task."""
        self.connection.close()
        self._lifeline.close()


@contextlib.contextmanager
def _quiet_main() -> Iterator[None]:
    """Keeps spawn from importing the driver's main module again in the child, which it has no use for."""
    main = sys.modules["__main__"]
    names = ("__spec__", "__file__")
    saved: dict[str, Any] = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        main.__dict__.update(saved)


def _work(connection: Connection, lifeline: Connection) -> None:
    """The life of a worker: tasks come in, None or a Failure goes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends us by closing the pipe
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_driver, args=(lifeline,), daemon=True).start()
    _ask_kernel_to_end_us_too()
    while True:
        try:
            path, number = connection.recv()
        except (EOFError, OSError):
            return
        failure = try_task(path, number)
        try:
            connection.send(failure)
        except OSError:
            return


def _die_with_driver(lifeline: Connection) -> None:
    with contextlib.suppress(OSError):
        lifeline.poll(None)  # nothing is ever sent: it returns when the other end has closed
    os._exit(1)


def _ask_kernel_to_end_us_too() -> None:
    """On Linux: SIGKILL with the driver's death, also while native code holds the interpreter's lock."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
