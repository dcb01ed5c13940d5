"""Bounded decompression and line splitting of untrusted files.

Nothing here holds more than one chunk and one line, however far a compressed stream expands.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO

from proof_pile.sources.inputs import CHUNK_BYTES

# A zstd block of 4 bytes can stand for 128 KiB, so 512 bytes of input expand to 16 MiB at the most.
ZSTD_FEED_BYTES = 512
ZSTD_WINDOW_BYTES = 1 << 27


class BrokenStreamError(Exception):
    """Raised when a compressed stream ends early or is damaged; all bytes before that point were yielded."""


def read_chunks(handle: IO[bytes], path: str) -> Iterator[bytes]:
    """The decompressed bytes of a file, chunk by chunk; the compression follows from the ending of `path`."""
    if path.endswith(".zst"):
        return _zstd_chunks(handle)
    if path.endswith((".gz", ".tgz")):
        return _gzip_chunks(handle)
    return iter(lambda: handle.read(CHUNK_BYTES), b"")


def _zstd_chunks(handle: IO[bytes]) -> Iterator[bytes]:
    """What the frames hold, in pieces of CHUNK_BYTES or more.

    zstandard's own stream_reader ends a truncated stream as if it were whole, so frames are followed by hand.
    """
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    in_frame = False
    ready: list[bytes] = []
    num_ready = 0
    while data := handle.read(CHUNK_BYTES):
        start = 0
        while start < len(data):
            piece = data[start : start + ZSTD_FEED_BYTES]
            start += len(piece)
            while piece:
                try:
                    out = frame.decompress(piece)
                except zstandard.ZstdError as error:
                    yield from ready
                    raise BrokenStreamError(f"damaged zstd stream: {error}") from None
                in_frame = True
                piece = b""
                if frame.eof:
                    piece = frame.unused_data
                    frame = decompressor.decompressobj()
                    in_frame = False
                if out:
                    ready.append(out)
                    num_ready += len(out)
                if num_ready >= CHUNK_BYTES:
                    yield b"".join(ready)
                    ready, num_ready = [], 0
    yield from ready
    if in_frame:
        raise BrokenStreamError("truncated zstd stream")


def _gzip_chunks(handle: IO[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(31)
    in_member = False
    while data := handle.read(CHUNK_BYTES):
        while data:
            if not in_member and not data.strip(b"\0"):
                break  # padding after the last member, as tape tools write it
            try:
                out = member.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise BrokenStreamError(f"damaged gzip stream: {error}") from None
            in_member = True
            data = member.unconsumed_tail
            if member.eof:
                data = member.unused_data
                member = zlib.decompressobj(31)
                in_member = False
            if out:
                yield out
    if in_member:
        raise BrokenStreamError("truncated gzip stream")


def read_lines(chunks: Iterator[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Line number (from 1) and bytes of each line without its end; None where it is longer than the bound.

    A BrokenStreamError of `chunks` is passed on after the complete lines; the piece of a line before it is not yielded.
    """
    number, too_long = 1, False
    rest: list[bytes] = []  # pieces of the line that is not complete: joined once, or a long line would cost its square
    num_rest = 0
    for chunk in chunks:
        lines = chunk.split(b"\n")
        last = lines.pop()
        if lines:
            rest.append(lines[0])
            lines[0] = b"".join(rest) if not too_long else b""
            rest, num_rest = [], 0
        for line in lines:
            if too_long or len(line) > max_line_bytes:
                yield number, None
            else:
                yield number, line.removesuffix(b"\r")
            number, too_long = number + 1, False
        if not too_long:
            rest.append(last)
            num_rest += len(last)
            if num_rest > max_line_bytes:
                rest, num_rest, too_long = [], 0, True
    if too_long:
        yield number, None
    elif num_rest:
        yield number, b"".join(rest)
