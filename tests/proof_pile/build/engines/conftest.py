"""Tasks that do what they are told, for tests of engines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llemma.core.steps import Step, StepDirectory, Task
from proof_pile.build.engines.batch import Job

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(autouse=True)
def _functions_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())


def python_path() -> str:
    """What lets another Python import what this one can, and the functions of these tests."""
    return os.pathsep.join([str(HERE), *filter(None, sys.path)])


@pytest.fixture
def make_jobs(tmp_path: Path) -> Callable[..., list[Job]]:
    """A function that makes a step in tmp_path/steps with a task for each word, which says what that task does."""

    def make(*hows: str, **args: Any) -> list[Job]:
        marks = tmp_path / "marks"
        marks.mkdir(exist_ok=True)
        tasks = [
            Task(inputs=(), label=f"{how} {number}", args={"how": how, "n": number, **args})
            for number, how in enumerate(hows)
        ]
        step = Step(name="act", version=1, function="engine_functions:act", params={"folder": str(marks)})
        directory = StepDirectory.create(tmp_path / "steps", step, tasks)
        return [(directory, number) for number in range(len(tasks))]

    return make


@pytest.fixture
def tries(tmp_path: Path) -> Callable[[Job], int]:
    """A function that says how often a task was begun."""
    return lambda job: len(list((tmp_path / "marks").glob(f"{job[0].tasks[job[1]].key}.*")))
