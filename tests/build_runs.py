"""Builds as processes of their own, and what they leave: for tests that kill them or compare engines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from llemma.core.files import sha256_file

sys.path.insert(0, str(Path(__file__).parent / "proof_pile/build"))

from little_corpus import write_corpus  # noqa: F401

# They hold times, process numbers, or times of change of the input.
LEFT_OUT = {"record.json", "mixture.record.json", ".lock", "input-hashes.json"}


def start_build(
    recipe: Path, out: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A build in a session of its own, whose output can be read when it has ended."""
    command = [sys.executable, "-P", "-m", "proof_pile.build", "--recipe", str(recipe), "--out", str(out), *options]
    # This repository first, and not the current folder: tests/proof_pile would be taken for the package.
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        env={**variables, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_build(
    recipe: Path, out: Path, *options: str, environment: Mapping[str, str] | None = None, code: int = 0
) -> str:
    """Builds, expects that exit code, and returns what was printed."""
    shown, _ = (build := start_build(recipe, out, *options, environment=environment)).communicate(timeout=600)
    assert build.returncode == code, shown
    return shown


def is_record(path: Path) -> bool:
    """Whether a file is a task's record."""
    return path.parent.parent.name == "steps" and path.suffix == ".json" and len(path.stem) == 16


def contents(out: Path) -> dict[str, str]:
    """Hashes of all files but for task records (they hold times), engines' logs and LEFT_OUT."""
    return {
        str(path.relative_to(out)): sha256_file(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and not is_record(path) and path.name not in LEFT_OUT and path.parent.name != "logs"
    }


def num_records(out: Path) -> int:
    """How many tasks are complete."""
    return len(list(out.glob("steps/*/????????????????.json")))


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Waits for a condition.  Raises AssertionError where it does not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, condition
        signal.sigtimedwait([], 0.01)
