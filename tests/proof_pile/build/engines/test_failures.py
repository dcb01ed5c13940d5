"""What a failure says to a person, and that it survives the way from another process."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from llemma.core.errors import InputError, WorkError
from llemma.core.steps import InputFile, Step, StepDirectory, Task
from proof_pile.build.engines.failures import FailedTask, Failure, TasksFailedError, failure_of


def test_message_names_the_task_its_inputs_and_what_to_do(tmp_path: Path) -> None:
    inputs = tuple(InputFile(path=f"/data/{name}", sha256="0" * 64) for name in "abcde")
    step = Step(name="read-web", version=1, function="m:f")
    directory = StepDirectory.create(tmp_path / "a folder", step, [Task(inputs=inputs, label="part-1")])
    failure = Failure(message="its node died", may_pass=True)
    error = TasksFailedError([FailedTask(directory=directory, number=0, failure=failure, tries=3)])
    lines = str(error).splitlines()
    assert lines[0] == "read-web, part-1: its node died (tried 3 times)"
    assert lines[1] == "  its inputs: /data/a, /data/b, /data/c and 2 more"
    assert lines[2] == f"  to run it alone: python -m proof_pile.build task '{directory.path}' 0"
    assert "run the same command again" in lines[3]


@pytest.mark.parametrize(
    ("error", "may_pass", "is_fatal"),
    [
        (OSError(errno.ESTALE, "Stale file handle"), True, False),
        (OSError(errno.EIO, "Input/output error"), True, False),
        (OSError(errno.ENOSPC, "No space left on device"), False, True),
        (OSError(errno.EACCES, "Permission denied"), False, False),
        (InputError("wrong"), False, False),
        (WorkError("lost"), False, False),
        (KeyError("x"), False, False),
    ],
)
def test_failure_may_pass_where_the_cause_is_the_network_or_the_machine(
    error: Exception, may_pass: bool, is_fatal: bool
) -> None:
    failure = failure_of(error)
    assert (failure.may_pass, failure.is_fatal) == (may_pass, is_fatal)


def test_failure_survives_the_way_through_json() -> None:
    failure = failure_of(InputError("wrong ünïcode"))
    assert Failure.from_json(json.loads(json.dumps(failure.as_json()))) == failure


@pytest.mark.parametrize("value", [None, [], "x", {"message": "m", "unknown": 1}, {}])
def test_failure_that_is_none_is_told_of(value: object) -> None:
    assert "could not be read" in Failure.from_json(value).message
