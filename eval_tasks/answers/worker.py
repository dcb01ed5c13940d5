"""The server that holds SymPy (see symbolic.py). Reads one JSON job a line, answers one JSON line.

Jobs: {"kind": "is_zero", "left": tree, "right": tree, "seconds": s} and
{"kind": "published", "gold": text, "prediction": text, "seconds": s}, the latter for the published Minerva metric.
Trees are built into SymPy objects node by node; no text is ever evaluated, and names become plain symbols.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from functools import cache
from typing import Any

from eval_tasks.answers import limits, names


def main() -> None:
    """Serves jobs until the input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import sympy  # noqa: F401  (held for the children)

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        if job["kind"] == "published":
            _load_reader()
        sys.stdout.write(json.dumps(_in_child(job)) + "\n")
        sys.stdout.flush()


@cache
def _load_reader() -> None:
    """Loads SymPy's LaTeX reader before the fork, so that no child has to."""
    try:
        from sympy.parsing.latex import parse_latex

        parse_latex("1")
    except Exception:  # without antlr4 every published job ends in an error, and says so
        return


def _in_child(job: dict[str, Any]) -> dict[str, Any]:
    """The job's answer from a forked child, or {"timeout": true} when it was killed for time."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _limit()
        try:
            answer = _answer(job)
        except BaseException as error:  # whatever SymPy raises, the verdict is "cannot tell"
            answer = {"error": type(error).__name__}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + job["seconds"]
    data = b""
    is_late = False
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            is_late = True
            break
        chunk = os.read(reader, 65536)
        if not chunk:
            break
        data += chunk
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    if is_late:
        return {"timeout": True}
    return json.loads(data) if data else {"error": "the child died"}


def _limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = limits.WORKER_BYTES if hard == resource.RLIM_INFINITY else min(limits.WORKER_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    if job["kind"] == "published":
        return {"verdict": _published(job["gold"], job["prediction"])}
    import sympy

    difference = _built(job["left"]) - _built(job["right"])
    difference = difference.doit()
    if difference.has(sympy.Integral, sympy.Limit):
        return {"verdict": None}
    verdict = sympy.simplify(difference)
    if verdict == 0:
        return {"verdict": True}
    return {"verdict": False if verdict.is_zero is False or verdict.is_number else None}


def _published(gold: str, prediction: str) -> bool:
    """SymPy's own LaTeX reader and simplify, as the published metric calls them: its faults are the point."""
    from sympy import simplify
    from sympy.parsing.latex import parse_latex

    first = parse_latex(gold)
    second = parse_latex(prediction)
    if not first:  # a gold answer that reads as 0 counts as unreadable (a known fault)
        return False
    return bool(simplify(second - first) == 0)


def _built(tree: list[Any]) -> Any:
    """The SymPy object of an encoded expression."""
    import sympy

    kind, *parts = tree
    if kind == "n":
        return sympy.Rational(int(parts[0]), int(parts[1]))
    if kind == "symbol":
        return sympy.Symbol(parts[0])
    if kind == "constant":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}[parts[0]]
    if kind == "sum":
        return sympy.Add(*map(_built, parts))
    if kind == "product":
        return sympy.Mul(*map(_built, parts))
    if kind == "quotient":
        return _built(parts[0]) / _built(parts[1])
    if kind == "power":
        return _built(parts[0]) ** _built(parts[1])
    if kind == "root":
        return (
            sympy.real_root(_built(parts[0]), _built(parts[1]))
            if _is_odd(parts[1])
            else (_built(parts[0]) ** (1 / _built(parts[1])))
        )
    if kind == "call":
        return _function(parts[0], [_built(part) for part in parts[1:]])
    operation, name, lower, upper, body = parts
    variable = sympy.Symbol(name)
    inner = _built(body)
    if operation == "limit":
        return sympy.Limit(inner, variable, _built(lower))
    if lower is None:
        return sympy.Integral(inner, variable)
    ends = (variable, _built(lower), _built(upper))
    return {"sum": sympy.Sum, "product": sympy.Product, "integral": sympy.Integral}[operation](inner, ends)


_SYMPY_FUNCTIONS = frozenset(
    names.words(
        "sin cos tan cot sec csc sinh cosh tanh coth asin acos atan acot asec acsc asinh acosh atanh "
        "exp floor re im factorial gamma erf gcd lcm"
    )
)


def _is_odd(tree: list[Any]) -> bool:
    return tree[0] == "n" and tree[2] == "1" and int(tree[1]) % 2 == 1


def _function(name: str, arguments: list[Any]) -> Any:
    import sympy

    special = {
        "ln": sympy.log, "log": sympy.log, "abs": sympy.Abs, "ceil": sympy.ceiling, "conj": sympy.conjugate,
        "sgn": sympy.sign, "binom": sympy.binomial, "min": sympy.Min, "max": sympy.Max,
        "logb": lambda base, value: sympy.log(value) / sympy.log(base),
    }  # fmt: skip
    if name in special:
        return special[name](*arguments)
    if name in _SYMPY_FUNCTIONS:
        return getattr(sympy, name)(*arguments)
    return sympy.Function("unknown_" + name)(*arguments)


if __name__ == "__main__":
    main()
