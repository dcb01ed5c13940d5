"""How far a build has come, for a progress bar here and for `proof-pile status` in another terminal.

OUT/steps/progress.json, replaced every PERIOD_S while a build runs and removed when it has succeeded:

    engine, pid, host          who builds
    elapsed_s                  since the build began
    stages    [{name, total, done, retried, failed, elapsed_s, bytes}]   those with tasks to do in this run, the last
                               one is at work; bytes = of the inputs of done tasks that no other task of the stage reads
    running   [{label, where, for_s}]   the longest ones first, at most MAX_LISTED;   num_running
    failed    [{label, message}]        at most MAX_LISTED, of this run
    retried   [{label, message}]        likewise

Times are spans told by a clock that never goes back.  Nothing is decided from this file: it may be lost at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from llemma.core.files import TEMPORARY_PREFIX
from llemma.core.progress import Progress, progress
from llemma.core.steps import StepDirectory
from proof_pile.build.engines.failures import Failure, job_label

if TYPE_CHECKING:
    from proof_pile.build.engines.batch import Job

FILE = "progress.json"
PERIOD_S = 1.0
MAX_LISTED = 20


@dataclass
class _Stage:
    name: str
    total: int
    begun: float
    shared: frozenset[str]
    bar: Progress
    ended: float | None = None
    done: int = 0
    retried: int = 0
    failed: int = 0
    bytes: int = 0
    running: dict[Job, list[tuple[float, str]]] = field(default_factory=dict)


class Journal:
    """Is told of every task that begins and ends; a context manager that writes the file while the block runs."""

    def __init__(self, steps: Path | None = None, engine: str = "local") -> None:
        self._path = None if steps is None else steps / FILE
        self._engine = engine
        self._stages: list[_Stage] = []
        self._failed: list[dict[str, str]] = []
        self._retried: list[dict[str, str]] = []
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Journal:
        if self._path is not None:
            self._writer = threading.Thread(target=self._write_often, daemon=True)
            self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._writer is not None and self._path is not None:
            self._writer.join()
            if error is None:
                self._path.unlink(missing_ok=True)
            else:
                self._write()

    @contextlib.contextmanager
    def stage(self, name: str, title: str, jobs: Sequence[Job]) -> Iterator[None]:
        """Shows the progress of these tasks while the block runs."""
        with progress(title, total=len(jobs), unit="tasks") as bar:
            stage = _Stage(name=name, total=len(jobs), begun=time.monotonic(), shared=_shared_paths(jobs), bar=bar)
            with self._lock:
                self._stages.append(stage)
            try:
                yield
            finally:
                stage.ended = time.monotonic()

    def started(self, job: Job, where: str) -> None:
        """A task, or a second copy of it, runs now on the named worker."""
        if self._stages:
            with self._lock:
                self._stages[-1].running.setdefault(job, []).append((time.monotonic(), where))

    def withdrawn(self, job: Job) -> None:
        """A task no longer runs and waits again."""
        if self._stages:
            with self._lock:
                self._stages[-1].running.pop(job, None)

    def finished(self, job: Job) -> None:
        """A task is complete."""
        if self._stages:
            stage = self._stages[-1]
            size = _own_bytes(job, stage.shared)
            with self._lock:
                stage.running.pop(job, None)
                stage.done += 1
                stage.bytes += size
            stage.bar.advance()

    def retried(self, job: Job, failure: Failure) -> None:
        """A task failed and waits again."""
        self._list(self._retried, job, failure)
        if self._stages:
            self._stages[-1].retried += 1
            self._stages[-1].bar.note(self._note())

    def failed(self, job: Job, failure: Failure) -> None:
        """A task failed for good."""
        self._list(self._failed, job, failure)
        if self._stages:
            self._stages[-1].failed += 1
            self._stages[-1].bar.note(self._note())

    def _list(self, entries: list[dict[str, str]], job: Job, failure: Failure) -> None:
        with self._lock:
            if self._stages:
                self._stages[-1].running.pop(job, None)
            entries.append({"label": job_label(*job), "message": failure.message})
            del entries[:-MAX_LISTED]

    def _note(self) -> str:
        stage = self._stages[-1]
        notes = [f"{count:,} {what}" for count, what in ((stage.retried, "retried"), (stage.failed, "failed")) if count]
        return ", ".join(notes)

    def state(self) -> dict[str, Any]:
        """What the file holds."""
        now = time.monotonic()
        with self._lock:
            running: list[dict[str, Any]] = [
                {"label": job_label(*job), "where": where, "for_s": round(now - begun, 1)}
                for stage in self._stages[-1:]
                for job, copies in stage.running.items()
                for begun, where in copies
            ]
            return {
                "engine": self._engine,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "elapsed_s": round(now - self._begun, 1),
                "stages": [
                    {
                        "name": stage.name,
                        "total": stage.total,
                        "done": stage.done,
                        "retried": stage.retried,
                        "failed": stage.failed,
                        "elapsed_s": round((stage.ended or now) - stage.begun, 1),
                        "bytes": stage.bytes,
                    }
                    for stage in self._stages
                ],
                "num_running": len(running),
                "running": sorted(running, key=lambda entry: -entry["for_s"])[:MAX_LISTED],
                "failed": list(self._failed),
                "retried": list(self._retried),
            }

    def _write_often(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._write()

    def _write(self) -> None:
        assert self._path is not None
        temporary = self._path.with_name(f"{TEMPORARY_PREFIX}{FILE}")
        # Not forced to the disk, and no matter if it cannot be written: it is only for looking at.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(self.state()), encoding="utf-8", errors="backslashreplace")
            os.replace(temporary, self._path)


def _shared_paths(jobs: Sequence[Job]) -> frozenset[str]:
    """Inputs that several of the tasks read: an index, say, or all documents in a step that takes them by partition."""
    counts = Counter(item.path for directory, number in jobs for item in directory.tasks[number].inputs)
    return frozenset(path for path, count in counts.items() if count > 1)


def _own_bytes(job: tuple[StepDirectory, int], shared: frozenset[str]) -> int:
    directory, number = job
    total = 0
    for item in directory.tasks[number].inputs:
        if item.path not in shared:
            with contextlib.suppress(OSError):  # remote, or gone
                total += os.path.getsize(item.path)
    return total
