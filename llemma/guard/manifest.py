"""manifest.json: the size and SHA-256 of every file of a folder, so that damage is found before it is used.

JSON: {"schema": 1, "files": [{"path", "bytes", "sha256"}]}; paths are relative to the folder, with slashes, sorted.
Plain Python: the entry inside GPT-NeoX's process runs where pydantic may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import TEMPORARY_PREFIX, read_json, sha256_file, write_json
from llemma.core.records import file_entry

MANIFEST_NAME = "manifest.json"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
_PATH = re.compile(rf"{_NAME}(/{_NAME})*\Z")  # nothing outside the folder
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class ManifestFile:
    """One file as it was when the manifest was written."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All files of a folder."""

    files: tuple[ManifestFile, ...]


def files_to_list(folder: Path) -> list[Path]:
    """The files of a folder and of those below it that a manifest names, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path != folder / MANIFEST_NAME
        and not any(part.startswith(TEMPORARY_PREFIX) for part in path.relative_to(folder).parts)
    )


def write_manifest(folder: Path, entries: Sequence[dict[str, Any]] | None = None) -> None:
    """Writes manifest.json for the files that lie in a folder now, or with entries that others have computed."""
    if entries is None:
        entries = [file_entry(path, folder) for path in files_to_list(folder)]
    files = sorted(entries, key=lambda entry: str(entry["path"]))
    write_json(folder / MANIFEST_NAME, {"schema": 1, "files": files})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, its files not looked at. Raises DamagedFileError where it is missing or damaged."""
    path = folder / MANIFEST_NAME
    try:
        value = read_json(path)
    except InputError:
        raise DamagedFileError(f"{path}: there is no such file, so nothing proves that {folder} is whole") from None
    if not isinstance(value, dict) or value.get("schema") != 1 or not isinstance(value.get("files"), list):
        raise DamagedFileError(f"{path}: this is no manifest of schema 1")
    return Manifest(files=tuple(_read_entry(entry, f"{path}: files.{at}") for at, entry in enumerate(value["files"])))


def check_manifest(folder: Path) -> Manifest:
    """The manifest of a folder whose files are all as it says. Raises DamagedFileError naming each that is not."""
    manifest = read_manifest(folder)
    faults = [fault for entry in manifest.files if (fault := fault_of(folder, entry))]
    if faults:
        raise DamagedFileError("\n".join(faults))
    return manifest


def check_sizes(folder: Path) -> Manifest:
    """As check_manifest, but no byte is read: finds what is missing or cut off in no time."""
    manifest = read_manifest(folder)
    faults = [fault for entry in manifest.files if (fault := size_fault_of(folder, entry))]
    if faults:
        raise DamagedFileError("\n".join(faults))
    return manifest


def size_fault_of(folder: Path, entry: ManifestFile) -> str | None:
    """What is wrong with one file's length, in words."""
    path = folder / entry.path
    if not path.is_file():
        return f"{path}: this file is missing"
    found = path.stat().st_size
    return None if found == entry.bytes else f"{path}: {found:,} bytes, but {entry.bytes:,} were written"


def fault_of(folder: Path, entry: ManifestFile) -> str | None:
    """What is wrong with one file, in words; the cheap comparison first."""
    fault = size_fault_of(folder, entry)
    if fault is None and sha256_file(folder / entry.path) != entry.sha256:
        fault = f"{folder / entry.path}: its bytes have changed since it was written (SHA-256 differs)"
    return fault


def _read_entry(entry: Any, place: str) -> ManifestFile:
    values = entry if isinstance(entry, dict) else {}
    path, size, digest = (values.get(key) for key in ("path", "bytes", "sha256"))
    if not isinstance(path, str) or not _PATH.match(path):
        raise DamagedFileError(f"{place}.path: {path!r} is no name of a file in this folder")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise DamagedFileError(f"{place}.bytes: {size!r} is no size")
    if not isinstance(digest, str) or not _SHA256.match(digest):
        raise DamagedFileError(f"{place}.sha256: {digest!r} is no SHA-256")
    return ManifestFile(path=path, bytes=size, sha256=digest)
