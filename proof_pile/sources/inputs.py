"""What a reader is given (`SourceFile`) and the bounded, local or remote reading that all readers share."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llemma.core.errors import InputError
from proof_pile.documents import Quarantined, excerpt

CHUNK_BYTES = 1 << 20
MAX_META_DEPTH = 32  # chosen by us: what is known of a document seldom has more than three levels
MAX_TEXT_BYTES = 64 << 20  # chosen by us: no single document of the published corpora comes near it


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One piece of input: what one call of a reader turns into documents.

    `name` is stable over machines (relative to the source's root), `paths` are all files that the reader opens, the
    main one first (none for generated text), `size` is their length in bytes, -1 where unknown (some URLs).
    """

    name: str
    paths: tuple[str, ...]
    size: int


def is_remote(path: str) -> bool:
    """Whether the path is a URL for fsspec rather than a local path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", path) is not None


def open_input(path: str) -> IO[bytes]:
    """The file's raw bytes, local or through fsspec."""
    if not is_remote(path):
        return open(path, "rb")
    import fsspec

    handle: IO[bytes] = fsspec.open(path, "rb").open()
    return handle


def read_bounded(path: str, max_bytes: int = MAX_TEXT_BYTES) -> bytes | None:
    """All bytes of a file, or None where it holds more than `max_bytes`."""
    with open_input(path) as handle:
        data = handle.read(max_bytes + 1)
    return None if len(data) > max_bytes else data


def hash_input(path: str) -> str:
    """SHA-256 of a local or remote input file, 64 hex digits."""
    digest = hashlib.sha256()
    with open_input(path) as handle:
        while chunk := handle.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_inputs(path: str, base: Path, suffixes: Iterable[str], *, wanted: str) -> list[SourceFile]:
    """The files that `path` names, sorted by name: one file, a folder (searched deeply), a glob or a URL.

    A relative path is taken from `base`, the folder of the recipe.  Hidden files and links that leave the folder are
    passed over; a folder that cannot be read is a piece of its own ("name/"), which the build sets aside and counts.
    Raises InputError where nothing matches.
    """
    endings = tuple(suffixes)
    if is_remote(path):
        return _list_remote(path, endings, wanted=wanted)
    root = Path(os.path.expanduser(path))
    root = root if root.is_absolute() else base / root
    if root.is_file():
        return [SourceFile(name=readable_name(root.name), paths=(str(root),), size=root.stat().st_size)]
    if root.is_dir():
        faults: list[OSError] = []
        found = [
            SourceFile(name=name, paths=(str(file),), size=size)
            for name, file, size in walk(root, endings, on_fault=faults.append)
        ]
        if faults and not found:
            raise InputError(f"{faults[0].filename}: {faults[0].strerror}: no {wanted} can be read there")
        found += [_closed_folder(str(fault.filename), root) for fault in faults]
        found.sort(key=lambda file: file.name)
    elif re.search(r"[*?\[]", root.name) and root.parent.is_dir():
        matches = sorted(p for p in root.parent.glob(root.name) if p.is_file())
        found = [SourceFile(name=readable_name(p.name), paths=(str(p),), size=p.stat().st_size) for p in matches]
    else:
        raise InputError(f"{root}: no such file or folder; wanted {wanted}")
    if not found:
        raise InputError(f"{root}: holds no {wanted}")
    return found


def _closed_folder(folder: str, root: Path) -> SourceFile:
    return SourceFile(name=f"{readable_name(os.path.relpath(folder, root))}/", paths=(folder,), size=0)


