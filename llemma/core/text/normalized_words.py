"""The words by which benchmark texts are found: Numba over UTF-8, a bounded block of words at a time.

A word is a run of letters, in lower case, a run of digits (2x and 2 x, x1 and x_1 are the same words), or one of the
operators + - * = < > ^ % (a run of the same one counts once). Everything else only separates;
`llemma.core.text.typography` says what LaTeX's commands and characters beyond ASCII count as. So a problem has
the same words in LaTeX, in Markdown, in Unicode and typed plainly; the words that near-duplicates are found by
(proof_pile.words) tell more apart, and may not be used for this.

A word's hash is h = rotate(h, 5) ^ byte over its bytes, mixed (splitmix64): letters differ in five bits, so that no two
words of up to twelve letters have the same. Its two low bits are replaced by flags:
    bit 0   the word is an operator
    bit 1   the word holds at least two letters
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from llemma.core.text.native import mix, native, roll
from llemma.core.text.typography import ENVIRONMENT, SUPERSCRIPT, TWO_ARGUMENTS, character_table, commands

OPERATOR_BIT = 1
LETTERS_BIT = 2
OPERATORS = b"+-*=<>^%"

_SEPARATOR, _LETTER, _DIGIT, _OPERATOR, _BACKSLASH, _BEYOND = range(6)
SEED = np.uint64(0x9AE16A3B2F90404F)  # any number does
_COMMAND_SLOTS = 2048
_MAX_COMMAND_BYTES = 32
_MAX_NAME_BYTES = 64
_QUOTE = np.uint8(ord(">"))
_SUPERSCRIPT = np.uint8(ord(SUPERSCRIPT))


def _byte_classes() -> np.ndarray:
    classes = np.full(256, _SEPARATOR, np.uint8)
    for byte in range(128):
        if chr(byte).isalpha():
            classes[byte] = _LETTER
        elif chr(byte).isdigit():
            classes[byte] = _DIGIT
    classes[list(OPERATORS)] = _OPERATOR
    classes[ord("\\")] = _BACKSLASH
    classes[128:] = _BEYOND
    return classes


CLASSES = _byte_classes()


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the native pass looks up.

    codes    uint16 [0x20000]     row of each code point in `texts`, 0 for a letter
    texts    uint8  [rows, 12]    ASCII of characters and of commands, ended by NUL
    names    uint64 [slots]       hashes of commands, 0 where free
    meanings int32  [slots, 2]    the command's row in `texts` (0: nothing), and what follows it
    """

    codes: np.ndarray
    texts: np.ndarray
    names: np.ndarray
    meanings: np.ndarray


def _command_hash(name: str) -> int:
    value = int(SEED)
    for byte in name.encode("ascii"):
        value = (((value << 5) | (value >> 59)) & (2**64 - 1)) ^ byte
    return value


@cache
def tables() -> Tables:
    """The tables of typography, in the form that the native pass reads."""
    codes, texts = character_table()
    names = np.zeros(_COMMAND_SLOTS, np.uint64)
    meanings = np.zeros((_COMMAND_SLOTS, 2), np.int32)
    rows = [texts]
    for name, (text, follows) in commands().items():
        value = _command_hash(name)
        slot = value % _COMMAND_SLOTS
        while names[slot]:
            slot = (slot + 1) % _COMMAND_SLOTS
        names[slot] = value
        if text:
            row = np.zeros((1, texts.shape[1]), np.uint8)
            row[0, : len(text)] = np.frombuffer(text.encode("ascii"), np.uint8)
            meanings[slot, 0] = sum(len(part) for part in rows)
            rows.append(row)
        meanings[slot, 1] = follows
    return Tables(codes=codes, texts=np.concatenate(rows), names=names, meanings=meanings)


@native
def turn(value, byte):  # type: ignore[no-untyped-def]
    """One step of a word's hash."""
    return ((value << np.uint64(5)) | (value >> np.uint64(59))) ^ np.uint64(byte)


