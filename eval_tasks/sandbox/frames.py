"""What the client and the server say to each other: JSON values, each behind its length in four bytes."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_HEAD = struct.Struct(">I")


def send(fd: int, value: Any) -> None:
    """Writes one value whole.  Raises OSError where nobody reads any more."""
    data = json.dumps(value).encode()
    data = _HEAD.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


class Reader:
    """Takes values from a pipe; whole ones only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = bytearray()

    def read(self) -> list[Any] | None:
        """The values that came with the next bytes (there may be none yet), or None at the end."""
        data = os.read(self._fd, 1 << 16)
        if not data:
            return None
        self._held += data
        values = []
        while len(self._held) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._held)[0]
            if len(self._held) < end:
                break
            values.append(json.loads(self._held[_HEAD.size : end]))
            del self._held[:end]
        return values

    def read_one(self) -> Any:
        """The next value, waited for; the other side sends no second one before an answer.  None at the end."""
        while (values := self.read()) is not None:
            if values:
                return values[0]
        return None
