"""What a text looks like: its words, lines and repetitions, counted natively over its bytes.

Of prose alone (formulas and code are taken out first and counted as such, so that they are no bad words):
    a word            what stands between white space and has a letter or a digit
    an alphabetic one has a letter; an upper-case one has two or more and none is small
    a line            with at least one character that is not white space
Of the whole text, formulas too: repeated lines, and repeated runs of words in the sense of proof_pile.words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llemma.core.text.native import native
from proof_pile.quality.prose import CODE, COMMANDS, FORMULAS, bytes_of, prose
from proof_pile.words import CLASSES

# Gopher's (Rae et al. 2021, table A1), also MathPile's.
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_STOP_KEYS = np.array([int.from_bytes(word.encode(), "big") for word in STOP_WORDS], np.int64)
(
    _WORDS, _ALPHABETIC, _UPPER, _LETTERS, _STOPS, _ELLIPSES, _LINES, _BULLETS, _ELLIPSIS_LINES, _VISIBLE
) = range(10)  # fmt: skip


@native
def _is_white(data, position):  # type: ignore[no-untyped-def]
    """Bytes of the white space that begins here, 0 for none: ASCII's, U+00A0, U+2000-200A, U+202F, U+3000."""
    byte = data[position]
    if byte <= 32:
        return 1
    if byte == 0xC2:
        return 2 if position + 1 < len(data) and data[position + 1] == 0xA0 else 0
    if position + 2 >= len(data):
        return 0
    second, third = data[position + 1], data[position + 2]
    if byte == 0xE2 and second == 0x80 and (third <= 0x8A or third == 0xAF):
        return 3
    return 3 if byte == 0xE3 and second == 0x80 and third == 0x80 else 0


@native
def _is_letter(data, position):  # type: ignore[no-untyped-def]
    """True if the character of two bytes or more that begins here is no sign: signs are U+0080-00BF without the three
    letters there, x and division, U+2000-2BFF without letterlike ones, and CJK and full-width punctuation.
    """
    byte = data[position]
    second = data[position + 1] if position + 1 < len(data) else 0
    third = data[position + 2] if position + 2 < len(data) else 0
    if byte == 0xC2:
        return second == 0xAA or second == 0xB5 or second == 0xBA
    if byte == 0xC3:
        return second != 0x97 and second != 0xB7
    if byte == 0xE2:
        return second == 0x84 or second == 0x85 or second >= 0xB0
    if byte == 0xE3:
        return second != 0x80
    if byte == 0xEF:
        return second != 0xB8 and (second != 0xBC or 0xA1 <= third <= 0xBA) and second != 0xBF
    return True


@native
def _look(data, stop_keys, out):  # type: ignore[no-untyped-def]
    """Counts of one text, in the order of the names above."""
    out[:] = 0
    size = len(data)
    position = 0
    stops = 0
    line_begins = True
    last_visible = -1  # the last byte of the line that is no white space
    while position < size:
        byte = data[position]
        width = _is_white(data, position) if byte <= 32 or byte >= 0xC2 else 0
        if width:
            if byte == 10:
                if last_visible >= 0 and _ends_in_ellipsis(data, last_visible):
                    out[_ELLIPSIS_LINES] += 1
                line_begins = True
                last_visible = -1
            position += width
            continue
        first = position
        if line_begins:
            out[_LINES] += 1
            if _is_bullet(data, position):
                out[_BULLETS] += 1
            line_begins = False
        letters = 0
        small = 0
        digits = 0
        key = np.int64(0)  # the word without what stands around its letters, small; -1 where it is no stop word
        closed = False  # something else stood after the letters
        while position < size:
            byte = data[position]
            if byte <= 32 or (byte >= 0xC2 and _is_white(data, position)):
                break
            if byte >= 128 and byte < 0xC0:  # within a character
                last_visible = position
                position += 1
                continue
            out[_VISIBLE] += 1
            last_visible = position
            if byte < 128:
                if 97 <= (byte | 32) <= 122:
                    letters += 1
                    if byte & 32:
                        small += 1
                    key = np.int64(-1) if closed or key < 0 or key >> 32 else (key << 8) | np.int64(byte | 32)
                elif 48 <= byte <= 57:
                    digits += 1
                    key = np.int64(-1)
                else:
                    closed = letters > 0
                    if byte == 46 and position + 2 < size and data[position + 1] == 46 and data[position + 2] == 46:
                        out[_ELLIPSES] += 1
                        while position + 1 < size and data[position + 1] == 46:
                            position += 1
                            out[_VISIBLE] += 1
                        last_visible = position
            elif _is_letter(data, position):
                letters += 1
                small += 1
                key = np.int64(-1)
            else:
                closed = letters > 0
                if byte == 0xE2 and position + 2 < size and data[position + 1] == 0x80 and data[position + 2] == 0xA6:
                    out[_ELLIPSES] += 1
            position += 1
        if letters or digits:
            is_mark = (
                data[first] == 91
                and position - first <= 10
                and (
                    (position - first == 10 and data[first + 1] == 69 and data[first + 9] == 93)
                    or (position - first == 6 and data[first + 1] == 67 and data[first + 5] == 93)
                )
            )
            if is_mark and small == 0:
                continue  # [EQUATION] or [CODE]
            out[_WORDS] += 1
            if letters:
                out[_ALPHABETIC] += 1
                out[_LETTERS] += letters
                if letters >= 2 and small == 0:
                    out[_UPPER] += 1
                if key > 0:
                    for number in range(len(stop_keys)):
                        if stop_keys[number] == key:
                            stops |= 1 << number
    if last_visible >= 0 and _ends_in_ellipsis(data, last_visible):
        out[_ELLIPSIS_LINES] += 1
    while stops:
        out[_STOPS] += stops & 1
        stops >>= 1


