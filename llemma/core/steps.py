"""Steps of work: what they are called on disk, when they are complete, and how one task of them runs.

A step is a function with parameters; a task is one call of it on some input files. On disk:

    <root>/<name>-v<version>-<hash of parameters>/      one folder a step
        step.json             {name, version, function, params}
        tasks.json            [{label, inputs: [{path, sha256}], args}]   what there is to do now
        <task key>.<file>     each file that the task made
        <task key>.json       the task's record, renamed into place last: the task is complete when it is there
        logs/                 what engines write of tasks that run elsewhere; never read to tell what is complete

The key of a task is a hash of what its inputs hold and of its arguments. So a changed parameter is a new folder,
a changed or added input is a new key beside the old ones, and nothing that is complete is done again.
Whoever runs tasks (a process pool, Ray, Slurm) needs the step's folder and the task's number, nothing else.
A task may be run by several processes at once: each works in a folder of its own, and what they rename into place has
the same bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError, LlemmaError, WorkError
from llemma.core.files import (
    TEMPORARY_PREFIX,
    read_json,
    remove_leftovers,
    sha256_file,
    stable_hash,
    sync_file,
    sync_folder,
    write_json,
)
from llemma.core.memory import forget_peak, peak_bytes

_KEY_DIGITS = 16  # of blake2b: a collision within one step needs some 2**32 tasks
_KEY = re.compile(rf"[0-9a-f]{{{_KEY_DIGITS}}}")
LOGS = "logs"


class ChangedInputError(DamagedFileError):
    """Raised when a task's input is gone, or is no longer what it was when its hash was taken."""


