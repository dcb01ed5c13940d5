"""manifest.json: the size and SHA-256 of every file of a folder, so that damage is found before it is used.

JSON: {"schema": 1, "files": [{"path", "bytes", "sha256"}]}; paths are names of files in the same folder, sorted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from llemma.core.config import Config
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import TEMPORARY_PREFIX, read_json, sha256_file, write_json
from llemma.core.records import file_entry

MANIFEST_NAME = "manifest.json"


class ManifestFile(Config):
    """One file as it was when the manifest was written."""

    path: str = pydantic.Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")  # a bare name: nothing outside the folder
    bytes: int = pydantic.Field(ge=0)
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Config):
    """All files of a folder."""

    schema_version: Literal[1] = pydantic.Field(alias="schema")
    files: tuple[ManifestFile, ...]


def write_manifest(folder: Path) -> None:
    """Writes manifest.json for the files that lie in a folder now."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != MANIFEST_NAME and not path.name.startswith(TEMPORARY_PREFIX)
    )
    write_json(folder / MANIFEST_NAME, {"schema": 1, "files": [file_entry(path, folder) for path in files]})


def check_manifest(folder: Path) -> Manifest:
    """The manifest of a folder whose files are all as it says. Raises DamagedFileError naming each that is not."""
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate(read_json(path))
    except InputError:
        raise DamagedFileError(f"{path}: there is no such file, so nothing proves that {folder} is whole") from None
    except pydantic.ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(item) for item in detail["loc"])
        raise DamagedFileError(f"{path}: {place}: {detail['msg']}") from None
    faults = [fault for entry in manifest.files if (fault := _fault(folder / entry.path, entry))]
    if faults:
        raise DamagedFileError("\n".join(faults))
    return manifest


def _fault(path: Path, entry: ManifestFile) -> str | None:
    """What is wrong with one file, in words; the cheap comparison first."""
    if not path.is_file():
        return f"{path}: this file is missing"
    found = path.stat().st_size
    if found != entry.bytes:
        return f"{path}: {found:,} bytes, but {entry.bytes:,} were written"
    if sha256_file(path) != entry.sha256:
        return f"{path}: its bytes have changed since it was written (SHA-256 differs)"
    return None
