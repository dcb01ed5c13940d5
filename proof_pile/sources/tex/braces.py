"""Groups {...} of a text as Python code looks for them: bounded in length, and in how many searches may be in vain."""

from __future__ import annotations

import re

_BRACES = re.compile(rb"\\.|[{}]", re.DOTALL)
MAX_GROUP_BYTES = 100_000
MAX_OPEN = 30  # searches for the end of a group that has none; each costs a pass over MAX_GROUP_BYTES


class Groups:
    """The groups of one text.  Once MAX_OPEN of them were found open, none is looked for any more."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._num_open = 0

    def end(self, position: int) -> int | None:
        """The position after the group that begins here, None where there is none."""
        if self.text[position : position + 1] != b"{" or self._num_open >= MAX_OPEN:
            return None
        close = self.text.find(b"}", position, position + MAX_GROUP_BYTES)
        inner = self.text[position + 1 : close]
        if close > 0 and b"{" not in inner and b"\\" not in inner:
            return close + 1  # as most are; ten times as fast as the walk below
        depth = 0
        for match in _BRACES.finditer(self.text, position, position + MAX_GROUP_BYTES):
            brace = match[0]
            if brace == b"{":
                depth += 1
            elif brace == b"}":
                depth -= 1
                if depth == 0:
                    return match.end()
        self._num_open += 1
        return None
