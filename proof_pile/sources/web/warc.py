"""WARC files, record by record: plain, gzip (a member a record, as Common Crawl writes them) and zstd.

One record is held at a time, and no more of it than was asked for, however far it expands.  A record that is damaged
or cut off is told of with its place; reading goes on at the next one.  Source: ISO 28500 (WARC 1.1), IIPC's note on zstd.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from proof_pile.sources.inputs import CHUNK_BYTES
from proof_pile.sources.streams import ZSTD_FEED_BYTES, ZSTD_WINDOW_BYTES

MAX_HEAD_BYTES = 64 << 10  # chosen by us: real heads are below 4 KiB
_VERSION = b"WARC/"
_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"


@dataclass(frozen=True, kw_only=True, slots=True)
class WarcRecord:
    """One record: where it begins in the file (its gzip member or zstd frame), its head and its block."""

    offset: int
    headers: dict[str, str]  # by lower-case name; of a doubled one the first counts
    block: bytes
    size: int  # of the whole block; the block is cut where it is longer than was asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class WarcFault:
    """A record that cannot be read, or what the file holds in its place."""

    offset: int
    reason: str
    excerpt: bytes = b""


@dataclass(frozen=True, slots=True)
class _Piece:
    offset: int  # in the file: of the bytes themselves, of their member where they are packed
    data: bytes
    begins: bool = False  # whether a member begins here
    fault: str = ""


def read_warc(handle: IO[bytes], path: str, max_block_bytes: int) -> Iterator[WarcRecord | WarcFault]:
    """The records of a WARC file; at most `max_block_bytes` of each block are kept."""
    reader = _Reader(_pieces(handle, path))
    while True:
        offset = reader.skip_blank_lines()
        if offset < 0:
            return
        if reader.fault:
            yield WarcFault(offset=reader.fault_offset, reason=reader.take_fault())
            if not reader.next_record():
                return
            continue
        head = reader.head()
        if head is None:
            excerpt = bytes(reader.buffer[:200])
            cut = reader.take_fault() or ("the file ends inside a record's head" if reader.ended else "no WARC record")
            yield WarcFault(offset=offset, reason=cut, excerpt=excerpt)
            if not reader.next_record():
                return
            continue
        headers = _headers(head)
        length = headers.get("content-length", "")
        if not length.isdigit() or len(length) > 15:
            yield WarcFault(offset=offset, reason=f"Content-Length is '{length[:40]}'", excerpt=head[:200])
            if not reader.next_record():
                return
            continue
        size = int(length)
        block, got = reader.block(size, max_block_bytes)
        if got < size:
            reason = f"record is cut off: {got} of {size} bytes"
            fault = reader.take_fault()
            yield WarcFault(offset=offset, reason=f"{reason} ({fault})" if fault else reason, excerpt=block[:200])
            if not reader.next_record():
                return
            continue
        yield WarcRecord(offset=offset, headers=headers, block=block, size=size)


def _headers(head: bytes) -> dict[str, str]:
    """Header fields; a line that begins with white space goes on with the field before it."""
    fields: dict[str, str] = {}
    text = re.sub(r"\r?\n[ \t]+", " ", head.decode("utf-8", "replace"))
    for line in text.splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


class _Reader:
    """Bytes of the pieces, with the offset of the record that is being read."""

    def __init__(self, pieces: Iterator[_Piece]) -> None:
        self.pieces = pieces
        self.buffer = bytearray()
        self.offset = 0  # of the buffer's first byte, or of the member that holds it
        self.packed = False
        self.fault = ""
        self.fault_offset = 0
        self.ended = False
        self.waiting: _Piece | None = None  # begins a member: what was cut off before it must not be joined to it

    def _pull(self, *, inside: bool = False) -> bool:
        """Takes in the next piece; False at the end and where a fault or a new member must be seen to first.

        `inside` a block, a member that begins as a record does is not taken in, even where nothing is left to join it to.
        """
        if self.fault or self.ended or (self.waiting is not None and (self.buffer or inside)):
            return False
        piece = self.waiting or next(self.pieces, None)
        self.waiting = None
        if piece is None:
            self.ended = True
            return False
        if piece.fault:
            self.fault, self.fault_offset = piece.fault, piece.offset
            return False
        if piece.begins and (inside or self.buffer.strip()):
            self.waiting = piece
            return self._continue_into_member()
        if piece.begins:
            self.packed = True
            self.buffer.clear()
            self.offset = piece.offset
        elif not self.buffer and not self.packed:
            self.offset = piece.offset
        self.buffer += piece.data
        return True

    def _continue_into_member(self) -> bool:
        """A record may stretch over members; one that begins as a record does is another one."""
        assert self.waiting is not None
        if self.waiting.data.startswith(_VERSION):
            return False
        self.buffer += self.waiting.data
        self.waiting = None
        return True

    def take_fault(self) -> str:
        fault, self.fault = self.fault, ""
        return fault

    def _drop(self, count: int) -> None:
        del self.buffer[:count]
        if not self.packed:
            self.offset += count

    def skip_blank_lines(self) -> int:
        """Where the next record begins, -1 at the end of the file."""
        while True:
            kept = self.buffer.lstrip(b"\r\n\0")
            self._drop(len(self.buffer) - len(kept))
            if self.buffer or self.fault:
                return self.offset
            if not self._pull() and not self.fault:
                return -1

    def head(self) -> bytes | None:
        """The head of the record with its version line, None where there is none."""
        while len(self.buffer) < len(_VERSION) and self._pull():
            pass
        if not self.buffer.startswith(_VERSION):
            return None
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            length = 4
            if end < 0:
                end, length = self.buffer.find(b"\n\n"), 2
            if 0 <= end <= MAX_HEAD_BYTES:
                head = bytes(self.buffer[:end])
                self._drop(end + length)
                return head
            if len(self.buffer) > MAX_HEAD_BYTES or not self._pull():
                return None

    def block(self, size: int, max_bytes: int) -> tuple[bytes, int]:
        """At most `max_bytes` of the next `size` bytes, and how many there were."""
        kept = bytearray()
        got = 0
        while got < size:
            if not self.buffer and not self._pull(inside=True):
                break
            take = min(size - got, len(self.buffer))
            if len(kept) < max_bytes:
                kept += self.buffer[: min(take, max_bytes - len(kept))]
            self._drop(take)
            got += take
        return bytes(kept), got

    def next_record(self) -> bool:
        """Goes on to the next place where a record begins; False at the end."""
        self.fault = ""
        if self.packed:
            self.buffer.clear()
            while not self.waiting:
                piece = next(self.pieces, None)
                if piece is None:
                    self.ended = True
                    return False
                if piece.begins and piece.data.startswith(_VERSION):
                    self.waiting = piece
            return True
        if self.buffer.startswith(_VERSION):
            self._drop(len(_VERSION))
        while True:
            start = self.buffer.find(b"\nWARC/1")
            if start >= 0:
                self._drop(start + 1)
                return True
            self._drop(max(0, len(self.buffer) - 16))
            if not self._pull():
                return False


# ---------------------------------------------------------------- pieces of a file


def _pieces(handle: IO[bytes], path: str) -> Iterator[_Piece]:
    first = handle.read(CHUNK_BYTES)
    if first.startswith(_GZIP[:2]):
        return _gzip_pieces(handle, first)
    if first.startswith((_ZSTD, _ZSTD_DICTIONARY)):
        return _zstd_pieces(handle, first)
    return _plain_pieces(handle, first)


def _plain_pieces(handle: IO[bytes], data: bytes) -> Iterator[_Piece]:
    offset = 0
    while data:
        yield _Piece(offset, data)
        offset += len(data)
        data = handle.read(CHUNK_BYTES)


class _Window:
    """The file's bytes from a place on, refilled as they are used."""

    def __init__(self, handle: IO[bytes], first: bytes) -> None:
        self.handle = handle
        self.data = first
        self.offset = 0

    def fill(self, count: int) -> bool:
        """Makes sure that so many bytes are there; False where the file ends before."""
        while len(self.data) < count:
            more = self.handle.read(CHUNK_BYTES)
            if not more:
                return False
            self.data += more
        return True

    def drop(self, count: int) -> None:
        self.data = self.data[count:]
        self.offset += count

    def seek(self, magic: bytes) -> bool:
        """Goes to the next place that begins with the magic bytes, past the first byte."""
        self.drop(1)
        while True:
            start = self.data.find(magic)
            if start >= 0:
                self.drop(start)
                return True
            self.drop(max(0, len(self.data) - len(magic) + 1))
            if not self.fill(len(magic)):
                return False


