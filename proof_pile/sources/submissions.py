"""Papers as they are handed in: a .gz of one file or of a tar, a .tar, .tgz or .zip, and tars full of them.

Everything is read in memory under limits, member after member, and nothing is ever written to a disk.  A damaged tar
header costs the member that it describes: the next header is looked for, 512 bytes at a time.
"""

from __future__ import annotations

import io
import posixpath
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from proof_pile.sources.inputs import open_input
from proof_pile.sources.streams import BrokenStreamError, read_chunks

BLOCK = 512
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
_NESTED = (".tar.gz", ".tgz", ".tar", ".zip", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_MAX_EXTENDED_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on one paper, chosen by us: the sources of an arXiv paper seldom pass 50 MB with all figures."""

    max_members: int = 20_000
    max_member_bytes: int = 10_000_000
    max_total_bytes: int = 500_000_000
    max_packed_bytes: int = 100_000_000


@dataclass(kw_only=True, slots=True)
class Submission:
    """The wanted files of one paper by safe path, and (member, reason) of what was left out."""

    files: dict[str, bytes] = field(default_factory=dict)
    problems: list[tuple[str | None, str]] = field(default_factory=list)
    timestamp: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member of a tar: `kind` is file, folder or other (links, devices); `offset` is its header's place."""

    name: str
    kind: str
    size: int
    timestamp: int
    offset: int


def safe_member_path(name: str) -> str | None:
    """The member's path within the archive, None where it would leave it (absolute, "..", a drive)."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path in (".", "..") or (len(path) > 1 and path[1] == ":"):
        return None
    return path


class Stream:
    """Bytes that are read forward only, from an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        pieces, wanted = [], size
        while wanted > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            piece, self._rest = self._rest[:wanted], self._rest[wanted:]
            wanted -= len(piece)
            pieces.append(piece)
        self.position += size - wanted
        return b"".join(pieces)

    def skip(self, size: int) -> int:
        """Passes over so many bytes and returns how many there were."""
        left = size
        while left > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            taken = min(left, len(self._rest))
            self._rest = self._rest[taken:] if taken < len(self._rest) else b""
            left -= taken
        self.position += size - left
        return size - left


def _number(field_bytes: bytes) -> int:
    """A number of a tar header: octal digits, or binary where the first bit says so; -1 where it is neither."""
    if field_bytes[0] & 0x80:
        value = int.from_bytes(field_bytes[1:], "big")
        return value if value < 1 << 50 else -1
    digits = field_bytes.strip(b" \0")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else -1
    except ValueError:
        return -1


def is_tar_header(block: bytes) -> bool:
    """Whether these 512 bytes are a tar header: their sum is the one that they state."""
    if len(block) < BLOCK or block[0] == 0:
        return False
    stated = _number(block[148:156])
    return stated == sum(block[:148]) + 256 + sum(block[156:BLOCK])


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def tar_members(stream: Stream, max_members: int) -> Iterator[tuple[Member, Stream] | str]:
    """The members of a tar, each with a stream of its bytes (to be read before the next is asked for), or a fault.

    Raises BrokenStreamError where the compressed stream below it breaks.
    """
    number = 0
    long_name: str | None = None
    long_size: int | None = None
    lost_at = -1
    while True:
        offset = stream.position
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            if block.strip(b"\0"):
                yield f"tar ends within a header at byte {offset}"
            break
        if not block.strip(b"\0"):
            continue  # the end, or the padding between two archives in a row
        if not is_tar_header(block):
            if lost_at < 0:
                lost_at = offset
                yield f"damaged tar header at byte {offset}"
            continue
        lost_at = -1
        number += 1
        if number > max_members:
            yield f"more than {max_members} members"
            return
        size = _number(block[124:136])
        kind = block[156:157]
        if size < 0:
            yield f"damaged tar header at byte {offset}"
            continue
        if kind in (b"L", b"K", b"x", b"g"):
            if size > _MAX_EXTENDED_BYTES:
                yield f"tar header of {size} bytes at byte {offset}"
                stream.skip(-(-size // BLOCK) * BLOCK)
                continue
            data = stream.read(size)
            stream.skip(-size % BLOCK)
            if kind == b"L":
                long_name = _text(data)
            elif kind == b"x":
                long_name, long_size = _extended(data, long_name, long_size)
            continue
        name = _text(block[:100])
        if block[257:262] == b"ustar" and block[262:263] == b"\0" and block[345] != 0:
            name = f"{_text(block[345:500])}/{name}"
        size = long_size if long_size is not None else size
        member = Member(
            name=long_name if long_name is not None else name,
            kind="folder" if kind == b"5" else "file" if kind in (b"0", b"\0", b"7") else "other",
            size=size if kind not in (b"1", b"2", b"3", b"4", b"5", b"6") else 0,
            timestamp=_number(block[136:148]),
            offset=offset,
        )
        long_name = long_size = None
        start = stream.position
        yield member, stream
        left = member.size - (stream.position - start)
        if stream.skip(left) < left:
            yield f"tar ends within the member at byte {offset}"
            return
        stream.skip(-member.size % BLOCK)


def _extended(data: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Name and size by a pax header."""
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or int(length) < 5:
            break
        record = data[len(length) + 1 : int(length) - 1]
        key, _, value = record.partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "backslashreplace")
        elif key == b"size" and value.isdigit() and len(value) < 16:
            size = int(value)
        data = data[int(length) :]
        del rest
    return name, size


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")[:200]


class _Collector:
    """Takes the wanted members of one paper, whatever archive they come from."""

    def __init__(self, endings: tuple[str, ...], limits: Limits) -> None:
        self.result = Submission()
        self._endings = endings
        self._limits = limits
        self._total = 0

    def wants(self, name: str, kind: str, size: int) -> str | None:
        """The safe path of a member that is wanted; what is refused is noted down."""
        if kind == "folder":
            return None
        path = safe_member_path(name)
        lower = name.lower()
        if path is None:
            if lower.endswith(self._endings):
                self.refuse(name, "member path leaves the archive")
            return None
        if lower.endswith(_NESTED):
            self.refuse(name, "archive within an archive")
            return None
        if not lower.endswith(self._endings):
            return None
        if kind != "file":
            self.refuse(name, "member is a link or a device")
            return None
        if size > self._limits.max_member_bytes:
            self.refuse(name, f"member longer than {self._limits.max_member_bytes} bytes")
            return None
        return path

    def refuse(self, name: str | None, reason: str) -> None:
        """Notes down what is left out, up to a hundred times."""
        if len(self.result.problems) < 100:
            self.result.problems.append((None if name is None else _shown(name), reason))

    def take(self, path: str, data: bytes) -> None:
        """Keeps a member, within the bound on all of them together."""
        self._total += len(data)
        if self._total > self._limits.max_total_bytes:
            self.refuse(path, f"paper longer than {self._limits.max_total_bytes} bytes")
        else:
            self.result.files[path] = data


def _bounded(chunks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise BrokenStreamError(f"expands to more than {max_bytes} bytes")
        yield chunk


def read_submission(path: str, endings: tuple[str, ...], limits: Limits, data: bytes | None = None) -> Submission:
    """The wanted files of the paper in an archive; `data` holds its bytes where it is a member of another one.

    What a .gz holds is told by its first bytes: a tar, a zip, or else one TeX file.  Raises OSError where the file
    cannot be read.
    """
    collector = _Collector(endings, limits)
    handle = open_input(path) if data is None else io.BytesIO(data)
    with handle:
        try:
            if path.lower().endswith(".zip"):
                packed = handle.read(limits.max_packed_bytes + 1)
                _take_zip(packed, collector, limits)
                return collector.result
            name = path[:-4] + ".tar.gz" if path.lower().endswith(".tgz") else path.lower()
            chunks = _bounded(read_chunks(handle, name), limits.max_total_bytes)
            _take_stream(chunks, collector, limits)
        except BrokenStreamError as error:
            collector.refuse(None, str(error))
    return collector.result


def _take_stream(chunks: Iterator[bytes], collector: _Collector, limits: Limits) -> None:
    head = b""
    try:
        for chunk in chunks:
            head += chunk
            if len(head) >= BLOCK:
                break
    except BrokenStreamError:
        if not is_tar_header(head[:BLOCK]):
            raise
    if is_tar_header(head[:BLOCK]):
        _take_tar(Stream(_chain(head, chunks)), collector, limits)
    elif head.startswith(b"PK\x03\x04"):
        _take_zip(_all(head, chunks, limits.max_packed_bytes), collector, limits)
    elif head.startswith((b"%PDF", b"%!PS", b"\x89PNG", b"\x1f\x8b", b"BZh")):
        collector.refuse(
            None, "no TeX source but " + ("PDF" if head.startswith(b"%PDF") else "PostScript or binary data")
        )
    elif head.strip():
        whole = _all(head, chunks, limits.max_member_bytes)
        if len(whole) > limits.max_member_bytes:
            collector.refuse(None, f"paper longer than {limits.max_member_bytes} bytes")
        else:
            collector.take("main.tex", whole)


def _chain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _all(head: bytes, chunks: Iterator[bytes], max_bytes: int) -> bytes:
    pieces, size = [head], len(head)
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            break
    return b"".join(pieces)


def _take_tar(stream: Stream, collector: _Collector, limits: Limits) -> None:
    for found in tar_members(stream, limits.max_members):
        if isinstance(found, str):
            collector.refuse(None, found)
            continue
        member, content = found
        path = collector.wants(member.name, member.kind, member.size)
        if path is not None:
            data = content.read(member.size)
            if len(data) == member.size:
                collector.take(path, data)
                collector.result.timestamp = max(collector.result.timestamp, member.timestamp)


def _take_zip(packed: bytes, collector: _Collector, limits: Limits) -> None:
    """The members of a zip; its directory is bounded before it is read, for zipfile holds all of it in memory."""
    import struct
    import zipfile

    if len(packed) > limits.max_packed_bytes:
        collector.refuse(None, f"archive longer than {limits.max_packed_bytes} bytes")
        return
    end = packed.rfind(b"PK\x05\x06")
    if end < 0 or len(packed) < end + 22:
        collector.refuse(None, "damaged zip: no directory")
        return
    num_members, directory_bytes = struct.unpack("<HI", packed[end + 10 : end + 16])
    if num_members > limits.max_members or directory_bytes > 300 * limits.max_members or num_members == 0xFFFF:
        collector.refuse(None, f"more than {limits.max_members} members")
        return
    left = limits.max_total_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for info in archive.infolist()[: limits.max_members]:
                mode = info.external_attr >> 16
                kind = "folder" if info.is_dir() else "other" if mode & 0o170000 not in (0, 0o100000) else "file"
                path = collector.wants(info.filename, kind, info.file_size)
                if path is None:
                    continue
                if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    collector.refuse(info.filename, "encrypted, or packed in a way that is not read")
                    continue
                try:
                    with archive.open(info) as content:
                        data = content.read(min(limits.max_member_bytes, left) + 1)
                except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
                    collector.refuse(info.filename, f"damaged member: {' '.join(str(error).split())[:100]}")
                    continue
                left -= len(data)
                if len(data) > limits.max_member_bytes or left < 0:
                    collector.refuse(info.filename, f"member longer than {limits.max_member_bytes} bytes")
                    continue
                collector.take(path, data)
    except (zipfile.BadZipFile, ValueError, OverflowError, struct.error, NotImplementedError) as error:
        collector.refuse(None, f"damaged zip: {' '.join(str(error).split())[:100]}")


def member_stem(name: str) -> str:
    """A member's own name without folders and without the ending .gz."""
    return posixpath.basename(name.replace("\\", "/")).removesuffix(".gz")
