"""One native pass over a text's bytes that tells where any of many short strings stand, in upper or lower case.

Filters ask it first, and their expressions only at the places that it names: an expression of forty alternatives reads
10 MB a second, forty searches one after the other 30, this pass several hundred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from llemma.core.text.native import native

KEY_BYTES = 4
_TABLE_BITS = 18
_MULTIPLIER = np.uint32(2654435761)  # Knuth's, 2**32 over the golden ratio


@native
def _hits(data: np.ndarray, table: np.ndarray, places: np.ndarray) -> int:
    """Positions at which the four bytes, letters in lower case, are in the table; returns how many."""
    found = 0
    word = np.uint32(0)
    for i in range(data.size):
        byte = data[i]
        if 65 <= byte <= 90:
            byte |= 32
        word = np.uint32((word << np.uint32(8)) | np.uint32(byte))
        if table[np.uint32(word * np.uint32(2654435761)) >> np.uint32(14)] != 0 and i >= 3:
            if found == places.size:
                return -1
            places[found] = i - 3
            found += 1
    return found


@native
def _shapes(data: np.ndarray) -> int:
    """Bit 1: four numbers with full stops between stand somewhere; bit 2: something of the form of an IBAN."""
    shapes = 0
    dots = digits = 0  # of the run of digits and single full stops that ends here
    for i in range(data.size):
        byte = data[i]
        if 48 <= byte <= 57:
            digits += 1
        elif byte == 46 and 0 < digits <= 3:
            dots += 1
            digits = 0
        else:
            dots = digits = 0
        if dots >= 3 and digits > 0:
            shapes |= 1
            dots = 0
        if 65 <= byte <= 90 and i + 15 <= data.size and shapes & 2 == 0:
            second, third, fourth = data[i + 1], data[i + 2], data[i + 3]
            if 65 <= second <= 90 and 48 <= third <= 57 and 48 <= fourth <= 57:
                length = 4
                j = i + 4
                while j < data.size and (48 <= data[j] <= 57 or 65 <= data[j] <= 90 or data[j] == 32):
                    length += data[j] != 32
                    j += 1
                if length >= 15:
                    shapes |= 2
    return shapes


class MarkerScan:
    """Where markers (at least four bytes each, ASCII) begin in a text; case does not count."""

    def __init__(self, markers: Iterable[str]) -> None:
        self._table = np.zeros(1 << _TABLE_BITS, np.uint8)
        lowered = sorted({marker.lower().encode("ascii") for marker in markers})
        for marker in lowered:
            if len(marker) < KEY_BYTES:
                raise ValueError(f"a marker needs {KEY_BYTES} bytes or more, '{marker.decode()}' has {len(marker)}")
            key = np.uint64(int.from_bytes(marker[:KEY_BYTES], "big")) * np.uint64(_MULTIPLIER) & np.uint64(0xFFFFFFFF)
            self._table[int(key) >> (32 - _TABLE_BITS)] = 1
        self._first = {marker[:KEY_BYTES] for marker in lowered}
        union = b"|".join(re.escape(marker) for marker in sorted(lowered, key=len, reverse=True))
        self._expression = re.compile(union, re.IGNORECASE)
        self._overlapping = re.compile(b"(?=(" + union + b"))", re.IGNORECASE)
        self._places = np.empty(4096, np.int64)

    def places(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Beginning of each marker that stands in the bytes, and the (longest) marker in lower case."""
        num_found = _hits(np.frombuffer(data, np.uint8), self._table, self._places)
        if num_found < 0:  # so many that the expression itself is as good
            yield from ((match.start(), match[1].lower()) for match in self._overlapping.finditer(data))
            return
        for place in self._places[:num_found].tolist():
            match = self._expression.match(data, place)
            if match is not None:
                yield place, match[0].lower()


def has_dotted_quad(shapes: int) -> bool:
    """Whether `number_shapes` saw four numbers with full stops between them."""
    return shapes & 1 != 0


def has_account_number(shapes: int) -> bool:
    """Whether `number_shapes` saw two capitals, two digits and eleven or more capitals and digits."""
    return shapes & 2 != 0


def number_shapes(data: bytes) -> int:
    """What forms of number stand in the bytes, for the two questions above."""
    return int(_shapes(np.frombuffer(data, np.uint8)))


@native
def _count(data: np.ndarray) -> tuple[int, int]:
    digits = visible = 0
    for i in range(data.size):
        byte = data[i]
        if byte < 0x80:
            if byte > 32:
                visible += 1
                digits += 48 <= byte <= 57
            elif not (9 <= byte <= 13 or 28 <= byte <= 32):
                visible += 1
        elif byte >= 0xC0:  # the first byte of a character
            visible += 1
            following = data[i + 1] if i + 1 < data.size else 0
            last = data[i + 2] if i + 2 < data.size else 0
            if (
                (byte == 0xC2 and (following == 0x85 or following == 0xA0))
                or (byte == 0xE1 and following == 0x9A and last == 0x80)
                or (
                    byte == 0xE2
                    and following == 0x80
                    and (last <= 0x8A or last == 0xA8 or last == 0xA9 or last == 0xAF)
                )
                or (byte == 0xE2 and following == 0x81 and last == 0x9F)
                or (byte == 0xE3 and following == 0x80 and last == 0x80)
            ):
                visible -= 1
    return digits, visible


def count_digits(data: bytes) -> tuple[int, int]:
    """How many decimal digits, and how many characters that `str.split` does not take for white space."""
    digits, visible = _count(np.frombuffer(data, np.uint8))
    return int(digits), int(visible)
