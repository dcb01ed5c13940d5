"""Which texts share n words in a row with documents, natively: words between white space, or normalized words.

"whitespace" words are what Python's str.split gives, exactly as they stand: case, punctuation and LaTeX all count.
Source of that measure: wellecks/overlap, check_overlap.py; n is 20 and 30 there.  "normalized" words are those of
normalized_words.py without operators, so that the same problem in LaTeX, Markdown and plain text has the same.
A text of fewer than n words is never found.  Hashes only propose: whoever needs certainty compares the words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llemma.core.text.native import mix, native
from llemma.core.text.ngram_table import KeyTable, find_keys, native_form
from llemma.core.text.normalized_words import (
    OPERATOR_BIT,
    SEED,
    native_tables,
    ngram_hashes,
    read_words,
    turn,
    words_of_text,
)

WORDS = ("whitespace", "normalized")
BLOCK_WORDS = 1 << 14  # chosen by us: three arrays of so many words stay in a core's own cache

_CLASSES = np.zeros(256, np.uint8)
"""1 for a byte that is white space, 2 for one that may begin a character of white space."""
_CLASSES[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = 1
_CLASSES[[0xC2, 0xE1, 0xE2, 0xE3]] = 2


@native
def _space_bytes(data, position, stop):  # type: ignore[no-untyped-def]
    """Length in bytes of the white space beyond ASCII at a position, 0 where there is none."""
    byte = data[position]
    if byte == 0xC2:
        return 2 if position + 1 < stop and (data[position + 1] == 0x85 or data[position + 1] == 0xA0) else 0
    if position + 2 >= stop:
        return 0
    second, third = data[position + 1], data[position + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE2 and second == 0x80:
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    if byte == 0xE2:
        return 3 if second == 0x81 and third == 0x9F else 0
    return 3 if byte == 0xE3 and second == 0x80 and third == 0x80 else 0


@native
def _split(data, position, stop, classes, hashes, starts, ends, count):  # type: ignore[no-untyped-def]
    """Adds words of data[position:stop]; returns (where it stopped, new count)."""
    while position < stop:
        kind = classes[data[position]]
        if kind != 0:
            space = 1 if kind == 1 else _space_bytes(data, position, stop)
            if space:
                position += space
                continue
        if count == len(hashes):
            break
        begin = position
        value = SEED
        while position < stop:
            byte = data[position]
            kind = classes[byte]
            if kind != 0 and (kind == 1 or _space_bytes(data, position, stop)):
                break
            value = turn(value, byte)
            position += 1
        hashes[count] = mix(value)
        starts[count] = begin
        ends[count] = position
        count += 1
    return position, count


@native
def _next_words(data, origin, position, stop, normalized, tables, hashes, starts, ends, count):  # type: ignore[no-untyped-def]
    """Adds words of data[position:stop] of either kind; returns (where it stopped, new count)."""
    classes, normal_tables = tables
    if not normalized:
        return _split(data, position, stop, classes, hashes, starts, ends, count)
    position, last = read_words(data, origin, position, stop, normal_tables, hashes, starts, ends, count)
    for index in range(count, last):
        hashes[count] = hashes[index]  # an operator's place is taken by the word after it
        starts[count] = starts[index]
        ends[count] = ends[index]
        count += np.int64(1 - (hashes[index] & np.uint64(OPERATOR_BIT)))
    return position, count


@native
def _scan(data, offsets, wanted, first, n, normalized, tables, table, seen, arrays, found, counts):  # type: ignore[no-untyped-def]
    """Writes (document, number of the key, first byte, end) of keys in `wanted` documents, each key once a document.

    Returns the first document that was not scanned to its end: the caller goes on there.
    """
    hashes, starts, ends, places, numbers = arrays
    num_found = 0
    for document in range(first, len(offsets) - 1):
        if not wanted[document]:
            continue
        before = num_found
        origin, stop = offsets[document], offsets[document + 1]
        position, kept = origin, np.int64(0)
        while position < stop:
            position, count = _next_words(data, origin, position, stop, normalized, tables, hashes, starts, ends, kept)
            for candidate in range(find_keys(hashes, 0, count, n, table, places, numbers)):
                key, index = numbers[candidate], places[candidate]
                if seen[key] == document + 1:
                    continue
                if num_found == len(found):
                    for row in range(before, num_found):
                        seen[found[row, 1]] = 0
                    counts[0] = before
                    return document
                seen[key] = document + 1
                found[num_found, 0] = document
                found[num_found, 1] = key
                found[num_found, 2] = starts[index] - origin
                found[num_found, 3] = ends[index + n - 1] - origin
                num_found += 1
            kept = min(count, n - 1)
            for index in range(kept):
                hashes[index] = hashes[count - kept + index]
                starts[index] = starts[count - kept + index]
                ends[index] = ends[count - kept + index]
    counts[0] = num_found
    return len(offsets) - 1


def find_overlaps(
    data: np.ndarray, offsets: np.ndarray, tables: dict[int, KeyTable], *, words: str = "whitespace"
) -> Iterator[tuple[int, np.ndarray]]:
    """(n, rows of document, number of the key, first byte, end) for each n of the tables, each key at its first place.

    All rows of a document and an n stand in one array.  Only documents that share the shortest n words with a text can
    share more of them.
    """
    wanted = np.ones(len(offsets) - 1, np.bool_)
    word_tables = (_CLASSES, native_tables())
    for n in sorted(tables):
        table = tables[n]
        seen = np.zeros(len(table.keys), np.int64)
        found = np.empty((len(table.keys) + 1, 4), np.int64)  # no document has more
        room = BLOCK_WORDS + n + 64  # normalized words keep some places free
        starts, ends, places, numbers = np.empty((4, room), np.int64)
        arrays = (np.empty(room, np.uint64), starts, ends, places, numbers)
        counts = np.zeros(1, np.int64)
        hit = np.zeros(len(offsets) - 1, np.bool_)
        first = 0
        while first < len(offsets) - 1:
            first = _scan(
                data, offsets, wanted, first, n, words == "normalized", word_tables, native_form(table), seen, arrays,
                found, counts,
            )  # fmt: skip
            rows = found[: counts[0]].copy()
            hit[rows[:, 0]] = True
            if len(rows):
                yield n, rows
        wanted = hit


def whitespace_hashes(text: str, n: int) -> np.ndarray:
    """uint64 hashes of each n words in a row between white space."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    size = len(data) // 2 + 1
    hashes, starts, ends = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    _, count = _split(data, 0, len(data), _CLASSES, hashes, starts, ends, 0)
    return ngram_hashes(hashes[:count], n)


def normalized_hashes(text: str, n: int) -> np.ndarray:
    """uint64 hashes of each n normalized words in a row, operators left out."""
    return ngram_hashes(words_of_text(text).without_operators().hashes, n)
