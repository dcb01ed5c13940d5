"""Files and folders that are either whole or not there, and the hashes that say so."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError

TEMPORARY_PREFIX = ".partial-"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, which becomes `path` when the block ends without an error.

    The bytes are on the disk (fsync) before the name appears. After an error nothing is left behind;
    after kill -9 only a file whose name begins with `.partial-` is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner can read; a shared cluster folder needs the usual mode.
        os.chmod(temporary, 0o666 & ~_umask())
        sync_file(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields an empty folder beside `path`, which becomes `path` when the block ends without an error.

    Every byte is on the disk before the name appears. A folder that is there already must be empty (else OSError, and
    nothing is lost), or goes with `replace`. Errors and kills leave what `atomic_path` leaves.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{path.name}-", dir=path.parent))
    try:
        yield scratch
        for folder, _, names in os.walk(scratch):
            for name in names:
                sync_file(Path(folder, name))
            sync_folder(Path(folder))
        scratch.chmod(0o777 & ~_umask())  # mkdtemp makes folders that only their owner can enter
        if replace:
            remove_folder(path)
        elif path.exists():
            path.rmdir()
        os.replace(scratch, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def place_file(source: str | Path, target: str | Path) -> None:
    """Makes `target` the same file as `source`: by a hard link, so that it lies on the disk once, or else by a copy."""
    source, target = Path(source), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    temporary = target.parent / f"{TEMPORARY_PREFIX}{target.name}-link"
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # another file system, or one without links
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    os.replace(temporary, target)
    sync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Takes a folder's name away in one move, then removes it: a kill never leaves half of it under its name."""
    if path.exists():
        aside = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}old-", dir=path.parent))
        os.replace(path, aside / path.name)
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path, *, recursive: bool = False) -> None:
    """Removes what killed writers left in a folder. Only the one process that writes there may call this."""
    pattern = f"{TEMPORARY_PREFIX}*"
    for leftover in list(folder.rglob(pattern) if recursive else folder.glob(pattern)):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask; reading it means setting it, so it is read once, at the first use."""
    global _UMASK
    if _UMASK is None:
        _UMASK = os.umask(0)
        os.umask(_UMASK)
    return _UMASK


_UMASK: int | None = None


def sync_file(path: Path) -> None:
    """Forces a file's bytes to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Forces a folder's names to the disk, where the file system can."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # some network file systems refuse to open folders
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Writes indented JSON whole or not at all; the same value gives the same bytes. NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, _json_bytes(text + "\n"))


def read_json(path: str | Path) -> Any:
    """The value of a JSON file. Raises InputError if it is missing, DamagedFileError if it is not JSON."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: this is not a file") from None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: this is not valid JSON ({error})") from None


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stable_hash(value: Any) -> str:
    """32 hexadecimal digits of a JSON value, the same on every machine and whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(_json_bytes(text), digest_size=16).hexdigest()


def _json_bytes(text: str) -> bytes:
    r"""JSON text as UTF-8; what UTF-8 cannot hold (a path whose bytes are no text) as JSON's own escape, \udcff."""
    return text.encode("utf-8", "backslashreplace")
