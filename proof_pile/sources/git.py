"""Git repositories without a checkout: the files of one commit, read from the object store of a clone or bare mirror.

meta of each document: repo, path, commit, committed (UTC date), language, licence (SPDX, of the nearest LICENSE or
COPYING file on the way up; "none" where there is none, "unknown" where it is none that we know).
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources.inputs import SourceFile
from proof_pile.sources.languages import EXTENSIONS, language_of
from proof_pile.sources.licences import detect, is_licence_file, one_licence
from proof_pile.sources.object_store import Blob, GitError, ObjectStore, find_git_directory
from proof_pile.sources.text_file import file_document

MAX_DEPTH = 4  # how deep repositories are looked for below the folder that is given
PART_BYTES = 32 << 20  # chosen by us: a larger repository is read in parts, by several workers
MAX_LICENCE_BYTES = 1 << 20
# A piece of input: repository@commit, which part of how many, and up to which draw files are taken (all without it).
_NAME = re.compile(
    r"(?P<repo>.*)@(?P<commit>[0-9a-f]{40,64}) part (?P<part>\d+) of \d+(?: up to (?P<bound>[0-9a-f]{16}))?\Z",
    re.DOTALL,
)
_ALL = 2**64 - 1


class Config(BaseConfig):
    """A repository (checkout or bare), or a folder in which any number of them lie.

    `revision` is a branch, tag or hash, the same for all; `before` takes the latest commit made before that day (UTC;
    AlgebraicStack's is 2023-04-01).  `languages`, `extensions`, `exclude` as for a source tree.  `max_bytes` takes an
    evenly spread part of all files; a commit with more than `max_repo_bytes` of files is left out (AlgebraicStack's
    bound is 1e9 bytes of tarball).
    """

    kind: Literal["git"]
    path: str
    revision: str = "HEAD"
    before: date | None = None
    languages: tuple[str, ...] | None = None
    extensions: dict[str, str] = Field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    max_bytes: int | None = Field(default=None, ge=1)
    max_file_bytes: int = Field(default=10_000_000, ge=1)
    max_repo_bytes: int = Field(default=1_000_000_000, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


# ---------------------------------------------------------------- what there is


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """One piece for every PART_BYTES of each repository; its name holds the commit, so that a new one is read anew.

    A repository that cannot be read, is too large or has no commit so old is a piece too, which `read` quarantines.
    """
    root = Path(os.path.expanduser(config.path))
    root = root if root.is_absolute() else base / root
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; wanted a git repository, or a folder of several")
    closed: list[tuple[str, Path]] = []
    repositories = find_repositories(root, closed)
    if not repositories:
        raise InputError(f"{root}: holds no git repository (looked {MAX_DEPTH} folders deep)")
    listed: list[tuple[str, Path, str, list[Blob]]] = []
    pieces = [SourceFile(name=f"{name}/", paths=(str(folder),), size=0) for name, folder in closed]
    for name, directory in repositories:
        try:
            with ObjectStore(directory) as store:
                commit = store.commit(config.revision, _seconds(config.before))
                listed.append((name, directory, commit, _wanted(config, name, store.blobs(commit))))
        except (GitError, OSError):
            pieces.append(SourceFile(name=f"{name}@", paths=(str(directory / "HEAD"),), size=0))
    bound = _bound(config.max_bytes, [(name, blob) for name, _, _, blobs in listed for blob in blobs])
    for name, directory, commit, blobs in listed:
        parts = _parts([blob for blob in blobs if _draw(name, blob) <= bound])
        for number, part in enumerate(parts):
            label = f"{name}@{commit} part {number + 1} of {len(parts)}" + (
                f" up to {bound:016x}" if bound < _ALL else ""
            )
            size = sum(max(blob.size, 0) for blob in part)
            pieces.append(SourceFile(name=label, paths=(str(directory / "HEAD"),), size=size))
    if not any(piece.size for piece in pieces):
        languages = ", ".join(config.languages) if config.languages else "any known language"
        raise InputError(f"{root}: no file in {languages} in {len(repositories)} repositories at '{config.revision}'")
    return sorted(pieces, key=lambda piece: piece.name)


def find_repositories(root: Path, closed: list[tuple[str, Path]] | None = None) -> list[tuple[str, Path]]:
    """Name and git directory of each repository at or below a folder, in order of name.

    It is named by its way from `root`, less ".git" and less a last folder that is the only one in its parent
    ("mathlib/repo" is "mathlib").  Links to folders are followed, none twice; a repository is not searched for others.
    Folders that cannot be read are added to `closed`.
    """
    own = find_git_directory(root)
    if own is not None:
        whole = Path(os.path.abspath(root))
        return [(whole.parent.name if whole.name == ".git" else whole.name.removesuffix(".git"), own)]
    found: list[tuple[str, Path]] = []
    _search(root, "", 0, found, [] if closed is None else closed, set())
    return sorted(found)


def _search(
    folder: Path,
    name: str,
    depth: int,
    found: list[tuple[str, Path]],
    closed: list[tuple[str, Path]],
    seen: set[str],
) -> None:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        inner = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        closed.append((name or ".", folder))
        return
    for entry in inner:
        path = folder / entry
        way = f"{name}/{entry}" if name else entry
        try:
            directory = find_git_directory(path)
        except PermissionError:
            closed.append((way, path))
            continue
        if directory is not None:
            found.append((name if name and len(inner) == 1 else way.removesuffix(".git"), directory))
        elif depth + 1 < MAX_DEPTH and not entry.startswith("."):
            _search(path, way, depth + 1, found, closed, seen)


def _seconds(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _wanted(config: Config, repo: str, blobs: Sequence[Blob]) -> list[Blob]:
    """The files in wanted languages.  Raises GitError where the commit is too large."""
    total = sum(max(blob.size, 0) for blob in blobs)
    if total > config.max_repo_bytes:
        raise GitError(f"holds {total} bytes of files, more than {config.max_repo_bytes}")
    table = {**EXTENSIONS, **config.extensions}
    kept = []
    for blob in blobs:
        language = language_of(blob.path, table)
        if language is None or (config.languages is not None and language not in config.languages):
            continue
        if not any(fnmatchcase(f"{repo}/{blob.path}", pattern) for pattern in config.exclude):
            kept.append(blob)
    return kept


def _draw(repo: str, blob: Blob) -> int:
    digest = hashlib.blake2b(f"{repo}/{blob.path}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _bound(max_bytes: int | None, files: Sequence[tuple[str, Blob]]) -> int:
    """The largest draw that is taken: files up to it hold at most `max_bytes`."""
    if max_bytes is None:
        return _ALL
    bound = total = 0
    for draw, size in sorted((_draw(name, blob), max(blob.size, 0)) for name, blob in files):
        total += size
        if total > max_bytes:
            return bound
        bound = draw
    return _ALL


def _parts(blobs: Sequence[Blob]) -> list[list[Blob]]:
    parts: list[list[Blob]] = []
    size = PART_BYTES
    for blob in blobs:
        if size >= PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(blob)
        size += max(blob.size, 0)
    return parts


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class _Piece:
    repo: str
    commit: str
    blobs: list[Blob]
    licences: dict[str, str]  # of folders that hold a licence file
    committed: str


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of one part of a repository; a file that is missing, too long or no text is quarantined alone."""
    match = _NAME.match(file.name)
    try:
        with ObjectStore(Path(file.paths[0]).parent) as store:
            if match is None:
                blobs = store.blobs(store.commit(config.revision, _seconds(config.before)))
                _wanted(config, "", blobs)
                raise GitError("was not whole when the build was planned, and is now: build again")
            yield from _read_piece(config, store, _piece(config, store, match), source)
    except (GitError, OSError) as error:
        yield Quarantined(path=file.name, reason=f"git repository {error}"[:300])


def _piece(config: Config, store: ObjectStore, match: re.Match[str]) -> _Piece:
    repo, commit, bound = match["repo"], match["commit"], int(match["bound"] or f"{_ALL:x}", 16)
    blobs = store.blobs(commit)
    parts = _parts([blob for blob in _wanted(config, repo, blobs) if _draw(repo, blob) <= bound])
    committed = time.strftime("%Y-%m-%d", time.gmtime(store.commit_time(commit)))
    return _Piece(repo, commit, parts[int(match["part"]) - 1], _licences(store, blobs), committed)


def _licences(store: ObjectStore, blobs: Sequence[Blob]) -> dict[str, str]:
    """SPDX name by folder ("" is the repository's own)."""
    files = [b for b in blobs if is_licence_file(b.path[b.path.rfind("/") + 1 :]) and 0 <= b.size <= MAX_LICENCE_BYTES]
    names: dict[str, list[str]] = {}
    for blob, data in store.read(files):
        if isinstance(data, bytes):
            names.setdefault(_folder(blob.path), []).append(detect(data.decode("utf-8", "replace")))
    return {folder: one_licence(found) for folder, found in names.items()}


def _folder(path: str) -> str:
    return path[: path.rfind("/")] if "/" in path else ""


def _licence_of(path: str, licences: dict[str, str]) -> str:
    folder = _folder(path)
    while folder and folder not in licences:
        folder = _folder(folder)
    return licences.get(folder, "none")


def _read_piece(config: Config, store: ObjectStore, piece: _Piece, source: str) -> Iterator[Document | Quarantined]:
    table = {**EXTENSIONS, **config.extensions}
    small = []
    for blob in piece.blobs:
        if blob.size > config.max_file_bytes:
            reason = f"file longer than {config.max_file_bytes} bytes"
            yield Quarantined(path=f"{piece.repo}/{blob.path}", reason=reason)
        else:
            small.append(blob)
    for blob, data in store.read(small):
        name = f"{piece.repo}/{blob.path}"
        if isinstance(data, str):
            yield Quarantined(path=name, reason=data)
            continue
        meta = {
            "repo": piece.repo,
            "path": blob.path,
            "commit": piece.commit,
            "committed": piece.committed,
            "licence": _licence_of(blob.path, piece.licences),
            **config.meta,
        }
        record = file_document(source, name, data, language_of(blob.path, table) or "unknown", meta)
        if record is not None:
            yield record
