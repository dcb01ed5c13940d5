"""The fork server: holds numpy and sympy, forks a process for each program, watches it and says what came of it.

Requests on standard input: {"id", "program", "limits", "forms"}, answers on standard output: {"id", "result"}; before
the first, the server says {"layers": [...]} or {"failed": reason}.  It ends when standard input does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import resource
import secrets
import select
import signal
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

from eval_tasks.sandbox import frames, kernel, landlock, namespaces
from eval_tasks.sandbox.folders import is_open_to_all, readable_folders
from eval_tasks.sandbox.program import Cage, Job, run
from eval_tasks.sandbox.results import Limits, Outcome, Result

PRELOADED = ("numpy", "numpy.random", "sympy", "cmath", "collections", "fractions", "itertools", "statistics")
_PROOF_NUMBER = 0  # programs are numbered from 1
_REPORT_BYTES = 1 << 20  # beyond the answer's own bytes
# Tried under every layer before the first program: what it names in its answer stands open that must not.
_PROOF = """
import os, socket
def is_open(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True
def fork():
    if not os.fork():
        os._exit(0)
doors = {
    "reading outside": lambda: os.listdir("/etc"),
    "writing outside": lambda: open("/var/tmp/llemma-sandbox-proof", "w"),
    "sockets": socket.socket,
    "new processes": fork,
    "other programs": lambda: os.execv("/bin/true", ["true"]),
    "signals to the parent": lambda: os.kill(os.getppid(), 0),
}
answer = " and ".join(name for name, door in doors.items() if is_open(door)) or "none"
"""


@dataclass(kw_only=True)
class _Running:
    """A program on its way: its pipes' reading ends, what they gave so far, and why it was killed."""

    number: int
    job: Job
    pid: int
    pidfd: int
    started: float
    pipes: dict[int, bytearray]
    order: tuple[int, int, int]  # output, errors, report
    killed_for: tuple[Outcome, str] | None = None
    layers: list[str] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        return self.started + self.job.limits.wall_s

    def kill(self, outcome: Outcome, reason: str) -> None:
        if self.killed_for is None:
            self.killed_for = outcome, reason
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def take(self, fd: int) -> bool:
        """Reads what stands in a pipe; False at its end or where nothing stands there."""
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return False
        held = self.pipes[fd]
        held += data
        output, errors, report = (self.pipes[one] for one in self.order)
        most = self.job.limits.output_bytes
        if len(output) + len(errors) > most:
            self.kill(Outcome.OUTPUT_LIMIT, f"wrote more than {most} bytes")
            del held[max(0, len(held) - (len(output) + len(errors) - most)) :]
        if len(report) > _REPORT_BYTES + 6 * most:
            self.kill(Outcome.ERROR, "wrote into the channel of its report")
            report.clear()
        return bool(data)


class Server:
    """Programs in, results out, until the input ends."""

    def __init__(self, requests: int, results: int, cage: Cage) -> None:
        self._requests = frames.Reader(requests)
        self._requests_fd = requests
        self._results_fd = results
        self._cage = cage
        self._nursery = namespaces.Nursery() if cage.has_namespaces else None
        self._poll = select.poll()
        self._by_fd: dict[int, _Running] = {}
        self._running: list[_Running] = []
        self._proof: Result | None = None

    def prove(self) -> list[str]:
        """The layers that a program is under.  Raises OSError where one fails or something stands open."""
        program = _PROOF if self._cage.has_seccomp else "answer = 'none'"
        proof = Job(program=program, limits=Limits(wall_s=30, cpu_s=30), forms=("variable",), key=secrets.token_hex(16))
        running = self._start(_PROOF_NUMBER, proof)
        while self._proof is None:
            self._wait(None)
        result = self._proof
        if result.outcome is not Outcome.OK:
            raise OSError(f"the trial program failed: {result.reason}")
        if result.value != "none":
            raise OSError(f"a program under these layers is not shut in; open is {result.value}")
        return running.layers

    def serve(self) -> None:
        """Runs programs until the requests end; then kills those that still run."""
        self._poll.register(self._requests_fd, select.POLLIN)
        while self._wait(self._requests_fd):
            pass
        for running in self._running:
            running.kill(Outcome.ERROR, "the sandbox was closed")

    def _wait(self, requests: int | None) -> bool:
        """Handles what happens next; False when the requests have ended."""
        nearest = min((one.deadline for one in self._running if one.killed_for is None), default=None)
        timeout_ms = None if nearest is None else max(0.0, nearest - time.monotonic()) * 1000
        for fd, _ in self._poll.poll(None if timeout_ms is None else math.ceil(timeout_ms)):
            if fd == requests:
                values = self._requests.read()
                if values is None:
                    return False
                for value in values:
                    self._accept(value)
            elif fd in self._by_fd:
                running = self._by_fd[fd]
                if fd == running.pidfd:
                    self._finish(running)
                elif not running.take(fd):
                    self._forget(fd)
        now = time.monotonic()
        for running in self._running:
            if now >= running.deadline:
                running.kill(Outcome.TIMEOUT, f"ran longer than {running.job.limits.wall_s:g} s")
        return True

    def _accept(self, request: dict[str, Any]) -> None:
        job = Job(
            program=request["program"],
            limits=Limits(**request["limits"]),
            forms=tuple(request["forms"]),
            key=secrets.token_hex(16),
        )
        try:
            self._start(request["id"], job)
        except OSError as error:
            self._say(request["id"], Result(outcome=Outcome.REFUSED, reason=f"no process could be started: {error}"))

    def _start(self, number: int, job: Job) -> _Running:
        pipes = [os.pipe() for _ in range(3)]
        readers = tuple(reader for reader, _ in pipes)
        writers = [writer for _, writer in pipes]
        started = time.monotonic()
        try:
            pid = self._nursery.fork() if self._nursery else os.fork()
        except OSError:
            for fd in (*readers, *writers):
                os.close(fd)
            raise
        if not pid:
            run(job, self._cage, *writers)
        for writer in writers:
            os.close(writer)
        running = _Running(
            number=number,
            job=job,
            pid=pid,
            pidfd=os.pidfd_open(pid),
            started=started,
            pipes={reader: bytearray() for reader in readers},
            order=(readers[0], readers[1], readers[2]),
        )
        for reader in readers:
            os.set_blocking(reader, False)
        for fd in (running.pidfd, *readers):
            self._by_fd[fd] = running
            self._poll.register(fd, select.POLLIN)
        self._running.append(running)
        return running

    def _forget(self, fd: int) -> None:
        del self._by_fd[fd]
        self._poll.unregister(fd)

    def _finish(self, running: _Running) -> None:
        _, status, usage = os.wait4(running.pid, 0)
        wall_s = time.monotonic() - running.started
        self._running.remove(running)
        for fd in running.order:
            while running.take(fd):
                pass
        for fd in (running.pidfd, *running.order):
            if fd in self._by_fd:
                self._forget(fd)
            os.close(fd)
        output, errors, report = (bytes(running.pipes[fd]) for fd in running.order)
        cpu_s = usage.ru_utime + usage.ru_stime
        outcome, reason, value = _judged(running, report, status, cpu_s)
        result = Result(
            outcome=outcome,
            reason=reason,
            output=output.decode("utf-8", "replace"),
            errors=errors.decode("utf-8", "replace"),
            value=value,
            wall_s=round(wall_s, 6),
            cpu_s=round(cpu_s, 6),
            peak_bytes=usage.ru_maxrss * 1024,
        )
        self._say(running.number, result)

    def _say(self, number: int, result: Result) -> None:
        if number == _PROOF_NUMBER:
            self._proof = result
        else:
            frames.send(self._results_fd, {"id": number, "result": asdict(result)})


def _judged(running: _Running, report: bytes, status: int, cpu_s: float) -> tuple[Outcome, str, str | None]:
    """Outcome, reason and answer of a program that has ended."""
    limits = running.job.limits
    if running.killed_for is not None:
        return *running.killed_for, None
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        # The kernel's limit counts ticks, wait4 counts time: on a busy machine they differ by a good part.
        if name == "SIGKILL" and cpu_s >= limits.cpu_s / 2:
            return Outcome.TIMEOUT, f"used {limits.cpu_s} s of processor time", None
        return Outcome.ERROR, f"was killed by {name}", None
    if not report:
        return Outcome.ERROR, f"left with exit code {os.WEXITSTATUS(status)} before its end", None
    said = _read_report(report, running.job.key)
    if said is None:
        return Outcome.ERROR, "wrote into the channel of its report", None
    running.layers = said.get("layers", [])
    text = str(said.get("text", ""))
    kind = said.get("kind")
    if kind == "ended":
        value = said.get("value")
        return Outcome.OK, "reached its end", None if value is None else str(value)
    if kind == "memory":
        return Outcome.MEMORY, f"needed more than {limits.memory_bytes >> 20} MB beyond the preloaded packages", None
    if kind == "refused":
        return Outcome.REFUSED, f"a layer of the sandbox could not be put in place: {text}", None
    return (Outcome.OUTPUT_LIMIT if kind == "output" else Outcome.ERROR), text, None


def _read_report(report: bytes, key: str) -> dict[str, Any] | None:
    """The report, or None where it is not the one that our own code wrote."""
    try:
        said = json.loads(report)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("key") != key:
        return None
    return said


def main() -> None:
    """Makes the place, loads the packages, proves the layers and serves."""
    requests, results = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    backend = frames.Reader(requests).read_one()["backend"]
    try:
        server = _made(backend, requests, results)
        layers = server.prove()
    except (OSError, ImportError) as error:
        frames.send(results, {"failed": f"{type(error).__name__}: {error}"})
        return
    frames.send(results, {"layers": layers})
    server.serve()


def _made(backend: str, requests: int, results: int) -> Server:
    readable = readable_folders()
    has_seccomp = backend != "unprotected"
    version = landlock.abi() if has_seccomp else 0
    if backend == "landlock" and version < landlock.LEAST_ABI:
        raise OSError(f"this kernel's Landlock has ABI {version}, wanted is {landlock.LEAST_ABI} (Linux 6.2) or newer")
    is_root = os.getuid() == 0
    becomes_nobody = is_root and (backend == "namespaces" or (backend != "bwrap" and is_open_to_all(readable)))
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")
    if backend == "namespaces":
        namespaces.enter(readable)
        _live_in_a_child()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    _load()
    with open(os.open("self/statm", os.O_RDONLY, dir_fd=proc), encoding="ascii") as file:
        base_bytes = int(file.read().split()[0]) * resource.getpagesize()
    os.close(proc)
    cage = Cage(
        readable=readable,
        landlock_abi=version,
        base_bytes=base_bytes,
        has_namespaces=backend == "namespaces",
        has_seccomp=has_seccomp,
        becomes_nobody=becomes_nobody,
    )
    return Server(requests, results, cage)


def _live_in_a_child() -> None:
    """Goes on as the first process of the new PID namespace; the old process waits for it and ends as it does."""
    child = os.fork()
    if child:
        for fd in range(16):
            with contextlib.suppress(OSError):
                os.close(fd)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _load() -> None:
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    for name in PRELOADED:
        importlib.import_module(name)
    _warm_up(sys.modules["sympy"])
    sys.path[:] = [entry for entry in sys.path if os.path.isdir(entry)]
    gc.collect()
    gc.freeze()  # else a child's first collection would copy every page


def _warm_up(sympy: Any) -> None:
    """Calls what loads more on its first use."""
    x = sympy.Symbol("x")
    sympy.latex(sympy.Matrix(sympy.solve(x**2 - x - 1, x)))
    sympy.simplify(sympy.integrate(sympy.sin(x) * x, (x, 0, 1)))
    sympy.nsimplify(sympy.N(sympy.sqrt(2)) * 2)


if __name__ == "__main__":
    main()