@native
def _ends_in_ellipsis(data, last):  # type: ignore[no-untyped-def]
    if last >= 2 and data[last] == 46 and data[last - 1] == 46 and data[last - 2] == 46:
        return True
    return last >= 2 and data[last] == 0xA6 and data[last - 1] == 0x80 and data[last - 2] == 0xE2


@native
def _is_bullet(data, first):  # type: ignore[no-untyped-def]
    """True for - * + and the usual round, square and triangular bullets, with a space after them."""
    byte = data[first]
    width = 0
    if byte == 45 or byte == 42 or byte == 43:
        width = 1
    elif byte == 0xE2 and first + 2 < len(data):
        second, third = data[first + 1], data[first + 2]
        if (second == 0x80 and (third == 0xA2 or third == 0xA3)) or (second == 0x96) or (second == 0x97):
            width = 3
    return width > 0 and first + width < len(data) and (data[first + width] == 32 or data[first + width] == 9)


@native
def _repeated_lines(data):  # type: ignore[no-untyped-def]
    """(lines, repeated ones, bytes of lines, bytes of repeated ones): lines with three letters or digits or more."""
    size = len(data)
    num_lines = 1
    for byte in data:
        if byte == 10:
            num_lines += 1
    slots = 16
    while slots < 2 * num_lines:
        slots *= 2
    keys = np.zeros(slots, np.uint64)
    mask = np.uint64(slots - 1)
    lines = repeated = num_bytes = repeated_bytes = 0
    position = 0
    while position < size:
        value = np.uint64(0xCBF29CE484222325)
        visible = 0
        length = 0
        blank = True
        while position < size and data[position] != 10:
            byte = data[position]
            position += 1
            if byte <= 32:
                blank = True
                continue
            if blank and length > 0:
                value = (value ^ np.uint64(32)) * np.uint64(0x100000001B3)
            blank = False
            value = (value ^ np.uint64(byte)) * np.uint64(0x100000001B3)
            length += 1
            if byte >= 128 or 97 <= (byte | 32) <= 122 or 48 <= byte <= 57:
                visible += 1
        position += 1
        if visible < 3:
            continue
        value ^= value >> np.uint64(32)
        if value == 0:
            value = np.uint64(1)
        lines += 1
        num_bytes += length
        slot = value & mask
        while keys[slot] != 0 and keys[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == value:
            repeated += 1
            repeated_bytes += length
        keys[slot] = value
    return lines, repeated, num_bytes, repeated_bytes


@native
def _fill_words(data, classes, hashes, sizes):  # type: ignore[no-untyped-def]
    """Hashes and bytes of the words in the sense of proof_pile.words (ASCII lower-cased); returns their number."""
    count = 0
    position = 0
    size = len(data)
    before = -1
    while position < size:
        kind = classes[data[position]]
        if kind == 0:
            position += 1
            before = -1
            continue
        first = position
        value = np.uint64(0xCBF29CE484222325)
        if kind == 3:  # an operator; a run of the same one counts once
            byte = data[position]
            position += 1
            if byte == before:
                continue
            before = byte
            value = (value ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        else:
            before = -1
            while position < size:
                byte = data[position]
                kind = classes[byte]
                if kind == 1:
                    byte |= 32
                elif kind != 2 and kind != 4:
                    break
                value = (value ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                position += 1
        value = (value ^ (value >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes[count] = value ^ (value >> np.uint64(29))
        sizes[count] = position - first
        count += 1
    return count


@native
def _runs(hashes, sizes, count, n, keys, counts, most):  # type: ignore[no-untyped-def]
    """Over runs of n words, with `most`: the largest (occurrences x bytes) of one that occurs twice or more; else: the
    bytes of words that lie in a run which stood earlier.
    """
    keys[:] = 0
    if most:
        counts[:] = 0
    mask = np.uint64(len(keys) - 1)
    factor = np.uint64(0x9E3779B97F4A7C15)
    power = np.uint64(1)
    for _ in range(n):
        power *= factor
    value = np.uint64(0)
    size = 0
    result = 0
    covered_until = 0
    for last in range(count):
        value = value * factor + hashes[last]
        size += sizes[last]
        first = last - n + 1
        if first < 0:
            continue
        if first > 0:
            value -= hashes[first - 1] * power
            size -= sizes[first - 1]
        key = value ^ (value >> np.uint64(31))
        if key == 0:
            key = np.uint64(1)
        slot = key & mask
        while keys[slot] != 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        seen = keys[slot] == key
        keys[slot] = key
        if most:
            counts[slot] += 1
            if seen:
                result = max(result, counts[slot] * size)
        elif seen:
            for k in range(max(first, covered_until), last + 1):
                result += sizes[k]
            covered_until = last + 1
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a text looks like; shares are of 1, and 0 where there is nothing to divide by."""

    num_words: int
    num_formulas: int
    num_codes: int
    visible_chars: int
    mean_word_letters: float
    alphabetic_share: float
    upper_share: float
    num_stop_words: int
    ellipses_per_word: float
    bullet_line_share: float
    ellipsis_line_share: float
    num_lines: int


def look_at(text: str) -> Look:
    """Counts of the prose of a text."""
    data, formulas, codes = prose(bytes_of(text), FORMULAS | CODE | COMMANDS, marked=True)
    out = np.empty(10, np.int64)
    _look(data, _STOP_KEYS, out)
    counts = [int(value) for value in out]
    words, lines = counts[_WORDS], counts[_LINES]
    return Look(
        num_words=words,
        num_formulas=formulas,
        num_codes=codes,
        visible_chars=counts[_VISIBLE],
        mean_word_letters=_share(counts[_LETTERS], counts[_ALPHABETIC]),
        alphabetic_share=_share(counts[_ALPHABETIC], words),
        upper_share=_share(counts[_UPPER], counts[_ALPHABETIC]),
        num_stop_words=counts[_STOPS],
        ellipses_per_word=_share(counts[_ELLIPSES], words),
        bullet_line_share=_share(counts[_BULLETS], lines),
        ellipsis_line_share=_share(counts[_ELLIPSIS_LINES], lines),
        num_lines=lines,
    )


def formula_bytes(text: str) -> int:
    """Bytes of the formulas of a text, their delimiters among them."""
    data = bytes_of(text)
    kept, formulas, _ = prose(data, FORMULAS)
    return len(data) - len(kept) + formulas  # a space stands where each was


@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """How much of a text stood in it before: shares of lines, of bytes of lines, and of bytes of words."""

    line_share: float
    line_byte_share: float
    top_ngram_shares: dict[int, float]
    repeated_ngram_shares: dict[int, float]


def repetition_of(text: str, top: tuple[int, ...] = (), repeated: tuple[int, ...] = ()) -> Repetition:
    """Repeated lines, and runs of n words.

    For n in `top` the share of the most frequent run; for n in `repeated` the share of words that lie in a run which
    stood earlier.
    """
    data = bytes_of(text)
    lines, again, num_bytes, bytes_again = _repeated_lines(data)
    tops: dict[int, float] = {}
    covered: dict[int, float] = {}
    if top or repeated:
        hashes, sizes = np.empty(len(data) + 1, np.uint64), np.empty(len(data) + 1, np.int32)
        count = int(_fill_words(data, CLASSES, hashes, sizes))
        total = int(sizes[:count].sum())
        keys = np.empty(1 << max(4, (2 * count).bit_length()), np.uint64)
        counts = np.empty(len(keys) if top else 0, np.int64)
        for most, lengths, found in ((True, top, tops), (False, repeated, covered)):
            for n in lengths:
                found[n] = _share(int(_runs(hashes, sizes, count, n, keys, counts, most)), total)
    return Repetition(
        line_share=_share(int(again), int(lines)),
        line_byte_share=_share(int(bytes_again), int(num_bytes)),
        top_ngram_shares=tops,
        repeated_ngram_shares=covered,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
