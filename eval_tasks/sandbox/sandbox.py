"""The sandbox as Python users hold it: open it, run programs from as many threads as you like, close it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict
from typing import IO, Any

from eval_tasks.sandbox import frames
from eval_tasks.sandbox.backends import AUTOMATIC, BACKENDS, ENVIRONMENT, server_command
from eval_tasks.sandbox.results import Limits, Outcome, Result
from llemma.core.errors import InputError, WorkError

_PATIENCE_S = 30.0  # beyond a program's wall time, until a server counts as hung
_START_S = 120.0
_CLOSE_S = 5.0


class _ServerGoneError(Exception):
    """The server ended or hung before it answered."""


class _Server:
    """One server process and the thread that takes its answers."""

    def __init__(self, backend: str, image: str | None) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the server)
        self._process = subprocess.Popen(
            server_command(backend, image),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._number = 0
        self.is_alive = True
        started: Future[dict[str, Any]] = Future()
        self._waiting[-1] = started
        self._reader = threading.Thread(target=self._take_answers, name="llemma-sandbox", daemon=True)
        self._reader.start()
        try:
            frames.send(self._to, {"backend": backend})
            greeting = started.result(timeout=_START_S)
        except (OSError, _ServerGoneError, FutureTimeoutError):
            greeting = {"failed": self._last_words() or "the server did not come up"}
        if "failed" in greeting:
            self.end()
            raise WorkError(greeting["failed"])
        self.layers = tuple(greeting["layers"])

    def run(self, request: dict[str, Any], patience_s: float) -> dict[str, Any]:
        """The server's answer.  Raises _ServerGoneError where there is none, and ends a server that hangs."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if not self.is_alive:
                raise _ServerGoneError
            self._number += 1
            self._waiting[self._number] = answer
            try:
                frames.send(self._to, {"id": self._number, **request})
            except OSError:
                raise _ServerGoneError from None
        try:
            result: dict[str, Any] = answer.result(timeout=patience_s)["result"]
            return result
        except FutureTimeoutError:
            self.end()
            raise _ServerGoneError from None

    def _take_answers(self) -> None:
        reader = frames.Reader(self._from)
        with contextlib.suppress(OSError, ValueError):
            while (answers := reader.read()) is not None:
                for answer in answers:
                    waiting_for = self._waiting.pop(answer.get("id", -1), None)
                    if waiting_for is not None:
                        waiting_for.set_result(answer)
        with self._lock:
            self.is_alive = False
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for future in waiting:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(_ServerGoneError())

    def end(self) -> None:
        """Lets the server end, with all that runs in it, and waits for that."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock, contextlib.suppress(OSError):  # nobody may write to a number that has a new owner
            self.is_alive = False
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=_CLOSE_S)
        with contextlib.suppress(OSError):
            self._process.stdout.close()
            self._complaints.close()

    def _last_words(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read()[-2000:].decode("utf-8", "replace").strip()


class Sandbox:
    """Runs Python programs, each shut in by itself; a context manager, to be used from any number of threads.

    backend: one of `backends.BACKENDS`, or "auto" for the first of namespaces, bwrap and landlock that this machine
    can do.  Raises InputError where it cannot be had, and with "auto" where none can: programs never run without
    protection unless backend="unprotected" says so.
    Only the backend namespaces gives programs a folder to write in (/tmp, empty at first and gone afterwards).
    workers: programs that run at one time, by default as many as there are processors; more wait for their turn.
    image: the container image for the backend docker.
    """

    def __init__(
        self,
        backend: str = "auto",
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        image: str | None = None,
    ) -> None:
        if backend not in ("auto", *BACKENDS):
            raise InputError(f"there is no sandbox backend '{backend}': known are auto, {', '.join(BACKENDS)}")
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}, but must be at least 1")
        self.limits = limits or Limits()
        self.workers = workers or len(os.sched_getaffinity(0))
        self._image = image
        self._turn = threading.Semaphore(self.workers)
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._is_closed = False
        self.backend, self._server = self._first(AUTOMATIC if backend == "auto" else (backend,))

    def _first(self, backends: Iterable[str]) -> tuple[str, _Server]:
        faults = []
        for backend in backends:
            try:
                return backend, _Server(backend, self._image)
            except (InputError, WorkError) as error:
                faults.append(f"  {backend}: {error}")
        raise InputError(
            "programs cannot be shut in on this machine, so none is run:\n"
            + "\n".join(faults)
            + "\nAsk for another backend, or for 'unprotected' where the machine may be harmed."
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """What holds each program, as a trial program found it at the server's start."""
        return self._server.layers

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server and every program that still runs."""
        with self._lock:
            self._is_closed = True
            if self._owner == os.getpid():
                self._server.end()

    def run(self, program: str, *, limits: Limits | None = None, forms: Iterable[str] = ()) -> Result:
        """Runs one program.  forms: where its answer is looked for (see `programs.AnswerForm`).

        A server that was killed is started again, and the program once more; the second time it is an ERROR.
        """
        limits = limits or self.limits
        fault = self._fault_of(program, limits)
        if fault is not None:
            return Result(outcome=Outcome.REFUSED, reason=fault)
        request = {"program": program, "limits": asdict(limits), "forms": list(forms)}
        with self._turn:
            for _ in range(2):
                server = self._living_server()
                with contextlib.suppress(_ServerGoneError):
                    return Result(**self._typed(server.run(request, limits.wall_s + _PATIENCE_S)))
        return Result(outcome=Outcome.ERROR, reason="the sandbox's server ended twice while the program ran")

    def run_many(self, programs: Iterable[str], *, limits: Limits | None = None) -> Iterator[Result]:
        """Results in the programs' order, so many at a time as there are workers."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(lambda program: self.run(program, limits=limits), programs)

    def _fault_of(self, program: str, limits: Limits) -> str | None:
        if limits.processes > 1 and self.backend not in ("namespaces", "unprotected"):
            return f"the backend '{self.backend}' runs one process a program, {limits.processes} were asked for"
        try:
            size = len(program.encode())
        except UnicodeEncodeError:
            return "the program holds characters that are no text (lone surrogates)"
        if size > limits.program_bytes:
            return f"the program has {size} bytes, {limits.program_bytes} are allowed"
        return None

    @staticmethod
    def _typed(result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "outcome": Outcome(result["outcome"])}

    def _living_server(self) -> _Server:
        with self._lock:
            if self._is_closed:
                raise ValueError("this sandbox was closed")
            if self._owner != os.getpid():  # after a fork: the server is the parent's
                self._owner = os.getpid()
                self._server = _Server(self.backend, self._image)
            elif not self._server.is_alive:
                self._server.end()
                self._server = _Server(self.backend, self._image)
            return self._server