def _list_remote(path: str, endings: tuple[str, ...], *, wanted: str) -> list[SourceFile]:
    import fsspec

    filesystem, inner = fsspec.core.url_to_fs(path)
    if re.search(r"[*?\[]", inner):
        names = sorted(filesystem.glob(inner))
    elif filesystem.isdir(inner):
        names = sorted(n for n in filesystem.find(inner) if n.endswith(endings))
    else:
        names = [inner]
    if not names:
        raise InputError(f"{path}: holds no {wanted}")
    prefix = os.path.commonpath([os.path.dirname(n) for n in names]) if len(names) > 1 else os.path.dirname(inner)
    return [
        SourceFile(
            name=os.path.relpath(n, prefix or "/") if prefix else n,
            paths=(str(filesystem.unstrip_protocol(n)),),
            size=int(filesystem.info(n).get("size") or -1),
        )
        for n in names
    ]


def readable_name(name: str) -> str:
    r"""A file's name as text: bytes that are no UTF-8 stand escaped (\udcff), so that two names stay two."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def walk(
    root: Path,
    endings: tuple[str, ...],
    links_into: Path | None = None,
    on_fault: Callable[[OSError], None] | None = None,
) -> Iterator[tuple[str, Path, int]]:
    """Name relative to `root` (with /), path and size of each regular file below it, in order of name.

    Hidden files and folders, and links that lead out of `root` (or of `links_into`), are passed over; a folder is
    entered once.  `on_fault` is told of each folder that cannot be read.
    """
    real_root = os.path.realpath(links_into or root)
    found: list[tuple[str, Path, int]] = []
    for folder, folders, files in os.walk(root, onerror=on_fault, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for file in files:
            if file.startswith(".") or not file.lower().endswith(endings):
                continue
            path = Path(folder) / file
            if path.is_symlink() and not os.path.realpath(path).startswith(real_root + os.sep):
                continue
            if path.is_file():
                name = path.relative_to(root).as_posix()
                found.append((readable_name(name), path, path.stat().st_size))
    return iter(sorted(found, key=lambda item: item[0]))


def take_until(files: Iterable[SourceFile], max_bytes: int | None) -> list[SourceFile]:
    """A part of the files of at most `max_bytes`, the same on every machine, sorted by name.

    Files are taken in the order of a hash of their names, so that the part is spread evenly; one that no longer fits is
    passed over.  None takes all.
    """
    if max_bytes is None:
        return sorted(files, key=lambda f: f.name)
    chosen, total = [], 0
    for file in sorted(files, key=lambda f: hashlib.blake2b(f.name.encode(), digest_size=16).digest()):
        if total + max(file.size, 0) <= max_bytes:
            chosen.append(file)
            total += max(file.size, 0)
    return sorted(chosen, key=lambda f: f.name)


def decode(data: bytes) -> str | None:
    """The bytes as UTF-8 text (a byte order mark removed, also UTF-16 by its mark), or None where they are not text."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def invalid_utf8_place(data: bytes) -> str:
    """'invalid UTF-8 at byte N' for bytes that do not decode, 'binary data' where a NUL stands near the start."""
    if b"\0" in data[:8192]:
        return "binary data"
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start}"
    return "binary data"


def read_text(file: SourceFile, max_bytes: int) -> str | Quarantined:
    """The text of a piece of input that is one file, or why it cannot be read (too long, binary, not UTF-8)."""
    try:
        data = read_bounded(file.paths[0], max_bytes)
    except OSError as error:
        return Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
    if data is None:
        return Quarantined(path=file.name, reason=f"file longer than {max_bytes} bytes")
    text = decode(data)
    if text is None:
        return Quarantined(path=file.name, reason=invalid_utf8_place(data), excerpt=excerpt(data))
    return text


def json_value(value: Any, depth: int = 0) -> Any:
    """A value as plain JSON: what JSON cannot hold (dates, bytes, decimals) becomes its string, bounded.

    What lies deeper than MAX_META_DEPTH is cut off: a line of JSON may nest deeper than Python's stack is.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict | list | tuple) and depth >= MAX_META_DEPTH:
        return "(nested too deeply)"
    if isinstance(value, dict):
        return {str(k): json_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(v, depth + 1) for v in value]
    return str(value)[:1000]
