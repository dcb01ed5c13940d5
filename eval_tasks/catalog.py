"""The task files of this package, all read and checked before any of them is used.

lm-eval passes silently over a task file that is broken or ends in .yml, and lets one task replace another of the
same name. Here the same is an error that names the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval_tasks.benchmarks import BENCHMARKS, Method
from llemma.core.errors import ConfigError, InputError, Problem

TASKS_DIR = Path(__file__).parent / "tasks"
PREFIX = "llemma_"
_NOT_TASKS = ("prompt.yml", "generate.yml", "generate_group.yml", "letters_group.yml")
_MEMBER_KEYS = frozenset(("task", "dataset_kwargs"))
_TASK_KEYS = frozenset(
    {"include", "task", "custom_dataset", "dataset_kwargs", "test_split", "fewshot_split", "output_type"}
    | {"doc_to_text", "doc_to_target", "doc_to_choice", "fewshot_config", "num_fewshot", "generation_kwargs"}
    | {"process_results", "metric_list", "metadata"}
)
_GROUP_KEYS = _TASK_KEYS - {"dataset_kwargs"} | {"group", "aggregate_metric_list"}


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """One task: its name, its file, and the benchmark subset that it asks.

    `until` are the texts at which a completion ends; temperature, top-p and k are those of published majority votes,
    k is 0 where none was published.
    """

    name: str
    path: Path
    benchmark: str
    subset: str
    num_fewshot: int
    version: str
    until: tuple[str, ...]
    temperature: float
    top_p: float
    published_k: int


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All tasks and groups by name; a group names its tasks."""

    tasks: Mapping[str, TaskFile]
    groups: Mapping[str, tuple[str, ...]]

    def resolve(self, names: Sequence[str]) -> tuple[str, ...]:
        """Task names for what a person asked, groups expanded, in order and each once.

        The prefix `llemma_` may be left out. Raises InputError for unknown names, with the nearest known ones.
        """
        found: dict[str, None] = {}
        unknown: list[str] = []
        for name in names:
            full = name if name.startswith(PREFIX) else PREFIX + name
            if full in self.groups:
                found.update(dict.fromkeys(self.groups[full]))
            elif full in self.tasks:
                found[full] = None
            else:
                unknown.append(self._describe_unknown(name, full))
        if unknown:
            raise InputError("\n".join(unknown))
        if not found:
            raise InputError("no tasks given: name at least one, for example  --tasks builtin")
        return tuple(found)

    def _describe_unknown(self, name: str, full: str) -> str:
        known = [*self.groups, *self.tasks]
        near = difflib.get_close_matches(full, known, n=2, cutoff=0.6)
        hint = " or ".join(f"'{item.removeprefix(PREFIX)}'" for item in near)
        remedy = f"did you mean {hint}?" if near else "see  python -m eval_tasks list"
        return f"there is no task '{name}': {remedy}"


class _Loader(yaml.SafeLoader):
    """Safe YAML in which lm-eval's `!function a.b.c` is kept as the text a.b.c."""


_Loader.add_constructor("!function", lambda loader, node: str(node.value))


def read_catalog(folder: Path = TASKS_DIR) -> Catalog:
    """Reads every task file below a folder. Raises ConfigError with the problems of all of them."""
    tasks: dict[str, TaskFile] = {}
    groups: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for path in sorted(folder.rglob("*.y*ml")):
        if path.name in _NOT_TASKS:
            continue
        try:
            if path.suffix != ".yaml":
                raise _FileError("lm-eval passes over files that end in .yml: rename it to .yaml")
            value = _read(path)
            found = [_task(path, value)] if "group" not in value else _members(path, value)
            for task in found:
                _refuse_double(task.name, tasks, groups)
                tasks[task.name] = task
            if "group" in value:
                name = _checked_name(value["group"])
                _refuse_double(name, tasks, groups)
                groups[name] = tuple(task.name for task in found)
        except _FileError as fault:
            problems.append(Problem(str(path), fault.line, str(fault)))
    if problems:
        raise ConfigError(problems)
    return Catalog(tasks=tasks, groups=groups)


class _FileError(Exception):
    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in above:
        raise _FileError("includes itself")
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # our loader is a safe one
    except FileNotFoundError:
        raise _FileError(f"the included file {path.name} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise _FileError(f"not valid YAML: {reason}", None if mark is None else mark.line + 1) from None
    if not isinstance(value, dict):
        raise _FileError("must hold a mapping with the keys of an lm-eval task")
    included: dict[str, Any] = {}
    if "include" in value:
        included = _read((path.parent / str(value["include"])).resolve(), (*above, path))
    return {**included, **value}


def _check_keys(value: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise _FileError(f"unknown key '{key}'" + (f" (did you mean '{near[0]}'?)" if near else ""))


def _refuse_double(name: str, tasks: Iterable[str], groups: Iterable[str]) -> None:
    if name in (*tasks, *groups):
        raise _FileError(f"the name '{name}' is already that of another file")


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.startswith(PREFIX):
        raise _FileError(f"the name {name!r} must begin with '{PREFIX}', or lm-eval's own task could be replaced by it")
    return name


def _members(path: Path, value: Mapping[str, Any]) -> list[TaskFile]:
    """The tasks of a family: what the file says for all of them, and each one's own name and data."""
    _check_keys(value, _GROUP_KEYS)
    members = value.get("task")
    if not isinstance(members, list) or not members or not all(isinstance(item, dict) for item in members):
        raise _FileError("the group's 'task' must be a list of {task: NAME, dataset_kwargs: {...}}")
    shared = {key: item for key, item in value.items() if key in _TASK_KEYS}
    for member in members:
        _check_keys(member, _MEMBER_KEYS)
    return [_task(path, {**shared, **member}) for member in members]


def _task(path: Path, value: Mapping[str, Any]) -> TaskFile:
    _check_keys(value, _TASK_KEYS)
    for key in ("task", "custom_dataset", "dataset_kwargs", "num_fewshot", "metadata"):
        if key not in value:
            raise _FileError(f"the key '{key}' is missing")
    source, metadata = value["dataset_kwargs"], value["metadata"]
    benchmark = source.get("benchmark") if isinstance(source, dict) else None
    if not isinstance(benchmark, str) or benchmark not in BENCHMARKS:
        raise _FileError(f"dataset_kwargs.benchmark is {benchmark!r}, known are {', '.join(BENCHMARKS)}")
    if source.get("subset") not in BENCHMARKS[benchmark].subsets:
        known = ", ".join(BENCHMARKS[benchmark].subsets)
        raise _FileError(f"dataset_kwargs.subset is {source.get('subset')!r}, '{benchmark}' has {known}")
    is_written = BENCHMARKS[benchmark].method is not Method.LIKELIHOOD
    if value.get("output_type") != ("generate_until" if is_written else "multiple_choice"):
        raise _FileError(f"output_type is {value.get('output_type')!r}, which is not how '{benchmark}' is asked")
    try:
        return TaskFile(
            name=_checked_name(value["task"]),
            path=path,
            benchmark=benchmark,
            subset=source["subset"],
            num_fewshot=int(value["num_fewshot"]),
            version=str(metadata["version"]),
            until=tuple(map(str, value["generation_kwargs"]["until"])) if is_written else (),
            temperature=float(metadata["sampling_temperature"]) if is_written else 0.0,
            top_p=float(metadata["sampling_top_p"]) if is_written else 1.0,
            published_k=int(metadata.get("sampling_k", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _FileError(
            f"metadata, num_fewshot or generation_kwargs is wrong or missing ({type(error).__name__}: {error})"
        ) from None
