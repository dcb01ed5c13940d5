"""The local engine: a pool of processes that run (step folder, task number) and know nothing else.

Workers live as long as the engine, so that what they import and compile is paid for once.  Each has a pipe to the
driver; where the driver dies, even by kill -9, the pipe closes and the worker ends itself at once.  With one worker the
tasks run in the driver.  A task that fails does not stop the others of its batch, a full disk does.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import re
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from llemma.core.commands import describe_os_error
from llemma.core.errors import LlemmaError, WorkError
from llemma.core.logging import get_logger
from llemma.core.steps import StepDirectory

log = get_logger(__name__)
MAX_SHOWN = 5
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_FULL_DISK_WORDS = re.compile(r"no space|free space|requested and \d+ written", re.I)
Job = tuple[StepDirectory, int]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task failed: a message for a person, the exit code that it deserves, and whether going on is pointless.

    `details` is the traceback where the failure is a fault of ours.
    """

    label: str
    message: str
    exit_code: int
    is_fatal: bool
    details: str = ""


def usable_cpus() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_task(path: str, number: int) -> None:
    """Runs one task of a step folder: all that an engine, of whatever kind, asks of a machine."""
    _open_step(path, os.stat(os.path.join(path, "tasks.json")).st_mtime_ns).run_task(number)


@lru_cache(maxsize=4)
def _open_step(path: str, stamp: int) -> StepDirectory:
    """A step folder, read once for all of its tasks: tasks.json of a large step holds thousands of them."""
    return StepDirectory.open(path)


class LocalEngine:
    """Runs batches of tasks in `workers` processes; a context manager that ends them."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: list[_Worker] = []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._pool:
            worker.stop()
        self._pool = []

    def run(self, jobs: Sequence[Job], finished: Callable[[Job], None]) -> None:
        """Runs all jobs; `finished` is told of each.  Raises WorkError with what failed and why."""
        failures = self._run_here(jobs, finished) if self.workers == 1 else self._run_in_pool(jobs, finished)
        if failures:
            raise _summary(failures)

    def _run_here(self, jobs: Sequence[Job], finished: Callable[[Job], None]) -> list[Failure]:
        failures: list[Failure] = []
        for job in jobs:
            try:
                job[0].run_task(job[1])
            except Exception as error:
                failures.append(_failure(_label(job), error))
                if failures[-1].is_fatal:
                    break
            else:
                finished(job)
        return failures

    def _run_in_pool(self, jobs: Sequence[Job], finished: Callable[[Job], None]) -> list[Failure]:
        while len(self._pool) < min(self.workers, len(jobs)):
            self._pool.append(_Worker())
        waiting = deque(jobs)
        failures: list[Failure] = []
        running: dict[Connection, tuple[_Worker, Job]] = {}
        idle = deque(self._pool)
        while waiting or running:
            while waiting and idle:
                worker, job = idle.popleft(), waiting.popleft()
                worker.send(job)
                running[worker.connection] = (worker, job)
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                worker, job = running.pop(connection)
                try:
                    failure = connection.recv()
                except (EOFError, OSError):  # it died: killed by the kernel for its memory, or a crash in native code
                    self._pool.remove(worker)
                    failures.append(worker.obituary(_label(job)))
                    worker = _Worker()
                    self._pool.append(worker)
                else:
                    if failure is None:
                        finished(job)
                    else:
                        failures.append(failure)
                if failures and failures[-1].is_fatal:
                    waiting.clear()
                idle.append(worker)
        return failures


def _label(job: Job) -> str:
    directory, number = job
    label = directory.tasks[number].label
    return f"{directory.step.name}, {label}" if label else directory.step.name


def _failure(label: str, error: BaseException) -> Failure:
    if isinstance(error, LlemmaError):
        return Failure(label=label, message=str(error), exit_code=error.exit_code, is_fatal=False)
    if isinstance(error, OSError):
        if error.errno is None and _FULL_DISK_WORDS.search(str(error)):  # numpy's tofile keeps the number to itself
            error = OSError(errno.ENOSPC, "")
        is_fatal = error.errno in _FATAL
        if is_fatal:
            error.filename = None  # a temporary file: of no use to a person, and another one each time
        return Failure(label=label, message=describe_os_error(error), exit_code=1, is_fatal=is_fatal)
    if isinstance(error, MemoryError):
        message = "out of memory: use fewer --workers, or smaller 'shard_bytes' or more 'partitions' in the recipe"
        return Failure(label=label, message=message, exit_code=1, is_fatal=True)
    place = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{type(error).__name__}: {error} (in {Path(place.filename).name}:{place.lineno}; -vv shows more)"
    details = "".join(traceback.format_exception(error))
    return Failure(label=label, message=message, exit_code=1, is_fatal=False, details=details)


def _summary(failures: Sequence[Failure]) -> WorkError:
    for failure in failures:
        if failure.details:
            log.debug("%s: %s", failure.label, failure.details)
    fatal = [failure for failure in failures if failure.is_fatal]
    if fatal:
        return WorkError(_line(fatal[0]))
    lines = [_line(failure) for failure in failures[:MAX_SHOWN]]
    if len(failures) > MAX_SHOWN:
        lines.append(f"... and {len(failures) - MAX_SHOWN} more")
    if len(failures) > 1:
        lines.insert(0, f"{len(failures)} tasks failed; what was finished is kept")
    error = WorkError("\n".join(lines))
    error.exit_code = max(failure.exit_code for failure in failures)
    return error


def _line(failure: Failure) -> str:
    return f"{failure.label}: {failure.message}"


class _Worker:
    """One process of the pool and the driver's end of its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # no locks and threads of the driver in the child
        self.connection, theirs = context.Pipe()
        lifeline, self._lifeline = context.Pipe(duplex=False)
        with _quiet_main():
            self._process = context.Process(target=_work, args=(theirs, lifeline), daemon=True)
            self._process.start()
        theirs.close()
        lifeline.close()

    def send(self, job: Job) -> None:
        """Gives the worker a task."""
        # A worker that died while idle is noticed when its answer is waited for.
        with contextlib.suppress(OSError):
            self.connection.send((str(job[0].path), job[1], _label(job)))

    def obituary(self, label: str) -> Failure:
        """What to say of a worker that ended in the middle of a task."""
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        hint = ": often a lack of memory: use fewer --workers" if code == -signal.SIGKILL else ""
        return Failure(label=label, message=f"its worker {how}{hint}", exit_code=1, is_fatal=False)

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.connection.close()
        self._lifeline.close()
        self._process.join(timeout=0.5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


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
    threading.Thread(target=_die_with_driver, args=(lifeline,), daemon=True).start()
    _ask_kernel_to_end_us_too()
    while True:
        try:
            path, number, label = connection.recv()
        except (EOFError, OSError):
            return
        failure: Any = None
        try:
            run_task(path, number)
        except Exception as error:
            failure = _failure(label, error)
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
