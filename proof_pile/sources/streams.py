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
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    in_frame = False
    while data := handle.read(CHUNK_BYTES):
        start = 0
        while start < len(data):
            piece = data[start : start + ZSTD_FEED_BYTES]
            start += len(piece)
            while piece:
                try:
                    out = frame.decompress(piece)
                except zstandard.ZstdError as error:
                    raise BrokenStreamError(f"damaged zstd stream: {error}") from None
                in_frame = True
                piece = b""
                if frame.eof:
                    piece = frame.unused_data
                    frame = decompressor.decompressobj()
                    in_frame = False
                if out:
                    yield out
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
    number, rest, too_long = 1, b"", False
    for chunk in chunks:
        lines = chunk.split(b"\n")
        lines[0] = rest + lines[0] if not too_long else b""
        rest = lines.pop()
        for line in lines:
            if too_long or len(line) > max_line_bytes:
                yield number, None
            else:
                yield number, line.removesuffix(b"\r")
            number, too_long = number + 1, False
        if len(rest) > max_line_bytes:
            rest, too_long = b"", True
    if too_long:
        yield number, None
    elif rest:
        yield number, rest