@native
def _find_command(data, begin, end, names):  # type: ignore[no-untyped-def]
    """Slot of the command whose letters are data[begin:end], -1 where it is none that we know."""
    value = SEED
    for index in range(begin, end):
        value = turn(value, data[index] | 32)
    mask = np.uint64(len(names) - 1)
    slot = value & mask
    while names[slot] != 0:
        if names[slot] == value:
            return np.int64(slot)
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@native
def _close(hashes, starts, ends, count, value, letters, begin, end):  # type: ignore[no-untyped-def]
    """Writes down a word of letters or digits; returns the new count."""
    hashes[count] = (mix(value) & ~np.uint64(3)) | np.uint64(LETTERS_BIT if letters >= 2 else 0)
    starts[count] = begin
    ends[count] = end
    return count + 1


@native
def _put_operator(hashes, starts, ends, count, byte, begin, end):  # type: ignore[no-untyped-def]
    hashes[count] = (mix(turn(SEED, byte)) & ~np.uint64(3)) | np.uint64(OPERATOR_BIT)
    starts[count] = begin
    ends[count] = end
    return count + 1


@native
def _code_point(data, position, stop):  # type: ignore[no-untyped-def]
    """(code point, where the next one begins) of a character beyond ASCII; a stray byte is U+FFFD."""
    byte = np.int64(data[position])
    if byte >= 0xF0 and position + 3 < stop:
        point = ((byte & 7) << 18) | ((np.int64(data[position + 1]) & 63) << 12)
        return point | ((np.int64(data[position + 2]) & 63) << 6) | (np.int64(data[position + 3]) & 63), position + 4
    if 0xE0 <= byte < 0xF0 and position + 2 < stop:
        point = ((byte & 15) << 12) | ((np.int64(data[position + 1]) & 63) << 6)
        return point | (np.int64(data[position + 2]) & 63), position + 3
    if 0xC0 <= byte < 0xE0 and position + 1 < stop:
        return ((byte & 31) << 6) | (np.int64(data[position + 1]) & 63), position + 2
    return np.int64(0xFFFD), position + 1


@native
def _after_name(data, position, stop):  # type: ignore[no-untyped-def]
    """Where the text goes on after {a name}, perhaps with a star before it; `position` where there is none."""
    end = position
    if end < stop and data[end] == 42:
        end += 1
    if end < stop and data[end] == 123:
        limit = min(stop, end + _MAX_NAME_BYTES)
        while end < limit and data[end] != 125:
            end += 1
        if end < limit:
            return end + 1
    return position


