"""The lines that a classifier is trained on, kept in a file: nothing of a corpus has to fit into memory.

lines.bin    the lines one after the other, UTF-8, without breaks
The offsets between them and their labels are kept in memory: 16 bytes a line.
"""

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np


class LineFile:
    """Takes labelled lines, and gives them back as one buffer that lies on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._offsets = array("q", [0])
        self._labels = array("q")
        self._digest = hashlib.sha256()

    def __enter__(self) -> LineFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, line: bytes, label: int) -> None:
        """Appends a line; one without a word is left out."""
        if not line.strip():
            return
        self._file.write(line)
        self._digest.update(b"%d %d\n" % (label, len(line)) + line)
        self._offsets.append(self._offsets[-1] + len(line))
        self._labels.append(label)

    def close(self) -> None:
        """Writes out what is left."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """A hash of all lines and labels so far."""
        return self._digest.hexdigest()

    @property
    def num_bytes(self) -> int:
        """Bytes of all lines."""
        return self._offsets[-1]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(data, offsets, labels) for training; `data` is a memory map."""
        self._file.flush()
        data = np.memmap(self.path, np.uint8, "r") if self.num_bytes else np.zeros(0, np.uint8)
        return data, np.array(self._offsets, np.int64), np.array(self._labels, np.int64)


def pieces(text: str, max_chars: int) -> list[str]:
    """A text in pieces of at most about `max_chars`, cut at empty lines, else at line breaks, else anywhere."""
    if len(text) <= max_chars:
        return [text]
    found = []
    start = 0
    while len(text) - start > max_chars:
        end = text.rfind("\n\n", start + max_chars // 2, start + max_chars)
        if end < 0:
            end = text.rfind("\n", start + max_chars // 2, start + max_chars)
        if end < 0:
            end = start + max_chars
        found.append(text[start:end])
        start = end
    found.append(text[start:])
    return found
