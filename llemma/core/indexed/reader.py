"""Reading Megatron's .bin/.idx pairs, memory-mapped; the layout stands in layout.py."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.indexed.layout import (
    HEADER_BYTES,
    MAGIC,
    SWAPPED_FLOAT_CODES,
    TOKEN_TYPES,
    VERSION,
    bin_path,
    idx_path,
)


class IndexedReader:
    """The sequences of a .bin/.idx pair, read where they lie: nothing is copied into memory.

    The whole index is checked when the pair is opened. Raises InputError if a file is missing and
    DamagedFileError, with the place and both numbers, if one is truncated, altered or of another format.
    An instance may be pickled (its files are opened anew) and used after a fork.
    """

    def __init__(self, prefix: str | Path) -> None:
        self.prefix = Path(prefix)
        self._open()

    @property
    def sizes(self) -> np.ndarray:
        """Length of each sequence in tokens, int32."""
        return self._sizes

    @property
    def document_index(self) -> np.ndarray:
        """First sequence of each document, then the number of sequences; int64."""
        return self._document_index

    @property
    def num_documents(self) -> int:
        """Documents, each of which is one or more sequences."""
        return len(self._document_index) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences."""
        return int(self._tokens.size)

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored tokens."""
        return self._tokens.dtype

    def __len__(self) -> int:
        return len(self._sizes)

    def get(self, i: int, offset: int = 0, length: int | None = None) -> np.ndarray:
        """`length` tokens of sequence `i` from `offset` on (all that follow if None), as a read-only view.

        Raises IndexError if the sequence or the span does not exist.
        """
        if not 0 <= i < len(self._sizes):
            raise IndexError(f"{self.prefix}: sequence {i} of {len(self._sizes)}")
        size = int(self._sizes[i])
        stop = size if length is None else offset + length
        if not 0 <= offset <= stop <= size:
            raise IndexError(f"{self.prefix}: tokens {offset} to {stop} of sequence {i}, which has {size}")
        start = int(self._offsets[i]) // self.dtype.itemsize
        return self._tokens[start + offset : start + stop]

    def check_not_cut(self) -> None:
        """Raises DamagedFileError if a file has been cut short since it was opened.

        To be called before reading where that can be waited for: the system ends a process that reads a mapped file
        behind its end (SIGBUS). A file that was replaced or removed stays readable here.
        """
        for path, inode, size in self._opened:
            try:
                found = path.stat()
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == inode and found.st_size < size:
                raise DamagedFileError(
                    f"{path}: had {size} bytes when it was opened, and has been cut to {found.st_size} meanwhile: "
                    "put the whole file back"
                )

    def __getstate__(self) -> dict[str, Path]:
        return {"prefix": self.prefix}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.prefix = state["prefix"]
        self._open()

    def _open(self) -> None:
        idx, tokens = idx_path(self.prefix), bin_path(self.prefix)
        for path in (idx, tokens):
            if not path.is_file():
                raise InputError(
                    f"{path}: there is no such file; an indexed data set is a .bin and an .idx of the same name"
                )
        dtype, num_sequences, num_boundaries = _read_header(idx)
        index = np.asarray(np.memmap(idx, dtype=np.uint8, mode="r"))
        offsets_at = HEADER_BYTES + 4 * num_sequences
        boundaries_at = offsets_at + 8 * num_sequences
        self._sizes = index[HEADER_BYTES:offsets_at].view("<i4")
        self._offsets = index[offsets_at:boundaries_at].view("<i8")
        self._document_index = index[boundaries_at : boundaries_at + 8 * num_boundaries].view("<i8")
        num_tokens = self._check_index(idx, dtype.itemsize)
        found = tokens.stat().st_size
        if found != num_tokens * dtype.itemsize:
            raise DamagedFileError(
                f"{tokens}: has {found} bytes, but {idx.name} tells of {num_tokens} tokens of "
                f"{dtype.itemsize} bytes, which are {num_tokens * dtype.itemsize} bytes: the file is "
                f"{'truncated' if found < num_tokens * dtype.itemsize else 'too long'}, or belongs to another index"
            )
        stats = [(path, path.stat()) for path in (idx, tokens)]
        self._opened = [(path, (stat.st_dev, stat.st_ino), stat.st_size) for path, stat in stats]
        # numpy cannot map an empty file.
        self._tokens: np.ndarray = np.asarray(np.memmap(tokens, dtype=dtype, mode="r")) if found else np.empty(0, dtype)

    def _check_index(self, path: Path, itemsize: int) -> int:
        """The number of tokens; raises DamagedFileError if the three tables contradict each other."""
        sizes, offsets, boundaries = self._sizes, self._offsets, self._document_index
        if len(sizes) and int(sizes.min()) < 0:
            place = int(np.argmax(sizes < 0))
            raise DamagedFileError(f"{path}: sequence {place} has the length {int(sizes[place])}")
        ends = np.cumsum(sizes, dtype=np.int64)
        wanted = (ends - sizes) * itemsize
        if not np.array_equal(offsets, wanted):
            place = int(np.argmax(offsets != wanted))
            raise DamagedFileError(
                f"{path}: sequence {place} is said to begin at byte {int(offsets[place])} of the .bin, but the "
                f"lengths of those before it put it at byte {int(wanted[place])}"
            )
        if int(boundaries[0]) != 0 or int(boundaries[-1]) != len(sizes):
            raise DamagedFileError(
                f"{path}: the document index runs from {int(boundaries[0])} to {int(boundaries[-1])}, but must run "
                f"from 0 to the number of sequences, {len(sizes)} (GPT-NeoX's merge tool drops it: merge anew)"
            )
        if (np.diff(boundaries) < 0).any():
            place = int(np.argmax(np.diff(boundaries) < 0)) + 1
            raise DamagedFileError(f"{path}: document {place} begins before the document in front of it")
        return int(ends[-1]) if len(ends) else 0


def _read_header(path: Path) -> tuple[np.dtype, int, int]:
    """Token type, number of sequences and number of document boundaries, held against the file's length."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    if header[: len(MAGIC)] != MAGIC[: len(header)] or not header:
        raise DamagedFileError(
            f"{path}: begins with {header[: len(MAGIC)]!r}, but an index begins with {MAGIC!r}: "
            "this is another kind of file"
        )
    if len(header) < HEADER_BYTES:
        raise DamagedFileError(
            f"{path}: has {size} bytes, but the header alone has {HEADER_BYTES}: the file is truncated"
        )
    version, code, num_sequences, num_boundaries = struct.unpack("<QBQQ", header[len(MAGIC) :])
    if version != VERSION:
        raise DamagedFileError(f"{path}: is of version {version}, but only version {VERSION} can be read")
    if code in SWAPPED_FLOAT_CODES:
        raise DamagedFileError(
            f"{path}: holds floating-point numbers (code {code}), not tokens; "
            "GPT-NeoX and Megatron disagree on what that code means"
        )
    if code not in TOKEN_TYPES:
        raise DamagedFileError(f"{path}: unknown token type {code}; known are {', '.join(map(str, TOKEN_TYPES))}")
    wanted = HEADER_BYTES + 12 * num_sequences + 8 * num_boundaries
    if num_boundaries < 1 or size != wanted:
        raise DamagedFileError(
            f"{path}: has {size} bytes, but its header tells of {num_sequences} sequences and {num_boundaries} "
            f"document boundaries, which are {wanted} bytes: the file is "
            f"{'truncated' if size < wanted else 'damaged, or holds more than tokens'}"
        )
    return TOKEN_TYPES[code], num_sequences, num_boundaries
