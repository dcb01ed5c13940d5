"""The process of one program: puts itself under the sandbox's layers, runs the program, reports, ends."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import json
import linecache
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, NoReturn

from eval_tasks.sandbox import kernel, landlock, namespaces, seccomp
from eval_tasks.sandbox.answer_text import answer_text
from eval_tasks.sandbox.results import Limits

FILE_NAME = "<program>"
REPORT_FD = 3
_TRACEBACK_CHARS = 2000
_TRACEBACK_FRAMES = 8  # the innermost: a deep recursion has a million
_STACK_BYTES = 8 << 20
_OPEN_FILES = 64


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program: what it is, what it may use, in which forms its answer is looked for, and its report's key."""

    program: str
    limits: Limits
    forms: tuple[str, ...]
    key: str


@dataclass(frozen=True, kw_only=True)
class Cage:
    """What the layers need to know, the same for every program of a server.

    readable: folders that programs may read.   landlock_abi: 0 for none.   base_bytes: the server's address space.
    has_namespaces: each program gets its own.   has_seccomp: False only where the user asked for no protection.
    """

    readable: tuple[str, ...]
    landlock_abi: int
    base_bytes: int
    has_namespaces: bool
    has_seccomp: bool
    becomes_nobody: bool


def run(job: Job, cage: Cage, output: int, errors: int, report: int) -> NoReturn:
    """Runs in the forked child: never returns.  output, errors and report are the ends of pipes to write to."""
    prepared = False
    try:
        _take_pipes(output, errors, report)
        layers = confine(cage, job.limits)
        prepared = True
        _send(job.key, **_execute(job), layers=layers)
    except BaseException as error:
        kind = "raised" if prepared else "refused"
        with contextlib.suppress(BaseException):
            _send(job.key, kind=kind, text=f"{type(error).__name__}: {error}"[:_TRACEBACK_CHARS])
    finally:
        os._exit(0)


def _take_pipes(output: int, errors: int, report: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    # First out of the way of the numbers that they are to have.
    high = [os.dup2(fd, 100 + place, inheritable=False) for place, fd in enumerate((nothing, output, errors, report))]
    for place, fd in enumerate(high):
        os.dup2(fd, place)
    os.closerange(REPORT_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file above its size is then an OSError
    os.umask(0o077)


def confine(cage: Cage, limits: Limits) -> list[str]:
    """Puts this process under every layer there is and returns their names.  Raises OSError where one fails."""
    layers = []
    writable = ["/dev/null"]
    if cage.has_namespaces:
        namespaces.enter_for_program(limits.file_bytes, becomes_nobody=cage.becomes_nobody)
        layers += [f"{name} namespace" for name in namespaces.LAYERS]
        writable.append("/tmp")
    else:
        os.chdir("/")
        if cage.becomes_nobody:
            namespaces.become_nobody()
    if cage.becomes_nobody:
        layers.append("user nobody")
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which undoes it
    layers += ["no capabilities", "no new privileges"]
    _set_limits(cage, limits)
    layers.append("resource limits")
    if cage.landlock_abi:
        landlock.restrict(cage.landlock_abi, cage.readable, writable)
        layers.append(f"Landlock (ABI {cage.landlock_abi})")
    if cage.has_seccomp:
        seccomp.install(own_pid=os.getpid(), may_fork=cage.has_namespaces and limits.processes > 1)
        layers.append("seccomp")
    return layers


def _set_limits(cage: Cage, limits: Limits) -> None:
    # Soft and hard alike: the first process of a PID namespace would pass over SIGXCPU.
    wanted = {
        resource.RLIMIT_AS: cage.base_bytes + limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_STACK: _STACK_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if cage.has_namespaces:
        wanted[resource.RLIMIT_NPROC] = limits.processes
    for what, most in wanted.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _execute(job: Job) -> dict[str, Any]:
    """Runs the program and looks for its answer: what the report says."""
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115  (open as long as the process)
    sys.stdout = _text_stream(1)
    sys.stderr = _text_stream(2)
    _make_repeatable()
    linecache.cache[FILE_NAME] = (len(job.program), None, job.program.splitlines(keepends=True), FILE_NAME)
    # One namespace for globals and locals: with two, a function would not see the program's own imports.
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    memory_is_out = {"kind": "memory"}
    try:
        body, last = _compiled(job.program)
        exec(body, names)
        last_value = None if last is None else eval(last, names)
        value = _answer(names, last_value, job.forms)
        _flush()
    except MemoryError:
        names.clear()
        return memory_is_out
    except SystemExit as stop:
        _flush()
        if stop.code in (None, 0):
            return {"kind": "ended", "value": _answer(names, None, job.forms)}
        return {"kind": "raised", "text": f"SystemExit: {stop.code}"[:_TRACEBACK_CHARS]}
    except BaseException as error:
        _flush()
        return {"kind": "raised", "text": _end_of_traceback(error)}
    if value is not None and len(value) > job.limits.output_bytes:
        return {"kind": "output", "text": f"the answer has {len(value)} characters"}
    return {"kind": "ended", "value": value}


def _text_stream(fd: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        open(fd, "wb", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _make_repeatable() -> None:
    """The same program gives the same answer: nothing random differs from run to run."""
    random.seed(0)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(0)


def _compiled(program: str) -> tuple[CodeType, CodeType | None]:
    """The program without its last expression, and that expression."""
    tree = ast.parse(program, FILE_NAME)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = compile(ast.Expression(tree.body.pop().value), FILE_NAME, "eval")  # type: ignore[attr-defined]
    return compile(tree, FILE_NAME, "exec"), last


def _answer(names: Mapping[str, Any], last_value: Any, forms: Sequence[str]) -> str | None:
    """The program's answer in the first form that it has."""
    for form in forms:
        value = None
        if form == "solution" and callable(names.get("solution")):
            value = names["solution"]()
        elif form == "variable":
            value = names.get("answer")
        elif form == "expression":
            value = last_value
        text = answer_text(value)
        if text is not None:
            return text
    return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _end_of_traceback(error: BaseException) -> str:
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename != FILE_NAME:
        place = place.tb_next
    try:
        lines = traceback.format_exception(type(error), error, place, limit=-_TRACEBACK_FRAMES)
        return "".join(lines)[-_TRACEBACK_CHARS:].strip()
    except Exception:
        return type(error).__name__


def _send(key: str, **report: object) -> None:
    data = json.dumps({"key": key, **report}).encode()
    while data:
        data = data[os.write(REPORT_FD, data) :]
