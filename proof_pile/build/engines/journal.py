"""How far a build has come, for a progress bar here and for `proof-pile status` in another terminal.

OUT/steps/progress.json, replaced every PERIOD_S while a build runs and removed when it has succeeded:

    engine, pid, host          who builds
    elapsed_s                  since the build began
    stages    [{name, total, done, retried, failed, elapsed_s, bytes, at_work}]   those with tasks to do in this run;
                               bytes = of the inputs of done tasks that no other task of the stage reads
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
        self._at_work: dict[StepDirectory, _Stage] = {}
        self._bar: Progress | None = None
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
    def stages(self, *stages: tuple[str, str, Sequence[Job]]) -> Iterator[None]:
        """Shows the progress of stages that run at once (name, title and tasks of each) while the block runs."""
        title = "; ".join(title for _, title, _ in stages)
        with progress(title, total=sum(len(jobs) for _, _, jobs in stages), unit="tasks") as self._bar:
            with self._lock:
                for name, _, jobs in stages:
                    stage = _Stage(name=name, total=len(jobs), begun=time.monotonic(), shared=_shared_paths(jobs))
                    self._stages.append(stage)
                    self._at_work |= dict.fromkeys((directory for directory, _ in jobs), stage)
            try:
                yield
            finally:
                with self._lock:
                    for stage in self._at_work.values():
                        stage.ended = stage.ended or time.monotonic()
                    self._at_work = {}

    def started(self, job: Job, where: str) -> None:
        """A task, or a second copy of it, runs now on the named worker."""
        with self._lock:
            if stage := self._at_work.get(job[0]):
                stage.running.setdefault(job, []).append((time.monotonic(), where))

    def withdrawn(self, job: Job) -> None:
        """A task no longer runs and waits again."""
        with self._lock:
            if stage := self._at_work.get(job[0]):
                stage.running.pop(job, None)

    def finished(self, job: Job) -> None:
        """A task is complete."""
        stage = self._at_work.get(job[0])
        if stage is None or self._bar is None:
            return
        size = _own_bytes(job, stage.shared)
        with self._lock:
            stage.running.pop(job, None)
            stage.done += 1
            stage.bytes += size
            if stage.done + stage.failed == stage.total:
                stage.ended = time.monotonic()
        self._bar.advance()

    def retried(self, job: Job, failure: Failure) -> None:
        """A task failed and waits again."""
        if stage := self._list(self._retried, job, failure):
            stage.retried += 1
            self._show_note()

    def failed(self, job: Job, failure: Failure) -> None:
        """A task failed for good."""
        if stage := self._list(self._failed, job, failure):
            stage.failed += 1
            self._show_note()

    def _list(self, entries: list[dict[str, str]], job: Job, failure: Failure) -> _Stage | None:
        with self._lock:
            stage = self._at_work.get(job[0])
            if stage is not None:
                stage.running.pop(job, None)
            entries.append({"label": job_label(*job), "message": failure.message})
            del entries[:-MAX_LISTED]
        return stage

    def _show_note(self) -> None:
        found = {id(stage): stage for stage in self._at_work.values()}.values()
        counts = ((sum(stage.retried for stage in found), "retried"), (sum(stage.failed for stage in found), "failed"))
        if self._bar is not None:
            self._bar.note(", ".join(f"{count:,} {what}" for count, what in counts if count))

    def state(self) -> dict[str, Any]:
        """What the file holds."""
        now = time.monotonic()
        with self._lock:
            running: list[dict[str, Any]] = [
                {"label": job_label(*job), "where": where, "for_s": round(now - begun, 1)}
                for stage in self._stages
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
                        "at_work": stage.ended is None,
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
