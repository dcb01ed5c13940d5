"""Text members of untrusted tar archives, read in memory under limits; nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from proof_pile.sources.inputs import open_input
from proof_pile.sources.streams import BrokenStreamError, read_chunks


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """Bounds on one archive, chosen by us: the sources of an arXiv paper seldom pass 50 MB with all figures."""

    max_members: int = 5000
    max_member_bytes: int = 10_000_000
    max_total_bytes: int = 300_000_000


@dataclass(kw_only=True, slots=True)
class Archive:
    """What was read: members by safe path, and (member, reason) of what was left out."""

    members: dict[str, bytes] = field(default_factory=dict)
    problems: list[tuple[str | None, str]] = field(default_factory=list)


class _Bounded(io.RawIOBase):
    """A forward-only stream over decompressed chunks that ends with an error at its bound."""

    def __init__(self, chunks: Iterator[bytes], max_bytes: int) -> None:
        self.chunks = chunks
        self.rest = b""
        self.left = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self.rest:
            try:
                self.rest = next(self.chunks)
            except StopIteration:
                return 0
        taken = min(len(view), len(self.rest))
        self.left -= taken
        if self.left < 0:
            raise BrokenStreamError("archive expands beyond its limit")
        view[:taken] = self.rest[:taken]
        self.rest = self.rest[taken:]
        return taken


def safe_member_path(name: str) -> str | None:
    """The member's path within the archive, None where it would leave it (absolute, "..", a drive)."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path in (".", "..") or (len(path) > 1 and path[1] == ":"):
        return None
    return path


def read_archive(path: str, endings: tuple[str, ...], limits: ArchiveLimits) -> Archive:
    """The regular members of a .tar, .tar.gz or .tgz whose names end so; a damaged archive keeps what came before."""
    archive = Archive()
    with open_input(path) as handle:
        stream = io.BufferedReader(_Bounded(read_chunks(handle, path), limits.max_total_bytes))
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for number, member in enumerate(tar):
                    if number >= limits.max_members:
                        archive.problems.append((None, f"archive has more than {limits.max_members} members"))
                        break
                    _take(archive, tar, member, endings, limits)
        except (tarfile.TarError, BrokenStreamError, EOFError, ValueError, OverflowError) as error:
            archive.problems.append((None, f"damaged archive: {' '.join(str(error).split())[:200]}"))
    return archive


def _take(
    archive: Archive, tar: tarfile.TarFile, member: tarfile.TarInfo, endings: tuple[str, ...], limits: ArchiveLimits
) -> None:
    if member.isdir():
        return
    path = safe_member_path(member.name)
    shown = member.name.encode("utf-8", "replace").decode("utf-8")[:200]
    if path is None:
        archive.problems.append((shown, "member path leaves the archive"))
    elif not member.isfile():
        if path.lower().endswith(endings):
            archive.problems.append((shown, "member is a link or a device"))
    elif path.lower().endswith(endings):
        if member.size > limits.max_member_bytes:
            archive.problems.append((shown, f"member longer than {limits.max_member_bytes} bytes"))
            return
        content = tar.extractfile(member)
        if content is not None:
            archive.members[path] = content.read()
