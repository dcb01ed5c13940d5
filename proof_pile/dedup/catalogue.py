"""Step function: all groups of fingerprints -> one file that later tasks list in place of all of them.

catalogue.json      {"values", "groups": [{"prefix", "documents", "keys", "bytes": {file: n}, "build", "same_names": n,
                    "files": [{"number", "rank", "source", "documents"}]}]}
    A group's files are <prefix>.documents.bin and so on, relative to the catalogue's folder; "build" is the name of the
    earlier build that a group comes from, or null; a file's "number" is its place among all documents files of this
    build.  Each task that reads partitions of all groups would otherwise list all groups: tasks times files.  The
    catalogue's own hash stands for all, for it holds the hash of each group.
same_names.bin      records of SAME_NAME, by number: a document that goes and the one of the same id that stays

A document's *number* counts through all groups, this build's first, then earlier builds'.

Two documents of a source with the same name have one id, and ids must be unique.  Of those with different texts the
longest stays, then the first in the input.  Where copies are removed anyway, one of the same text is no concern here.
Ids are sorted some parts at a time: memory is bounded whatever the corpus.

params: values, exact, memory_mb.   task.inputs: documents.bin, names.bin, keys.bin, ids.bin, fences.bin of each group
of this build, then documents.bin, names.bin, keys.bin, fences.bin of each earlier one.
task.args: groups (the "files" of each group of this build), earlier [{"path", "build", "files"}].
Raises InputError where a file of an earlier build is not what that build published.
counts: documents, earlier_documents, keys, same_names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, sha256_file, write_json
from llemma.core.steps import Task
from proof_pile.dedup.arrays import ArrayFile, write_array
from proof_pile.dedup.fingerprints import ID, PART_BITS, record_type
from proof_pile.dedup.runs import FILES, PARTS, stretches

VERSION = 1
EARLIER_FILES = ("documents.bin", "names.bin", "keys.bin", "fences.bin")
SAME_NAME = np.dtype([("number", "<u8"), ("kept", "<u8")])


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the catalogue and finds documents of the same name."""
    paths = [(item.path, item.sha256) for item in task.inputs]
    groups: list[dict[str, Any]] = []
    for number, files in enumerate(task.args["groups"]):
        own_paths = paths[number * len(FILES) : (number + 1) * len(FILES)]
        prefix = os.path.relpath(_prefix(own_paths[0][0]), out.parent)
        groups.append({"prefix": prefix, "build": None, "files": files, **_sizes(own_paths, FILES)})
    own = len(groups)
    rest = paths[own * len(FILES) :]
    for number, earlier in enumerate(task.args["earlier"]):
        their_paths = rest[number * len(EARLIER_FILES) : (number + 1) * len(EARLIER_FILES)]
        _check_hashes(their_paths)
        groups.append({"prefix": _prefix(their_paths[0][0]), **earlier, **_sizes(their_paths, EARLIER_FILES)})
    record = record_type(params["values"]).itemsize
    for group in groups:
        group["documents"] = group["bytes"]["documents.bin"] // record
    same = _same_names([_prefix(paths[number * len(FILES)][0]) for number in range(own)], groups, params)
    starts = np.cumsum([0, *(group["documents"] for group in groups)])
    same = same[np.argsort(same["number"])]
    for group, begin, end in zip(groups, starts, starts[1:], strict=False):
        group["same_names"] = int(np.searchsorted(same["number"], end) - np.searchsorted(same["number"], begin))
    with open(out / "same_names.bin", "wb") as file:
        write_array(file, same)
    write_json(out / "catalogue.json", {"values": params["values"], "groups": groups})
    return {
        "documents": int(starts[own]),
        "earlier_documents": int(starts[-1] - starts[own]),
        "keys": sum(group["bytes"]["keys.bin"] for group in groups) // 16,
        "same_names": len(same),
    }


def _prefix(path: str) -> str:
    """What the names of a group's files begin with, of which documents.bin is given."""
    return path.removesuffix(".documents.bin")


def _check_hashes(files: Sequence[tuple[str, str]]) -> None:
    """An earlier build's files must be what its index says: keys changed since would find other documents, or none."""
    for path, sha256 in files:
        if sha256_file(path) != sha256:
            raise InputError(
                f"{path}: its content is not what that build published ('deduplicate', 'against'): run that build's "
                "recipe again"
            )


