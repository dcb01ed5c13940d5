"""Starting is cheap: no import and no --help loads a heavy package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "sympy", "ray", "datasets", "lm_eval", "matplotlib", "numba", "pyarrow"]

PROGRAM = """
import contextlib, importlib, io, json, sys
program, words = json.loads(sys.argv[1])
if words is None:
    importlib.import_module(program)
else:
    module, _, function = program.partition(":")
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        code = getattr(importlib.import_module(module), function)(words)
    assert code == 0, code
    assert "usage:" in shown.getvalue()
print(json.dumps(sorted(set(json.loads(sys.argv[2])) & set(sys.modules))))
"""

LLEMMA = ["plan", "launch", "status", "cancel", "train", "convert", "report", "data-overlay", "demo"]
EVALUATION = ["run", "perplexity", "compare", "overlap", "export", "list", "grade"]
CASES: list[tuple[str, list[str] | None]] = [
    *((package, None) for package in ("llemma", "llemma.cli", "proof_pile", "eval_tasks", "neox_configs")),
    ("llemma.cli:main", ["--help"]),
    *(("llemma.cli:main", [command, "--help"]) for command in LLEMMA),
    ("proof_pile.build.__main__:main", ["--help"]),
    *(("proof_pile.build.__main__:main", [c, "--help"]) for c in ("plan", "run", "status", "verify")),
    ("eval_tasks.cli:main", ["--help"]),
    *(("eval_tasks.cli:main", [command, "--help"]) for command in EVALUATION),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case[0], *(case[1] or [])]))
def test_start_loads_no_heavy_package(case: tuple[str, list[str] | None]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(case), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
