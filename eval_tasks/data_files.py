"""Rows of benchmark data files: .jsonl, .json, both also as .gz or .zst, and .parquet.

Rows are dictionaries as the file holds them. A file that cannot be read as its name says is an InputError;
a JSON line that is not an object is given back as a Problem with its line, and the others are kept.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from llemma.core.errors import InputError, MissingPackageError, Problem

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".parquet")
MAX_FILE_BYTES = 2 << 30  # benchmarks are small; a bigger file was named by mistake (chosen by us)
MAX_LINE_CHARS = 16 << 20


def read_rows(path: Path) -> Iterator[dict[str, Any] | Problem]:
    """Each row of one data file, or what is wrong with it."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    if size > MAX_FILE_BYTES:
        raise InputError(f"{path}: {size:,} bytes are too many for a benchmark (limit {MAX_FILE_BYTES:,})")
    name = path.name
    unreadable: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, RecursionError, *_zstd_errors())
    try:
        if name.endswith(".parquet"):
            yield from _parquet_rows(path)
        elif name.endswith((".jsonl", ".jsonl.gz", ".jsonl.zst")):
            with _open_text(path) as file:
                for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_CHARS), ""), start=1):
                    if len(line) == MAX_LINE_CHARS:
                        raise ValueError(f"line {number} has more than {MAX_LINE_CHARS:,} characters")
                    if line.strip():
                        yield _row(str(path), number, line)
        elif name.endswith((".json", ".json.gz")):
            with _open_text(path) as file:
                value = json.loads(file.read(MAX_FILE_BYTES))
            for item in value if isinstance(value, list) else [value]:
                yield item if isinstance(item, dict) else Problem(str(path), None, "this is not a JSON object")
        else:
            raise InputError(f"{path}: unknown kind of file, wanted one of {', '.join(SUFFIXES)}")
    except unreadable as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: cannot be read ({error}): copy the file again") from None


def _zstd_errors() -> tuple[type[Exception], ...]:
    """zstandard's own exception, where that package is installed: it derives from Exception alone."""
    try:
        from zstandard import ZstdError
    except ImportError:
        return ()
    return (ZstdError,)


def _row(path: str, number: int, line: str) -> dict[str, Any] | Problem:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem(path, number, f"this line is not valid JSON ({error})")
    return value if isinstance(value, dict) else Problem(path, number, "this line is not a JSON object")


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    if path.name.endswith(".zst"):
        return io.TextIOWrapper(io.BytesIO(_unpacked_zst(path)), encoding="utf-8")
    return path.open(encoding="utf-8")


def _unpacked_zst(path: Path) -> bytes:
    """The bytes of a .zst file. zstandard's own stream reader takes a file that was cut off for a short one."""
    try:
        import zstandard
    except ImportError:
        raise MissingPackageError("zstandard", "eval") from None
    parts: list[bytes] = []
    total = 0
    with path.open("rb") as file:
        frame = None
        while packed := file.read(1 << 20):
            while packed:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                parts.append(frame.decompress(packed))
                total += len(parts[-1])
                if total > MAX_FILE_BYTES:
                    raise ValueError(f"it unpacks to more than {MAX_FILE_BYTES:,} bytes")
                packed = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
    if frame is not None:
        raise ValueError("the file ends in the middle of its data")
    return b"".join(parts)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackageError("pyarrow", "eval") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