def _sizes(group: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[str, Any]:
    return {
        "bytes": {name: os.path.getsize(path) for name, (path, _) in zip(names, group, strict=True)},
        "sha256": {name: sha256 for name, (_, sha256) in zip(names, group, strict=True)},
    }


def _same_names(prefixes: list[str], groups: list[dict[str, Any]], params: dict[str, Any]) -> np.ndarray:
    """SAME_NAME records of all documents that go."""
    fences = [np.fromfile(f"{prefix}.fences.bin", "<u8").reshape(2, -1).astype(np.int64)[1] for prefix in prefixes]
    starts = np.cumsum([0, *(group["documents"] for group in groups)])
    parts = 1 << PART_BITS
    sizes = np.sum([np.diff(fence[: parts + 1]) for fence in fences], axis=0) if fences else np.zeros(parts, np.int64)
    found = [np.empty(0, SAME_NAME)]
    for first, last in stretches(sizes * (ID.itemsize + 8) * 3, params["memory_mb"] << 20):
        pieces, numbers = [np.empty(0, ID)], [np.empty(0, np.int64)]
        for prefix, fence, start in zip(prefixes, fences, starts, strict=False):
            with ArrayFile(f"{prefix}.ids.bin", ID) as file:
                pieces.append(file.read(int(fence[first]), int(fence[last])))
            numbers.append(pieces[-1]["row"].astype(np.int64) + start)
        ids, number = np.concatenate(pieces), np.concatenate(numbers)
        order = np.argsort(ids["id"][:, 0])
        several = order[_repeated(ids["id"][order, 0])]
        found.append(_losers(ids[several], number[several], exact=params["exact"]))
    return np.concatenate(found)


def _repeated(values: np.ndarray) -> np.ndarray:
    """Which of some sorted values stand there more than once."""
    repeated = np.zeros(len(values), bool)
    if len(values):
        repeated[1:] = values[1:] == values[:-1]
        repeated[:-1] |= repeated[1:]
    return repeated


def _losers(ids: np.ndarray, numbers: np.ndarray, *, exact: bool) -> np.ndarray:
    order = np.lexsort((numbers, ~ids["num_bytes"], ids["id"][:, 1], ids["id"][:, 0]))
    ids, numbers = ids[order], numbers[order]
    is_best = np.ones(len(ids), bool)
    is_best[1:] = (ids["id"][1:] != ids["id"][:-1]).any(axis=1)
    best = np.maximum.accumulate(np.where(is_best, np.arange(len(ids)), 0))
    goes = ~is_best
    if exact:
        goes &= ids["content"] != ids["content"][best]
    result = np.empty(int(goes.sum()), SAME_NAME)
    result["number"], result["kept"] = numbers[goes], numbers[best[goes]]
    return result


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of fingerprints; `starts` are the numbers of its first document and of the next group's."""

    prefix: str
    build: str | None
    start: int
    end: int
    same_names: tuple[int, int]
    files: list[dict[str, Any]]

    def path(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.prefix}.{name}"

    def part_fences(self) -> np.ndarray:
        """Where each of the PARTS parts of its keys begins."""
        fences = np.fromfile(self.path("fences.bin"), "<u8")
        if len(fences) != 2 * (PARTS + 1):
            raise DamagedFileError(f"{self.path('fences.bin')}: not the fences of a group of fingerprints")
        of_keys: np.ndarray = fences.reshape(2, -1)[0].astype(np.int64)
        return of_keys


class Catalogue:
    """All groups, and records of documents by their numbers."""

    def __init__(self, path: str) -> None:
        value = read_json(Path(path))
        base = Path(path).parent
        self.values: int = value["values"]
        self.dtype = record_type(self.values)
        self.groups: list[Group] = []
        start = same = 0
        for group in value["groups"]:
            prefix = os.path.normpath(base / group["prefix"])
            for name, num_bytes in group["bytes"].items():
                if not os.path.exists(f"{prefix}.{name}") or os.path.getsize(f"{prefix}.{name}") != num_bytes:
                    raise DamagedFileError(f"{prefix}.{name}: gone or not {num_bytes:,} bytes as it was")
            self.groups.append(
                Group(
                    prefix=prefix,
                    build=group["build"],
                    start=start,
                    end=start + group["documents"],
                    same_names=(same, same + group["same_names"]),
                    files=group["files"],
                )
            )
            start += group["documents"]
            same += group["same_names"]
        self.starts = np.array([group.start for group in self.groups] + [start], np.int64)
        files = [(group, file) for group in self.groups for file in group.files]
        self._file_starts = np.cumsum([0, *(file["documents"] for _, file in files)]).astype(np.int64)
        # Earlier builds come before all sources: what stands in them stays.
        self._ranks = np.array([file["rank"] if group.build is None else -1 for group, file in files], np.int64)
        self._sources: list[str] = [file["source"] for _, file in files]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def num_own(self) -> int:
        """Documents of this build; those with larger numbers stand in earlier ones."""
        return sum(group.end - group.start for group in self.groups if group.build is None)

    def group_of(self, numbers: np.ndarray) -> np.ndarray:
        """The group of each document."""
        return np.searchsorted(self.starts, numbers, side="right") - 1

    def ranks(self, numbers: np.ndarray) -> np.ndarray:
        """Place in the recipe of each document's source, -1 for earlier builds."""
        return self._ranks[np.searchsorted(self._file_starts, numbers, side="right") - 1]

    def records(self, numbers: np.ndarray) -> np.ndarray:
        """The records of documents in rising order."""
        result = np.empty(len(numbers), self.dtype)
        bounds = np.searchsorted(numbers, self.starts)
        for group, begin, end in zip(self.groups, bounds, bounds[1:], strict=False):
            if end > begin:
                with ArrayFile(group.path("documents.bin"), self.dtype) as file:
                    result[begin:end] = file.take(numbers[begin:end] - group.start)
        return result

    def describe(self, numbers: np.ndarray) -> list[dict[str, str]]:
        """id, source, name (and build) of documents in rising order, for evidence."""
        records = self.records(numbers)
        sources = np.searchsorted(self._file_starts, numbers, side="right") - 1
        result: list[dict[str, str]] = []
        bounds = np.searchsorted(numbers, self.starts)
        for group, begin, end in zip(self.groups, bounds, bounds[1:], strict=False):
            if end == begin:
                continue
            with ArrayFile(group.path("names.bin"), np.dtype("u1")) as names:
                for index in range(begin, end):
                    name_begin = int(records["name_begin"][index])
                    name = names.read(name_begin, name_begin + int(records["name_bytes"][index])).tobytes()
                    described = {
                        "id": records["id"][index].tobytes().hex(),
                        "source": self._sources[sources[index]],
                        "name": name.decode("utf-8", "replace"),
                    }
                    if group.build is not None:
                        described["build"] = group.build
                    result.append(described)
        return result


def read_same_names(path: str, group: Group) -> np.ndarray:
    """The SAME_NAME records of one group's documents."""
    with ArrayFile(path, SAME_NAME) as file:
        return file.read(*group.same_names)