@native
def read_words(data, origin, position, stop, tables, hashes, starts, ends, count):  # type: ignore[no-untyped-def]
    """Adds words of data[position:stop] to the arrays from `count` on; returns (where it stopped, new count).

    `origin` is where the document begins, `tables` is native_tables().  It stops at the end, or between two words when
    few places are left.
    """
    classes, codes, texts, names, meanings = tables
    room = len(hashes) - 32
    value = SEED
    letters = 0
    begin = position
    inside = 0  # the class of the word that is being read, 0 between words
    operator = np.uint8(0)  # the last operator, while nothing stands between
    if position > origin and classes[data[position - 1]] == _OPERATOR:
        operator = data[position - 1]
    raised = False  # that word is of superscript digits
    while position < stop:
        byte = data[position]
        kind = classes[byte]
        if kind in (_LETTER, _DIGIT):
            if inside != 0 and (inside != kind or raised):
                count = _close(hashes, starts, ends, count, value, letters, begin, position)
                inside = 0
                raised = False
            if inside == 0:
                if count >= room:
                    return position, count
                value = SEED
                letters = 0
                begin = position
                inside = kind
                operator = np.uint8(0)
            if kind == _LETTER:
                at = position
                while position < stop and classes[data[position]] == _LETTER:
                    value = turn(value, data[position] | np.uint8(32))
                    position += 1
                letters += position - at
            else:
                while position < stop and classes[data[position]] == _DIGIT:
                    value = turn(value, data[position])
                    position += 1
            continue
        if kind != _BEYOND and inside != 0:
            count = _close(hashes, starts, ends, count, value, letters, begin, position)
            inside = 0
            raised = False
        if kind == _SEPARATOR:
            operator = np.uint8(0)
            position += 1
            continue
        if inside == 0 and count >= room:
            return position, count
        here = position
        if kind == _OPERATOR:
            position += 1
            if byte == _QUOTE and (here == origin or data[here - 1] == 10):
                operator = np.uint8(0)  # a mark of quoted mail or Markdown
            elif byte != operator:
                operator = byte
                count = _put_operator(hashes, starts, ends, count, byte, here, position)
            continue
        if kind == _BACKSLASH:
            operator = np.uint8(0)
            position += 1
            end = position
            while end < stop and classes[data[end]] == _LETTER and end - position < _MAX_COMMAND_BYTES:
                end += 1
            if end == position:  # a sign that stands for itself, or for a space
                continue
            slot = _find_command(data, position, end, names)
            if slot < 0:  # its name is a word like any other
                continue
            position = end
            row = np.int64(meanings[slot, 0])
            if meanings[slot, 1] == ENVIRONMENT:
                position = _after_name(data, position, stop)
            elif meanings[slot, 1] == TWO_ARGUMENTS:
                for _ in range(2):  # \frac12 has the arguments 1 and 2
                    end = position
                    while end < stop and data[end] == 32:
                        end += 1
                    if end >= stop or classes[data[end]] != _DIGIT:
                        break
                    value = turn(SEED, data[end])
                    count = _close(hashes, starts, ends, count, value, 0, end, end + 1)
                    position = end + 1
        else:
            point, position = _code_point(data, position, stop)
            row = np.int64(codes[point]) if point < len(codes) else np.int64(0)
            if row == 0:  # a letter of its own
                if inside != 0 and inside != _LETTER:
                    count = _close(hashes, starts, ends, count, value, letters, begin, here)
                    inside = 0
                    raised = False
                if inside == 0:
                    value = SEED
                    letters = 0
                    begin = here
                    inside = _LETTER
                    operator = np.uint8(0)
                value = turn(value, point)
                letters += 2
        if row == 0:
            if inside != 0 and count >= len(hashes) - 16:
                break
            continue
        is_power = texts[row, 0] == _SUPERSCRIPT and texts[row, 1] != 0
        for column in range(texts.shape[1]):
            byte = texts[row, column]
            if byte == 0:
                break
            kind = classes[byte]
            if is_power and column == 0 and raised:
                continue  # one more digit of the same exponent
            if inside != 0 and (inside != kind or (raised and not is_power)):
                count = _close(hashes, starts, ends, count, value, letters, begin, position if begin == here else here)
                inside = 0
                raised = False
            if kind in (_LETTER, _DIGIT):
                if inside == 0:
                    value = SEED
                    letters = 0
                    begin = here
                    inside = kind
                    operator = np.uint8(0)
                    raised = is_power
                value = turn(value, byte)
                letters += kind == _LETTER
            elif kind == _OPERATOR:
                if byte != operator:
                    operator = byte
                    count = _put_operator(hashes, starts, ends, count, byte, here, position)
            else:
                operator = np.uint8(0)
        if inside != 0 and count >= len(hashes) - 16:  # signs without end, and no place between two words to stop at
            break
    if inside != 0:
        count = _close(hashes, starts, ends, count, value, letters, begin, position)
    return position, count


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of one text: hashes uint64, starts and ends int64 (bytes of its UTF-8)."""

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @property
    def lettered(self) -> np.ndarray:
        """Which of them hold at least two letters."""
        found: np.ndarray = (self.hashes & np.uint64(LETTERS_BIT)) != 0
        return found

    def without_operators(self) -> Words:
        """Only the words of letters and digits."""
        keep = (self.hashes & np.uint64(OPERATOR_BIT)) == 0
        return Words(hashes=self.hashes[keep], starts=self.starts[keep], ends=self.ends[keep])


def native_tables() -> tuple[np.ndarray, ...]:
    """The tables as the native pass takes them."""
    found = tables()
    return (CLASSES, found.codes, found.texts, found.names, found.meanings)


def words_of_text(text: str) -> Words:
    """The words of one text."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    size = 2 * len(data) + 64  # a fraction is one character and two words
    hashes, starts, ends = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    _, count = read_words(data, 0, 0, len(data), native_tables(), hashes, starts, ends, 0)
    return Words(hashes=hashes[:count].copy(), starts=starts[:count].copy(), ends=ends[:count].copy())


def ngram_hashes(hashes: np.ndarray, n: int) -> np.ndarray:
    """uint64 hashes of each n words in a row, in order; empty where there are fewer."""
    out = np.empty(max(len(hashes) - n + 1, 0), np.uint64)
    roll(hashes, 0, len(hashes), n, out)
    return out
