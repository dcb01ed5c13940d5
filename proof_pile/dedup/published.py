"""What a finished build publishes for later ones to be compared against: fingerprints of the documents that stay.

Step function `run`: the fingerprints of a group and its marks -> documents.bin, names.bin, keys.bin and fences.bin as
in proof_pile.dedup.runs, without the documents that go for one of the REASONS of proof_pile.consolidate.
params: values.   task.inputs: documents.bin, names.bin, keys.bin, fences.bin of the group, then its files of marks.
task.args: files (documents of each file of the group), marks (for each file of marks the file that it is of).
counts: documents, and "file/<n>" of each file.

    OUT/fingerprints/fingerprints.json          {"format", "name", "params", "groups": [{"documents", "files", "bytes",
                                                "sha256"}]}; files: [{"source", "documents"}]
    OUT/fingerprints/<group>.documents.bin ...  one of each kind a group, six digits
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import place_file, read_json, write_json
from llemma.core.steps import InputFile, Task, TaskRecord
from proof_pile.consolidate import REASONS
from proof_pile.dedup.arrays import ArrayFile, write_array
from proof_pile.dedup.catalogue import EARLIER_FILES
from proof_pile.dedup.fingerprints import KEY, part_of, record_type
from proof_pile.dedup.runs import PARTS, RUN_BITS

VERSION = 1
FORMAT = 1
FOLDER = "fingerprints"
INDEX = "fingerprints.json"
_BYTES = np.dtype("u1")


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the fingerprints of a group's documents that stay."""
    paths = [item.path for item in task.inputs]
    starts = np.cumsum([0, *task.args["files"]])
    stays = np.ones(int(starts[-1]), bool)
    for path, file in zip(paths[len(EARLIER_FILES) :], task.args["marks"], strict=True):
        table = pq.read_table(path, columns=["row", "kind"])
        removes = np.array([kind in REASONS for kind in table.column("kind").to_pylist()], bool)
        stays[starts[file] + table.column("row").to_numpy().astype(np.int64)[removes]] = False
    new_rows = (np.cumsum(stays) - 1).astype(np.uint32)
    _write_documents(paths[0], paths[1], params["values"], stays, out)
    counts = np.zeros(PARTS, np.int64)
    with ArrayFile(paths[2], KEY) as keys, open(out / "keys.bin", "wb") as target:
        for block in keys.blocks():
            kept = block[stays[block["row"]]]
            kept["row"] = new_rows[kept["row"]]
            counts += np.bincount(part_of(kept["key"], RUN_BITS), minlength=PARTS)
            write_array(target, kept)
    fences = np.zeros((2, PARTS + 1), "<u8")
    fences[0, 1:] = np.cumsum(counts)
    fences.tofile(out / "fences.bin")
    by_file = {
        f"file/{number}": int(stays[begin:end].sum()) for number, (begin, end) in enumerate(itertools.pairwise(starts))
    }
    return {"documents": int(stays.sum()), **by_file}


def _write_documents(documents: str, names: str, values: int, stays: np.ndarray, out: Path) -> None:
    begin = names_before = 0
    with (
        ArrayFile(documents, record_type(values)) as source,
        ArrayFile(names, _BYTES) as source_names,
        open(out / "documents.bin", "wb") as target,
        open(out / "names.bin", "wb") as target_names,
    ):
        for block in source.blocks():
            first, last = int(block["name_begin"][0]), int(block["name_begin"][-1] + block["name_bytes"][-1])
            text = source_names.read(first, last)
            here = stays[begin : begin + len(block)]
            begin += len(block)
            lengths = block["name_bytes"].astype(np.int64)
            write_array(target_names, text[np.repeat(here, lengths)])
            kept = block[here]
            lengths = lengths[here]
            kept["name_begin"] = names_before + np.cumsum(lengths) - lengths
            names_before += int(lengths.sum())
            write_array(target, kept)


# ---------------------------------------------------------------- writing and reading OUT/fingerprints


def publish(records: Sequence[TaskRecord], sources: Sequence[Sequence[str]], out: Path, name: str, params: Any) -> None:
    """Puts the fingerprints of a build into OUT/fingerprints; `sources` are those of each group's files."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    groups = []
    for number, (record, names) in enumerate(zip(records, sources, strict=True)):
        outputs = {file: record.output(file) for file in EARLIER_FILES}
        for file, output in outputs.items():
            place_file(output.path, folder / f"{number:06d}.{file}")
        groups.append(
            {
                "documents": record.counts["documents"],
                "files": [
                    {"source": source, "documents": record.counts[f"file/{place}"]}
                    for place, source in enumerate(names)
                ],
                "bytes": {file: output.bytes for file, output in outputs.items()},
                "sha256": {file: output.sha256 for file, output in outputs.items()},
            }
        )
    wanted = {f"{number:06d}.{file}" for number in range(len(groups)) for file in EARLIER_FILES}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    write_json(folder / INDEX, {"format": FORMAT, "name": name, "params": params, "groups": groups})


def read_published(folder: Path, params: dict[str, Any]) -> tuple[list[InputFile], list[dict[str, Any]]]:
    """The files of an earlier build and what the catalogue is told of each of its groups.

    Raises InputError where the folder holds no fingerprints, or others than this build's.
    """
    index = folder / FOLDER / INDEX
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such build ('deduplicate', 'against')")
    if not index.is_file():
        raise InputError(
            f"{folder}: a build without fingerprints ('deduplicate', 'against'): it is not finished, or older than "
            "these: run its own recipe again"
        )
    try:
        value = read_json(index)
        if value["format"] != FORMAT:
            raise InputError(f"{index}: format {value['format']}, but {FORMAT} is wanted: build it again")
        theirs = dict(value["params"])
        other = sorted(name for name in {*theirs, *params} if theirs.get(name) != params.get(name))
        if other:
            found = ", ".join(
                f"{name} {theirs.get(name, 'absent')} (here {params.get(name, 'absent')})" for name in other
            )
            raise InputError(
                f"{folder}: its fingerprints were made with other settings: {found}: "
                "take the settings of that build here, or build it again with these"
            )
        files, groups = [], []
        for number, group in enumerate(value["groups"]):
            for name in EARLIER_FILES:
                path = folder / FOLDER / f"{number:06d}.{name}"
                if not path.is_file() or path.stat().st_size != group["bytes"][name]:
                    raise InputError(
                        f"{path}: gone or not {group['bytes'][name]:,} bytes: run that build's recipe again"
                    )
                files.append(InputFile(path=str(path), sha256=str(group["sha256"][name])))
            described: list[dict[str, Any]] = [
                {"number": -1, "rank": -1, "source": str(file["source"]), "documents": int(file["documents"])}
                for file in group["files"]
            ]
            if sum(file["documents"] for file in described) * record_type(theirs["values"]).itemsize != int(
                group["bytes"]["documents.bin"]
            ):
                raise InputError(f"{index}: group {number} says of its documents what its files do not hold")
            groups.append({"build": str(value["name"]), "files": described, "path": str(folder / FOLDER)})
    except (DamagedFileError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{index}: not the fingerprints of a build ({error}): run that build's recipe again") from None
    return files, groups