def _gzip_pieces(handle: IO[bytes], first: bytes) -> Iterator[_Piece]:
    window = _Window(handle, first)
    while window.fill(1):
        if window.data[0] == 0 and not window.data.strip(b"\0"):
            window.drop(len(window.data))  # padding at the end, as tape tools write it
            continue
        start = window.offset
        member = zlib.decompressobj(31)
        begins, fault = True, ""
        while not member.eof:
            if not window.fill(1):
                fault = "truncated gzip stream"
                break
            given = window.data
            try:
                out = member.decompress(given, CHUNK_BYTES)
            except zlib.error as error:
                fault = f"damaged gzip stream: {error}"
                break
            window.drop(len(given) - len(member.unconsumed_tail or member.unused_data))
            if out:
                yield _Piece(start, out, begins)
                begins = False
        if fault:
            yield _Piece(start, b"", fault=fault)
            if begins and window.offset == start and not window.seek(_GZIP):
                return
            if not begins and not _resume(window):
                return


def _resume(window: _Window) -> bool:
    """After a member that broke in the middle: the next gzip member that holds a WARC record."""
    while window.seek(_GZIP):
        window.fill(4096)
        try:
            if zlib.decompressobj(31).decompress(window.data[:65536], 16).startswith(_VERSION):
                return True
        except zlib.error:
            continue
    return False


