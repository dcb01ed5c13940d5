"""Cutting text as the regular expressions of byte-level tokenizers do, in machine code (Numba).

Legend: data, offsets, ends as in kernels.py; classes uint8 by code point: OTHER, LETTER, NUMBER, SPACE or LINE_END.
Numba notices a change of this file alone: whoever changes code_point in kernels.py has to touch this one too.
"""

from __future__ import annotations

import numpy as np

from llemma.core.text.kernels import code_point
from llemma.core.text.native import native

OTHER, LETTER, NUMBER, SPACE, LINE_END = range(5)


@native
def _class_at(data, position, stop, classes):  # type: ignore[no-untyped-def]
    """Class of the character at a position << 3 | its number of bytes."""
    byte = data[position]
    if byte < 0x80:
        return np.int64(classes[byte]) << 3 | 1
    found = code_point(data, position, stop)
    point = found >> 3
    kind = np.int64(classes[point]) if point < len(classes) else np.int64(OTHER)
    return kind << 3 | (found & 7)


@native
def _run_end(data, position, stop, classes, kind, most):  # type: ignore[no-untyped-def]
    """Where a run of at most so many characters of a class ends (most 0: of any number)."""
    count = 0
    while position < stop and (most == 0 or count < most):
        found = _class_at(data, position, stop, classes)
        if found >> 3 != kind:
            break
        position += found & 7
        count += 1
    return position


@native
def _contraction(data, position, stop, any_case):  # type: ignore[no-untyped-def]
    """Bytes of 's 't 're 've 'm 'll 'd at a position that holds an apostrophe, 0 where it is none of them."""
    if position + 1 >= stop:
        return 0
    first = data[position + 1]
    second = data[position + 2] if position + 2 < stop else np.uint8(0)
    if any_case:
        if first == 0xC5 and second == 0xBF:  # the long s is an s in another case
            return 3
        first = first | 32 if 65 <= first <= 90 else first
        second = second | 32 if 65 <= second <= 90 else second
    if first in (115, 116, 109, 100):  # s t m d
        return 2
    if (first == 114 and second == 101) or (first == 118 and second == 101) or (first == 108 and second == 108):
        return 3
    return 0


@native
def _piece_end(data, position, stop, classes, cl100k, max_digits):  # type: ignore[no-untyped-def]
    """Where the piece that begins at a position ends: the alternatives of the regular expressions in their order."""
    if data[position] == 39:
        size = _contraction(data, position, stop, cl100k)
        if size:
            return position + size
    found = _class_at(data, position, stop, classes)
    kind, width = found >> 3, found & 7
    following = np.int64(-1)
    if position + width < stop:
        following = _class_at(data, position + width, stop, classes) >> 3
    if kind == LETTER:
        return _run_end(data, position, stop, classes, LETTER, 0)
    before_word = kind in (OTHER, SPACE) if cl100k else data[position] == 32
    if before_word and following == LETTER:
        return _run_end(data, position + width, stop, classes, LETTER, 0)
    if kind == NUMBER:
        return _run_end(data, position, stop, classes, NUMBER, max_digits)
    if not cl100k and data[position] == 32 and following == NUMBER:
        return _run_end(data, position + 1, stop, classes, NUMBER, 0)
    if kind == OTHER or (data[position] == 32 and following == OTHER):
        end = _run_end(data, position if kind == OTHER else position + 1, stop, classes, OTHER, 0)
        if cl100k:
            end = _run_end(data, end, stop, classes, LINE_END, 0)
        return end
    # What is left is spaces and line ends.
    end = position
    last = position
    line_end = np.int64(-1)
    while end < stop:
        found = _class_at(data, end, stop, classes)
        if found >> 3 != SPACE and found >> 3 != LINE_END:
            break
        last = end
        end += found & 7
        if found >> 3 == LINE_END:
            line_end = end
    if cl100k and line_end >= 0:
        return line_end
    if end < stop and last > position:
        return last  # the last space goes with what follows it
    return end


@native
def cut_by_rules(data, offsets, document, position, classes, cl100k, max_digits, max_bytes, ends):  # type: ignore[no-untyped-def]
    """Cuts text as a known regular expression does; goes on and returns as cut_by_pairs does.

    `cl100k` 1: its rules, 0: GPT-2's.
    """
    count = 0
    rules = cl100k != 0
    while document < len(offsets) - 1:
        stop = offsets[document + 1]
        if position == stop:  # an empty document
            if count == len(ends):
                return count, document, position
            ends[count] = stop << 1 | 1
            count += 1
        while position < stop:
            if count == len(ends):
                return count, document, position
            end = _piece_end(data, position, stop, classes, rules, max_digits)
            if end - position > max_bytes:
                end = position + max_bytes
                while data[end] & 0xC0 == 0x80:
                    end -= 1
            ends[count] = end << 1 | (1 if end == stop else 0)
            count += 1
            position = end
        document += 1
    return count, document, position


@native
def flag_documents(data, offsets, classes, bit, flags):  # type: ignore[no-untyped-def]
    """Sets the flags of documents that hold a character whose class has a bit, or that has no class."""
    for document in range(len(offsets) - 1):
        position, stop = offsets[document], offsets[document + 1]
        while position < stop:
            if data[position] < 0x80:
                position += 1
                continue
            found = code_point(data, position, stop)
            point = found >> 3
            if point >= len(classes) or classes[point] & bit:
                flags[document] = True
                break
            position += found & 7
