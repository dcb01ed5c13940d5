"""SymPy behind a process wall: expression trees that we built go in, a verdict comes out, or the job is killed.

One server process holds SymPy and forks a child for each job; the child is killed after `WORKER_SECONDS` and bounded
in memory. No signals are used in the calling process, so any thread and any subprocess may ask. The server starts at
the first question. A process forked from one that has a server starts its own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

from eval_tasks.answers import limits
from eval_tasks.answers.build import digits_of
from eval_tasks.answers.limits import OutOfTimeError, UnsupportedError
from eval_tasks.answers.values import Bound, Call, Constant, Node, Power, Product, Quotient, Root, Sum, Symbol

_START_SECONDS = 60.0
_GRACE_SECONDS = 2.0  # beyond a job's own time before the server itself is given up


class Server:
    """The process that holds SymPy, and its pipes."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        inherited = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "PYTHONPATH": root + (os.pathsep + inherited if inherited else ""),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eval_tasks.answers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.buffer = b""
        if self.line(_START_SECONDS) != b"ready":
            self.close()
            raise UnsupportedError("SymPy is not to be had")

    def line(self, seconds: float) -> bytes | None:
        """The next line from the server, or None if none comes in time or the server is gone."""
        output = self.process.stdout
        assert output is not None
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([output], [], [], seconds)
            if not ready:
                return None
            chunk = os.read(output.fileno(), 65536)
            if not chunk:
                return None
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The server's answer to a job. Raises OutOfTimeError."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        line = self.line(job["seconds"] + _GRACE_SECONDS)
        if line is None:
            raise OutOfTimeError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the server and waits for it."""
        if self.owner != os.getpid():
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # bytes for a dead process
                    pipe.close()


_lock = threading.Lock()
_server: Server | None = None
_is_missing = False


def ask(job: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer to one job.

    Raises OutOfTimeError where it took too long, UnsupportedError where there is no SymPy.
    """
    global _server, _is_missing
    with _lock:
        if _server is not None and _server.owner != os.getpid():
            _server = None
        if _server is not None and _server.process.poll() is not None:  # it died while it had nothing to do
            _server.close()
            _server = None
        if _server is None:
            if _is_missing:
                raise UnsupportedError("SymPy is not to be had")
            try:
                _server = Server()
            except (OSError, UnsupportedError):
                _is_missing = True
                raise UnsupportedError("SymPy is not to be had") from None
        try:
            answer = _server.ask(job)
        except (OutOfTimeError, OSError, ValueError):
            _server.close()
            _server = None
            raise OutOfTimeError from None
    if answer.get("timeout"):
        raise OutOfTimeError
    return answer


def close() -> None:
    """Ends the worker, if one runs; the next question starts a new one."""
    global _server
    with _lock:
        if _server is not None:
            _server.close()
            _server = None


atexit.register(close)


def _after_fork() -> None:
    global _lock, _server
    _lock = threading.Lock()
    _server = None


os.register_at_fork(after_in_child=_after_fork)


def is_zero(left: Node, right: Node) -> bool | None:
    """Whether SymPy simplifies left - right to 0; None where it can tell neither way.

    Raises OutOfTimeError and UnsupportedError.
    """
    try:
        job = {
            "kind": "is_zero",
            "left": encoded(left),
            "right": encoded(right),
            "seconds": limits.WORKER_SECONDS,
        }
    except RecursionError:
        raise UnsupportedError("nested too deeply") from None
    verdict = ask(job).get("verdict")
    return verdict if isinstance(verdict, bool) else None


def encoded(node: Node) -> list[Any]:
    """The expression as nested lists for JSON."""
    if isinstance(node, int):
        return ["n", digits_of(node), "1"]
    if isinstance(node, Fraction):
        return ["n", digits_of(node.numerator), digits_of(node.denominator)]
    kind = type(node)
    if kind is Symbol:
        return ["symbol", node.name]
    if kind is Constant:
        return ["constant", node.name]
    if kind is Sum:
        return ["sum", *(encoded(term) for term in node.terms)]
    if kind is Product:
        return ["product", *(encoded(factor) for factor in node.factors)]
    if kind is Quotient:
        return ["quotient", encoded(node.numerator), encoded(node.denominator)]
    if kind is Power:
        return ["power", encoded(node.base), encoded(node.exponent)]
    if kind is Root:
        return ["root", encoded(node.radicand), encoded(node.index)]
    if kind is Call:
        return ["call", node.name, *(encoded(argument) for argument in node.arguments)]
    if kind is Bound:
        ends = [None if end is None else encoded(end) for end in (node.lower, node.upper)]
        return ["bound", node.kind, node.variable, *ends, encoded(node.body)]
    raise UnsupportedError(f"SymPy is not asked about {kind.__name__}")
