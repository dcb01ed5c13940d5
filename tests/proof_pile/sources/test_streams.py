"""Decompression and lines of hostile files."""

from __future__ import annotations

import gzip
import io
import time
import tracemalloc

import pytest
import zstandard

from proof_pile.sources.streams import BrokenStreamError, read_chunks, read_lines

DATA = b"".join(b"line %d of a text that repeats itself\n" % n for n in range(20_000))


def unpack(data: bytes, name: str) -> bytes:
    return b"".join(read_chunks(io.BytesIO(data), name))


@pytest.mark.parametrize("name", ["a.zst", "a.gz"])
def test_stream_that_is_cut_anywhere_is_told_from_a_whole_one(name: str) -> None:
    """zstandard's stream_reader and its copy_stream end a truncated stream as if it were whole."""
    packed = zstandard.compress(DATA) if name == "a.zst" else gzip.compress(DATA)
    assert unpack(packed, name) == DATA
    for cut in (1, 5, len(packed) // 2, len(packed) - 4, len(packed) - 1):
        with pytest.raises(BrokenStreamError, match="truncated"):
            unpack(packed[:cut], name)
    for whole in (packed + packed, packed * 3):
        assert unpack(whole, name) == DATA * (len(whole) // len(packed))
    with pytest.raises(BrokenStreamError, match="damaged"):
        unpack(packed[: len(packed) // 2] + b"\xff" * 100 + packed[len(packed) // 2 :], name)


def test_what_came_before_the_cut_is_yielded() -> None:
    packed = zstandard.compress(DATA[:300_000]) + zstandard.compress(DATA[300_000:])
    found = bytearray()
    with pytest.raises(BrokenStreamError):
        for chunk in read_chunks(io.BytesIO(packed[:-3]), "a.zst"):
            found += chunk
    assert bytes(found[:300_000]) == DATA[:300_000]


def test_lines_do_not_depend_on_where_chunks_end() -> None:
    data = b"one\n\ntwo\r\n" + b"x" * 50 + b"\nlast"
    wanted = list(read_lines(iter([data]), 40))
    assert wanted == [(1, b"one"), (2, b""), (3, b"two"), (4, None), (5, b"last")]
    for size in (1, 2, 3, 7, 49):
        chunks = (data[i : i + size] for i in range(0, len(data), size))
        assert list(read_lines(chunks, 40)) == wanted


def test_line_of_a_gigabyte_is_passed_over_in_the_memory_of_a_chunk() -> None:
    def chunks() -> object:
        yield b"before\n"
        piece = b"a" * (1 << 20)
        for _ in range(1024):
            yield piece
        yield b"\nafter\n"

    tracemalloc.start()
    lines = list(read_lines(chunks(), 4 << 20))  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [(1, b"before"), (2, None), (3, b"after")]
    assert peak < 16 << 20


def test_long_line_in_small_pieces_costs_its_length_and_not_its_square() -> None:
    """Pieces were added to the line one after the other, which copied all of it for each piece of 2 kB."""
    piece = b"a" * 2048
    started = time.process_time()
    ((_, line),) = read_lines((piece for _ in range(30_000)), 64 << 20)
    assert line is not None and len(line) == 30_000 * 2048
    assert time.process_time() - started < 5  # some 0.1 s; the square of it takes minutes
