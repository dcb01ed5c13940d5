"""Checking a converted checkpoint against its record: every file, then every tensor."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.checkpoint.sources import RECORD_NAME, Hints, open_source
from llemma.checkpoint.tensors import Buffer, tensor_bytes, tensor_sha256
from llemma.core.errors import DamagedFileError, InputError, LlemmaError
from llemma.core.files import read_json
from llemma.core.progress import progress
from llemma.guard.manifest import ManifestFile, fault_of

_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How much was found to be as the record says."""

    num_files: int
    num_tensors: int
    num_bytes: int
    weights_sha256: str


def verify(folder: Path) -> Verified:
    """Reads every byte of a folder that `llemma convert` wrote.

    Raises InputError where it has no record, DamagedFileError naming every file and tensor that is not as written.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: only a folder that `llemma convert` wrote can be verified")
    record = read_json(path)
    outputs = record.get("outputs") if isinstance(record, dict) else None
    tensors = record.get("tensors") if isinstance(record, dict) else None
    if not isinstance(outputs, list) or not outputs or not isinstance(tensors, dict) or not tensors:
        raise DamagedFileError(f"{path}: this is no record of a conversion")
    entries = [_entry(entry, f"{path}: outputs.{at}") for at, entry in enumerate(outputs)]
    faults = _file_faults(folder, entries)
    tensor_faults = _tensor_faults(folder, tensors, bool(faults))
    if faults or tensor_faults:
        listed = [*faults, *tensor_faults]
        more = [f"... and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
        raise DamagedFileError("\n".join([*listed[:_SHOWN], *more]))
    return Verified(
        num_files=len(entries),
        num_tensors=len(tensors),
        num_bytes=sum(entry.bytes for entry in entries),
        weights_sha256=str(record.get("weights_sha256", "")),
    )


def _entry(entry: Any, place: str) -> ManifestFile:
    values = entry if isinstance(entry, dict) else {}
    path, size, digest = (values.get(key) for key in ("path", "bytes", "sha256"))
    inside = isinstance(path, str) and path and not Path(path).is_absolute() and ".." not in Path(path).parts
    if not inside or not isinstance(size, int) or not isinstance(digest, str):
        raise DamagedFileError(f"{place}: names no file of this folder with its size and SHA-256")
    return ManifestFile(path=str(path), bytes=size, sha256=digest)


def _file_faults(folder: Path, entries: list[ManifestFile]) -> list[str]:
    faults = []
    with progress("checking files", sum(entry.bytes for entry in entries), "B") as bar:
        for entry in entries:
            bar.note(entry.path)
            fault = fault_of(folder, entry)
            if fault is not None:
                faults.append(fault)
            bar.advance(entry.bytes)
    return faults


def _tensor_faults(folder: Path, tensors: dict[str, Any], is_damaged: bool) -> list[str]:
    """Tensors that have other values than the record says: this finds a record that does not belong to the weights."""
    buffer: Buffer | None = None
    scratch = Path(tempfile.mkdtemp(prefix="verify-"))  # the checkpoint may lie where nothing can be written
    try:
        source = open_source(folder, Hints()).source
        facts = source.facts()
        buffer = Buffer(scratch / "tensor", max(fact.num_bytes for fact in facts))
        faults = [f"{folder}: {name}: is not there" for name in sorted(set(tensors) - {fact.name for fact in facts})]
        with progress("checking tensors", sum(fact.num_bytes for fact in facts), "B") as bar:
            for fact in facts:
                bar.note(fact.name)
                wanted = tensors.get(fact.name)
                found = tensor_sha256(tensor_bytes(source.read(fact.name, buffer.room(fact))))
                if not isinstance(wanted, dict) or wanted.get("sha256") != found:
                    faults.append(f"{folder}: {fact.name}: is not what was written (SHA-256 differs)")
                bar.advance(fact.num_bytes)
        return faults
    except LlemmaError as error:
        if is_damaged:  # the files have been named already; that they cannot be opened then is no surprise
            return [f"its tensors could not be looked at: {error}"]
        raise DamagedFileError(f"{folder}: every file is as written, but it cannot be read: {error}") from None
    finally:
        if buffer is not None:
            buffer.close()
        shutil.rmtree(scratch, ignore_errors=True)
