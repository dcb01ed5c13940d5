"""Step: the shards of one source and split -> one .bin/.idx pair and one side file.

merge_tasks(records of the encode step) -> tasks, one a (source, split)
run(params, task, out):
    params: none
    task.args: source, split;  task.inputs: .bin, .idx, .documents.parquet of each shard, in order
    writes <source>.<split>.bin, .idx, .documents.parquet (schemas in encode.py)
    counts: documents, tokens
publish(records of the merge step, OUT) -> hashes: OUT/data/<source>/<split>.bin, .idx, .documents.parquet
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError
from llemma.core.files import TEMPORARY_PREFIX, atomic_path, sync_folder
from llemma.core.indexed import IndexedReader, IndexedWriter
from llemma.core.steps import InputFile, Task, TaskRecord
from proof_pile.tokenize.encode import SHARD_SUFFIXES, shard_files, side_file_schema

VERSION = 1


def merge_tasks(records: Sequence[TaskRecord]) -> list[Task]:
    """One task for each source and split that the encoded shards hold, sorted; shards in the order of the records."""
    inputs: dict[tuple[str, str], list[InputFile]] = {}
    for record in records:
        for key, files in shard_files(record).items():
            inputs.setdefault(key, []).extend(file.as_input() for file in files)
    return [
        Task(inputs=tuple(files), label=f"{source}/{split}", args={"source": source, "split": split})
        for (source, split), files in sorted(inputs.items())
    ]


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Appends the task's shards to each other, in order."""
    import pyarrow.parquet as pq

    prefix = out / f"{task.args['source']}.{task.args['split']}"
    paths = [item.path for item in task.inputs]
    shards = [(tokens.removesuffix(".bin"), side) for tokens, side in zip(paths[0::3], paths[2::3], strict=True)]
    with (
        IndexedWriter(prefix, IndexedReader(shards[0][0]).dtype) as writer,
        pq.ParquetWriter(f"{prefix}.documents.parquet", side_file_schema(), compression="zstd") as side_writer,
    ):
        for shard, side in shards:
            before = writer.num_documents
            writer.add_shard(shard)
            with pq.ParquetFile(side) as file:
                if file.metadata.num_rows != writer.num_documents - before:
                    raise DamagedFileError(
                        f"{side}: has {file.metadata.num_rows} rows, but the shard beside it has "
                        f"{writer.num_documents - before} documents: delete both, they are made again"
                    )
                for group in range(file.metadata.num_row_groups):
                    side_writer.write_table(file.read_row_group(group))
        return {"documents": writer.num_documents, "tokens": writer.num_tokens}


def publish(records: Sequence[TaskRecord], out: str | Path) -> dict[str, str]:
    """Puts merged shards to OUT/data/<source>/<split>.*, and removes what an earlier build left there beside them.

    Returns the SHA-256 of each file by its path relative to OUT.  The files are hard links where the file system has
    them, so that tokens lie on the disk once.
    """
    data = Path(out) / "data"
    hashes: dict[str, str] = {}
    wanted: set[Path] = set()
    for record in records:
        for (source, split), files in shard_files(record).items():
            for suffix, file in zip(SHARD_SUFFIXES, files, strict=True):
                target = data / source / f"{split}{suffix}"
                wanted.add(target)
                hashes[target.relative_to(out).as_posix()] = file.sha256
                _place(Path(file.path), target)
    for folder in [path for path in data.iterdir() if path.is_dir()] if data.is_dir() else []:
        for leftover in folder.iterdir():
            if leftover not in wanted and (
                leftover.name.startswith(TEMPORARY_PREFIX) or leftover.name.endswith(SHARD_SUFFIXES)
            ):
                leftover.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return hashes


def _place(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, by a link or, across file systems, a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    temporary = target.parent / f"{TEMPORARY_PREFIX}{target.name}-link"
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    os.replace(temporary, target)
    sync_folder(target.parent)
