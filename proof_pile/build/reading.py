"""Step function: some pieces of one source's input -> documents that its filters keep, and all that they do not.

documents.parquet   kept documents (proof_pile.documents)
dropped.parquet     dropped documents with the filter's reason
quarantine.jsonl    records that could not be read: source, path, line | member, reason, excerpt

params: source, input (the reader's section), filters (their sections).
task.inputs: all files, in order; in place of a hash "unreadable: <reason>" for one that could not be hashed.
task.args: files [{name, size, paths: number of files}].
counts: read, read_bytes, documents, bytes, quarantined and dropped/<reason>.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from llemma.core.commands import describe_os_error
from llemma.core.errors import InputError, LlemmaError
from llemma.core.files import read_json, write_json
from llemma.core.logging import get_logger
from llemma.core.steps import ChangedInputError, InputFile, Step, Task
from proof_pile.build.recipe import Recipe, SourceRecipe
from proof_pile.documents import Document, Quarantined, documents_batch, documents_schema, dropped_schema, excerpt
from proof_pile.filters import Drop, Filter, FilterConfig, Verdict, make_chain
from proof_pile.sources import SourceConfig, SourceFile, list_files, read
from proof_pile.sources.inputs import hash_input, is_remote

VERSION = 3  # raise it when any reader or filter gives other documents than before for the same settings
BATCH_TEXT_BYTES = 8 << 20
MIN_FILE_BYTES = 4096  # chosen by us: opening a small file costs as much as reading so many bytes
MAX_GROUP = 4  # a task reads at most so many times `shard_bytes`
UNREADABLE = "unreadable: "
_OF_THE_FILE = (
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EIO, errno.ENXIO, errno.ENODEV, errno.EINVAL),
)
log = get_logger(__name__)


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Reads and filters the documents of one task."""
    import pyarrow.parquet as pq

    config = TypeAdapter(SourceConfig).validate_python(params["input"])
    judge = make_chain(TypeAdapter(list[FilterConfig]).validate_python(params["filters"]))
    counts = {"read": 0, "read_bytes": 0, "documents": 0, "bytes": 0, "quarantined": 0}
    with (
        pq.ParquetWriter(out / "documents.parquet", documents_schema(), compression="zstd") as kept_writer,
        pq.ParquetWriter(out / "dropped.parquet", dropped_schema(), compression="zstd") as dropped_writer,
        open(out / "quarantine.jsonl", "w", encoding="utf-8", errors="replace") as quarantine,
    ):
        kept = _Batches(lambda rows, reasons: kept_writer.write_batch(documents_batch(rows)))
        dropped = _Batches(lambda rows, reasons: dropped_writer.write_batch(documents_batch(rows, reasons)))
        for record in _records(config, task, params["source"]):
            verdict = record if isinstance(record, Quarantined) else _judge(judge, record)
            if isinstance(verdict, Quarantined):
                counts["quarantined"] += 1
                line = {"source": params["source"], **verdict.as_json()}
                quarantine.write(json.dumps(line, ensure_ascii=False) + "\n")
                continue
            assert isinstance(record, Document)
            counts["read"] += 1
            counts["read_bytes"] += len(record.text.encode())
            if isinstance(verdict, Drop):
                key = f"dropped/{verdict.reason}"
                counts[key] = counts.get(key, 0) + 1
                dropped.add(record, verdict.reason)
            else:
                counts["documents"] += 1
                counts["bytes"] += kept.add(verdict.document)
        kept.flush()
        dropped.flush()
    return counts


def _records(config: Any, task: Task, source: str) -> Iterator[Document | Quarantined]:
    position = 0
    for entry in task.args["files"]:
        files = task.inputs[position : position + entry["paths"]]
        position += entry["paths"]
        unreadable = [file for file in files if file.sha256.startswith(UNREADABLE)]
        if unreadable:  # not tried again: what comes out is to follow from the hashes alone
            yield Quarantined(path=entry["name"], reason=unreadable[0].sha256)
            continue
        for file in files:
            _check_open(file.path)
        paths = tuple(file.path for file in files)
        yield from read(config, SourceFile(name=entry["name"], paths=paths, size=entry["size"]), source)


def _check_open(path: str) -> None:
    """Raises ChangedInputError where a file that could be read when it was hashed cannot be opened any more.

    Readers quarantine such a file, but then the task would be complete under the key of what the file held.
    """
    if is_remote(path):
        return
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        raise ChangedInputError(f"{describe_os_error(error)}, though it was read when its hash was taken") from error