class LostFolderError(WorkError):
    """Raised when the folder in which a task works was removed under it: another process takes its place."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A pure function of (params, task), named `package.module:function`; raise `version` when its output changes."""

    name: str
    version: int
    function: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def directory_name(self) -> str:
        """Name of the folder: the step's name, version and a hash of its parameters."""
        return f"{self.name}-v{self.version}-{stable_hash([self.function, self.params])[:_KEY_DIGITS]}"


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file (or URL) that a task reads, and the hash of what it holds."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of a step's function."""

    inputs: tuple[InputFile, ...]
    label: str = ""
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names the task's files. Where its inputs lie does not count, what they hold does."""
        return stable_hash([[item.sha256 for item in self.inputs], self.args])[:_KEY_DIGITS]


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """A file that a task made; `name` is what the step's function called it."""

    name: str
    path: str
    bytes: int
    sha256: str

    def as_input(self) -> InputFile:
        """This file as the input of a later step."""
        return InputFile(path=self.path, sha256=self.sha256)


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What a finished task read, made and counted, and what that took.

    `seconds` of wall time, `cpu_seconds` of all threads and ended children of its process, `peak_bytes` the most memory
    that its process held (0: not known).
    """

    key: str
    label: str
    inputs: tuple[InputFile, ...]
    outputs: tuple[OutputFile, ...]
    counts: dict[str, Any]
    seconds: float
    cpu_seconds: float = 0
    peak_bytes: int = 0

    def output(self, name: str) -> OutputFile:
        """The output of that name. Raises KeyError if the task made none."""
        for item in self.outputs:
            if item.name == name:
                return item
        raise KeyError(f"task {self.label or self.key} made no '{name}'")


class StepDirectory:
    """A step's folder: its tasks, which of them are complete, and running one of them."""

    def __init__(self, path: Path, step: Step, tasks: tuple[Task, ...]) -> None:
        self.path = path
        self.step = step
        self.tasks = tasks

    @classmethod
    def create(cls, root: str | Path, step: Step, tasks: Sequence[Task]) -> StepDirectory:
        """Makes the folder or takes the one that is there, and writes down what there is to do now."""
        keys = [task.key for task in tasks]
        if len(set(keys)) != len(keys):
            twice = next(task for task in tasks if keys.count(task.key) > 1)
            raise InputError(f"step {step.name}: two tasks have the same inputs ({twice.label or twice.key}): drop one")
        path = Path(root) / step.directory_name
        path.mkdir(parents=True, exist_ok=True)
        _write_if_other(path / "step.json", asdict(step))
        _write_if_other(path / "tasks.json", [asdict(task) for task in tasks])
        return cls(path, step, tuple(tasks))

    @classmethod
    def open(cls, path: str | Path) -> StepDirectory:
        """The step in a folder. Raises InputError or DamagedFileError if there is none."""
        path = Path(path)
        try:
            step = Step(**read_json(path / "step.json"))
            tasks = tuple(
                Task(inputs=tuple(InputFile(**item) for item in task["inputs"]), label=task["label"], args=task["args"])
                for task in read_json(path / "tasks.json")
            )
        except (TypeError, KeyError) as error:
            raise DamagedFileError(f"{path}: step.json or tasks.json is not what a step writes ({error})") from None
        return cls(path, step, tasks)

    def is_complete(self, number: int) -> bool:
        """True if that task's record stands in the folder."""
        return self._record_path(number).exists()

    def missing(self) -> list[int]:
        """Numbers of the tasks that are still to be run."""
        present = set(os.listdir(self.path))
        return [number for number, task in enumerate(self.tasks) if f"{task.key}.json" not in present]

    def record(self, number: int) -> TaskRecord:
        """The record of a complete task, with paths into this folder wherever it lies now."""
        value = read_json(self._record_path(number))
        try:
            outputs = tuple(
                OutputFile(name=o["name"], path=str(self.path / o["path"]), bytes=o["bytes"], sha256=o["sha256"])
                for o in value["outputs"]
            )
            inputs = tuple(InputFile(**item) for item in value["inputs"])
            return TaskRecord(
                key=value["key"],
                label=value["label"],
                inputs=inputs,
                outputs=outputs,
                counts=value["counts"],
                seconds=value["seconds"],
                cpu_seconds=value.get("cpu_seconds", 0),
                peak_bytes=value.get("peak_bytes", 0),
            )
        except (TypeError, KeyError) as error:
            raise DamagedFileError(f"{self._record_path(number)}: not a task's record ({error})") from None

    def records(self) -> list[TaskRecord]:
        """The records of all tasks, which must be complete."""
        return [self.record(number) for number in range(len(self.tasks))]

    def forget_damaged(self) -> list[int]:
        """Takes back the completion of tasks whose files are gone or of another size; returns their numbers.

        Only while nobody runs tasks of this step.
        """
        forgotten = []
        for number in sorted(set(range(len(self.tasks))) - set(self.missing())):
            try:
                whole = all(os.path.getsize(output.path) == output.bytes for output in self.record(number).outputs)
            except (OSError, DamagedFileError):
                whole = False
            if not whole:
                self._record_path(number).unlink()
                forgotten.append(number)
        return forgotten

    def run_task(self, number: int) -> TaskRecord:
        """Runs one task, unless it is complete. After an error or a kill nothing of it counts as done.

        Several processes may run the same task at once: whichever ends first completes it.
        Raises ChangedInputError where an input is gone or has changed, LostFolderError, and what the step's function
        raises.
        """
        if self.is_complete(number):
            return self.record(number)
        task = self.tasks[number]
        function = resolve_function(self.step.function)
        scratch = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{task.key}-", dir=self.path))
        try:
            forget_peak()
            begun = (time.perf_counter(), _cpu_seconds())
            try:
                counts = function(self.step.params, task, scratch)
            except LlemmaError:
                raise
            except Exception as error:
                _check_inputs(task, error)
                raise
            cost = {
                "seconds": round(time.perf_counter() - begun[0], 3),
                "cpu_seconds": round(_cpu_seconds() - begun[1], 3),
                "peak_bytes": peak_bytes(),
            }
            self._publish(number, scratch, dict(counts or {}), cost)
        except Exception as error:
            if self.is_complete(number):  # by another process, whose driver may have cleared our scratch folder away
                return self.record(number)
            if not scratch.exists():
                raise LostFolderError(f"{scratch}: this folder was removed while the task worked in it") from error
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return self.record(number)

    def _publish(self, number: int, scratch: Path, counts: dict[str, Any], cost: dict[str, float]) -> None:
        """Renames what a task made into place, its record last."""
        task = self.tasks[number]
        outputs = []
        for file in sorted(scratch.iterdir()):
            sync_file(file)
            outputs.append({"name": file.name, "path": f"{task.key}.{file.name}", **_measure(file)})
        if self.is_complete(number):  # its files may be read by now: they are not replaced, not even by the same bytes
            return
        for output in outputs:
            os.replace(scratch / output["name"], self.path / output["path"])
        sync_folder(self.path)
        write_json(
            self._record_path(number),
            {
                "key": task.key,
                "label": task.label,
                "inputs": [asdict(item) for item in task.inputs],
                "outputs": outputs,
                "counts": counts,
                **cost,
            },
        )

    def clean(self) -> None:
        """Removes what killed tasks left behind. Only while nobody runs tasks of this step."""
        remove_leftovers(self.path)

    def stale_files(self) -> list[Path]:
        """Files of tasks that are no longer in the list: their inputs have changed or gone since."""
        keys = {task.key for task in self.tasks}
        names = sorted(os.listdir(self.path))
        found = ((name, name.partition(".")[0]) for name in names)
        return [self.path / name for name, key in found if _KEY.fullmatch(key) and key not in keys]

    def _record_path(self, number: int) -> Path:
        return self.path / f"{self.tasks[number].key}.json"


def resolve_function(name: str) -> Any:
    """The function that `package.module:function` names."""
    module_name, _, function_name = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"step function {name}: cannot be found ({error})") from None


def _write_if_other(path: Path, value: Any) -> None:
    """Writes JSON unless it stands there: processes on other machines may be reading the file just now."""
    with contextlib.suppress(LlemmaError):
        if path.exists() and read_json(path) == json.loads(json.dumps(value)):
            return
    write_json(path, value)


def _check_inputs(task: Task, error: Exception) -> None:
    """Raises ChangedInputError where the task failed on an input that is no longer what it was when it was hashed."""
    if isinstance(error, FileNotFoundError):
        gone = [item.path for item in task.inputs if "://" not in item.path and not os.path.exists(item.path)]
        if gone:
            raise ChangedInputError(
                f"{gone[0]}: this file is gone since its hash was taken: run the same command again"
            ) from error
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
        return  # no memory, no room, no file: the contents have nothing to do with it
    for item in task.inputs:
        with contextlib.suppress(OSError):
            if sha256_file(item.path) != item.sha256:
                raise ChangedInputError(
                    f"{item.path}: its content is not what it was when its hash was taken ({error}): "
                    "if the build made it, delete it; then run the same command again"
                ) from error


def _cpu_seconds() -> float:
    """Of this process with all its threads, and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _measure(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