def _zstd_pieces(handle: IO[bytes], first: bytes) -> Iterator[_Piece]:
    import zstandard

    window = _Window(handle, first)
    dictionary = _zstd_dictionary(window)
    while window.fill(4):
        start = window.offset
        if 0x184D2A50 <= int.from_bytes(window.data[:4], "little") <= 0x184D2A5F:
            if not window.fill(8):
                return
            left = 8 + int.from_bytes(window.data[4:8], "little")
            while left and window.fill(1):
                step = min(left, len(window.data))
                window.drop(step)
                left -= step
            continue
        frame = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        begins, fault = True, ""
        while not frame.eof:
            if not window.fill(1):
                fault = "truncated zstd stream"
                break
            given = window.data[:ZSTD_FEED_BYTES]
            try:
                out = frame.decompress(given)
            except zstandard.ZstdError as error:
                fault = f"damaged zstd stream: {error}"
                break
            window.drop(len(given) - len(frame.unused_data))
            if out:
                yield _Piece(start, out, begins)
                begins = False
        if fault:
            yield _Piece(start, b"", fault=fault)
            if not window.seek(_ZSTD):
                return


def _zstd_dictionary(window: _Window) -> Any:
    """The dictionary in the file's first frame, which all records were packed with; None where there is none."""
    import zstandard

    if not window.data.startswith(_ZSTD_DICTIONARY) or not window.fill(8):
        return None
    size = int.from_bytes(window.data[4:8], "little")
    if size > 64 << 20 or not window.fill(8 + size):
        return None
    content = window.data[8 : 8 + size]
    window.drop(8 + size)
    if content.startswith(_ZSTD):
        content = zstandard.ZstdDecompressor().decompress(content, max_output_size=64 << 20)
    return zstandard.ZstdCompressionDict(content)