def _judge(judge: Filter, document: Document) -> Verdict | Quarantined:
    """What the filters say; a document that a filter breaks on is set aside alone, and the rest goes on."""
    try:
        return judge(document)
    except (LlemmaError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = f"a filter failed on it: {type(error).__name__}: {error}"
        return Quarantined(path=document.name or document.hex_id, reason=reason[:300], excerpt=excerpt(document.text))


class _Batches:
    """Collects documents and hands them on in batches of about BATCH_TEXT_BYTES of text."""

    def __init__(self, write: Callable[[list[Document], list[str]], None]) -> None:
        self._write = write
        self._rows: list[Document] = []
        self._reasons: list[str] = []
        self._size = 0

    def add(self, document: Document, reason: str = "") -> int:
        """Takes a document and returns the bytes of its text."""
        size = len(document.text.encode())
        self._rows.append(document)
        self._reasons.append(reason)
        self._size += size
        if self._size >= BATCH_TEXT_BYTES:
            self.flush()
        return size

    def flush(self) -> None:
        """Hands on what is left."""
        if self._rows:
            self._write(self._rows, self._reasons)
        self._rows, self._reasons, self._size = [], [], 0


# ---------------------------------------------------------------- what there is to read


def source_steps(recipe: Recipe, base: Path, hashes: InputHashes) -> list[tuple[Step, list[Task]]]:
    """The reading steps of a recipe, one for each input of each source, and their tasks.

    Raises InputError where an input is missing or empty, naming the source.
    """
    steps = []
    for source in recipe.sources:
        filters = _settled_filters(source, base)
        for number, config in enumerate(source.inputs):
            step = Step(
                name=f"read-{source.name}",
                version=VERSION,
                function="proof_pile.build.reading:run",
                params=_params(source, config, filters),
            )
            try:
                files = list_files(config, base)
            except InputError as error:
                raise InputError(f"source '{source.name}', input {number + 1} ({config.kind}): {error}") from None
            groups = group_files(files, recipe.shard_bytes)
            steps.append((step, [_task(group, hashes) for group in groups]))
    return steps


def _settled_filters(source: SourceRecipe, base: Path) -> list[Any]:
    """The source's filters with the whole paths and the hashes of the files that they name.

    So a changed list of test theorems, model or tokenizer is a changed step, and a missing one is told before anything
    is read.  Raises InputError that names the source and the filter.
    """
    settled = []
    for number, item in enumerate(source.filters):
        try:
            settled.append(item.settled(base) if hasattr(item, "settled") else item)
        except InputError as error:
            raise InputError(f"source '{source.name}', filter {number + 1} ({item.kind}): {error}") from None
    return settled


def _params(source: SourceRecipe, config: Any, filters: Sequence[Any]) -> dict[str, Any]:
    return {
        "source": source.name,
        "input": config.model_dump(mode="json"),
        "filters": [item.model_dump(mode="json") for item in filters],
    }


def _task(files: Sequence[SourceFile], hashes: InputHashes) -> Task:
    label = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
    return Task(
        inputs=tuple(InputFile(path=path, sha256=_hash(path, hashes)) for file in files for path in file.paths),
        label=label,
        args={"files": [{"name": file.name, "size": file.size, "paths": len(file.paths)} for file in files]},
    )


def _hash(path: str, hashes: InputHashes) -> str:
    """The hash of an input file; where it cannot be read, the reason, so that it is set aside and the rest goes on."""
    try:
        return hashes.of(path)
    except OSError as error:
        if error.errno not in _OF_THE_FILE and not isinstance(error, FileNotFoundError | PermissionError):
            raise  # of the network or this machine, not of the file: another try may go well
        reason = describe_os_error(OSError(error.errno or 0, error.strerror or str(error)))
        log.warning("%s: %s: it is set aside, see quarantine.jsonl", path, reason)
        return f"{UNREADABLE}{reason}"


def group_files(files: Sequence[SourceFile], shard_bytes: int) -> list[list[SourceFile]]:
    """The files in groups of about `shard_bytes`, in their order.

    Where a group ends is told by its last file alone (a hash of its name, the likelier the larger the file), so that a
    file that comes or goes changes only its own group and no other.
    """
    groups: list[list[SourceFile]] = []
    group: list[SourceFile] = []
    size = 0
    for file in files:
        weight = max(file.size, MIN_FILE_BYTES) if file.size >= 0 else shard_bytes
        group.append(file)
        size += weight
        digest = hashlib.blake2b(file.name.encode("utf-8", "replace"), digest_size=8).digest()
        draw = int.from_bytes(digest, "little") / 2**64
        if draw < weight / shard_bytes or size >= MAX_GROUP * shard_bytes:
            groups.append(group)
            group, size = [], 0
    if group:
        groups.append(group)
    return groups


class InputHashes:
    """SHA-256 of input files, remembered so that unchanged input is not read twice.

    Unchanged is what has its size, inode and both times to the nanosecond: of its content, and of its inode, which no
    program can set back.  The times are only compared for being the same: a clock that goes back does no harm.
    A remote file has no such times: it is hashed anew by each build.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        self._used: dict[str, list[Any]] = {}
        try:
            value = read_json(path)
            self._known = value if isinstance(value, dict) else {}
        except Exception:  # a memory that is missing or damaged is only slower
            self._known = {}

    def of(self, path: str) -> str:
        """The hash of one input file."""
        if is_remote(path):
            return hash_input(path)
        status = os.stat(path)
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(path)
        if isinstance(known, list) and known[:-1] == stamp:
            self._used[path] = known
            return str(known[-1])
        digest = hash_input(path)
        self._used[path] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Writes down the hashes of the files that this build uses."""
        if self._used != self._known:
            write_json(self._path, self._used)
            self._known = dict(self._used)
