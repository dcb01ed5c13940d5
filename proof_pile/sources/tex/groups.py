r"""How the native scans read groups, arguments, names and conditional branches in a byte array."""

# ruff: noqa: SIM109
# Native code: plain comparisons compile to less than membership of a tuple does.

from __future__ import annotations

import numpy as np

from proof_pile.sources.tex import names
from proof_pile.sources.tex.native import native

MAX_GROUP_BYTES = 1 << 16  # an argument longer than this is none; chosen by us, a page has some 4,000 bytes
MAX_OPTION_BYTES = 1000
FNV = np.uint64(names.FNV_OFFSET)
FNV_ENV = np.uint64(names.FNV_ENVIRONMENT)
PRIME = np.uint64(names.FNV_PRIME)
_SHIFT = np.uint64(29)
_FIRST_MACRO = names.MACRO
_IF, _IFTRUE, _IFFALSE, _IFMMODE, _ELSE, _FI, _NEWIF, _LET = (
    names.IF, names.IFTRUE, names.IFFALSE, names.IFMMODE, names.ELSE, names.FI, names.NEWIF, names.LET)  # fmt: skip

# Columns of the table of macros; ranges are byte positions in the one array that all text lies in.
(KIND, NUM_ARGS, BODY, BODY_END, OPTION, OPTION_END, PATTERN, PATTERN_END, FAILED, CALLS, CLOSING, CLOSING_END,
 NAME, NAME_END) = range(14)  # fmt: skip
NUM_COLUMNS = 14
# Kinds of macros.
OPAQUE, SIMPLE, DELIMITED, SIGNATURE, PAIR, CONDITION, SETTER, ENVIRONMENT, LITERAL = range(9)


@native
def lookup(keys, values, key):  # type: ignore[no-untyped-def]
    """The value of a key, 0 where the table lacks it."""
    mask = np.uint64(len(keys) - 1)
    slot = (key ^ (key >> _SHIFT)) & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return values[slot]
        slot = (slot + np.uint64(1)) & mask
    return 0


@native
def slot_of(keys, key):  # type: ignore[no-untyped-def]
    """The slot that holds a key, or the free one that will."""
    mask = np.uint64(len(keys) - 1)
    slot = (key ^ (key >> _SHIFT)) & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@native
def key_of(mem, start, end, offset):  # type: ignore[no-untyped-def]
    """The key of a name that stands in the array."""
    key = offset
    for position in range(start, end):
        key = (key ^ np.uint64(mem[position])) * PRIME
    return key


@native
def is_letter(byte):  # type: ignore[no-untyped-def]
    """Whether the byte is an ASCII letter."""
    return 97 <= (byte | 32) <= 122


@native
def word_end_of(mem, position, end, at_letter):  # type: ignore[no-untyped-def]
    """The position after the letters of a control word."""
    while position < end and (is_letter(mem[position]) or (at_letter and mem[position] == 64)):
        position += 1
    return position


@native
def character_end(mem, position, end):  # type: ignore[no-untyped-def]
    """The position after the UTF-8 character that begins here."""
    byte = mem[position]
    width = 1
    if byte >= 0xF0:
        width = 4
    elif byte >= 0xE0:
        width = 3
    elif byte >= 0xC0:
        width = 2
    return min(position + width, end)


@native
def skip_space(mem, position, end):  # type: ignore[no-untyped-def]
    """The position after blanks and at most one line end, as TeX skips them before an argument."""
    lines = 0
    while position < end:
        byte = mem[position]
        if byte == 10:
            lines += 1
            if lines > 1:
                return position
        elif byte != 32 and byte != 9:
            return position
        position += 1
    return position


@native
def is_blank(mem, position, end):  # type: ignore[no-untyped-def]
    """Whether only blanks and line ends are left."""
    while position < end:
        byte = mem[position]
        if byte != 32 and byte != 10 and byte != 9:
            return False
        position += 1
    return True


@native
def group_end(mem, position, end, max_bytes):  # type: ignore[no-untyped-def]
    """The position of the brace that closes the group beginning here, -1 where it is not found."""
    depth = 0
    end = min(end, position + max_bytes)
    while position < end:
        byte = mem[position]
        if byte == 92:
            position += 2
            continue
        if byte == 123:
            depth += 1
        elif byte == 125:
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


@native
def option_end(mem, position, end):  # type: ignore[no-untyped-def]
    """The position of the ] that closes the optional argument beginning here, -1 where it is not found."""
    depth = 0
    end = min(end, position + MAX_OPTION_BYTES)
    position += 1
    while position < end:
        byte = mem[position]
        if byte == 92:
            position += 2
            continue
        if byte == 123:
            depth += 1
        elif byte == 125:
            depth -= 1
            if depth < 0:
                return -1
        elif byte == 93 and depth == 0:
            return position
        position += 1
    return -1


@native
def read_argument(mem, position, end, at_letter, found):  # type: ignore[no-untyped-def]
    """Reads a mandatory argument into found[0:2]; returns the position after it, -1 where there is none.

    It is a group, a control sequence or one character; none at the end of a paragraph or before } & $ %.
    """
    position = skip_space(mem, position, end)
    if position >= end:
        return -1
    byte = mem[position]
    if byte == 123:
        close = group_end(mem, position, end, MAX_GROUP_BYTES)
        if close < 0:
            return -1
        found[0] = position + 1
        found[1] = close
        return close + 1
    if byte == 10 or byte == 125 or byte == 38 or byte == 36:
        return -1
    if byte == 92:
        if position + 1 >= end:
            return -1
        after = word_end_of(mem, position + 1, end, at_letter)
        if after == position + 1:
            after = character_end(mem, after, end)
    else:
        after = character_end(mem, position, end)
    found[0] = position
    found[1] = after
    return after


@native
def matches(mem, position, end, start, stop):  # type: ignore[no-untyped-def]
    """Whether the bytes mem[start:stop] stand at this position."""
    if position + stop - start > end:
        return False
    index = 0
    while index < stop - start and mem[position + index] == mem[start + index]:
        index += 1
    return index == stop - start


@native
def read_delimited(mem, position, end, pattern, pattern_end, at_letter, arguments, found):  # type: ignore[no-untyped-def]
    r"""Reads the arguments of a macro that \def gave a pattern ("#1,#2;"); the position after them or -1.

    arguments[k] takes the first and last position of argument k.
    """
    position = skip_space(mem, position, end)
    piece = pattern
    while piece < pattern_end:
        if mem[piece] != 35:  # literal text before the first argument
            stop = piece
            while stop < pattern_end and mem[stop] != 35:
                stop += 1
            if not matches(mem, position, end, piece, stop):
                return -1
            position += stop - piece
            piece = stop
            continue
        number = np.int64(mem[piece + 1]) - 49
        piece += 2
        stop = piece
        while stop < pattern_end and mem[stop] != 35:
            stop += 1
        if stop == piece:
            position = read_argument(mem, position, end, at_letter, found)
            if position < 0:
                return -1
            arguments[number, 0] = found[0]
            arguments[number, 1] = found[1]
            continue
        first = position
        limit = min(end, position + MAX_GROUP_BYTES)
        while position < limit and not matches(mem, position, end, piece, stop):
            byte = mem[position]
            if byte == 92:
                position += 2
            elif byte == 123:
                close = group_end(mem, position, end, MAX_GROUP_BYTES)
                if close < 0:
                    return -1
                position = close + 1
            elif byte == 125 or (byte == 10 and position + 1 < end and mem[position + 1] == 10):
                return -1
            else:
                position += 1
        if position >= limit:
            return -1
        last = position
        if last > first and mem[first] == 123 and group_end(mem, first, last, MAX_GROUP_BYTES) == last - 1:
            first += 1
            last -= 1
        arguments[number, 0] = first
        arguments[number, 1] = last
        position += stop - piece
        piece = stop
    return position


@native
def read_name(mem, position, end, at_letter, found):  # type: ignore[no-untyped-def]
    r"""Reads the name that a definition gives (\name, {\name}, \csname name\endcsname) into found[0:2].

    Returns the position after it, -1 where there is none.
    """
    position = skip_space(mem, position, end)
    braced = position < end and mem[position] == 123
    if braced:
        position = skip_space(mem, position + 1, end)
    if position + 1 >= end or mem[position] != 92:
        return -1
    start = position + 1
    after = word_end_of(mem, start, end, at_letter)
    if after == start:
        after = character_end(mem, start, end)
    elif after - start == 6 and mem[start] == 99 and mem[start + 1] == 115 and mem[start + 2] == 110:  # csname
        start = skip_space(mem, after, end)
        after = start
        while after < end and after - start < 64 and mem[after] != 92:
            if mem[after] == 123 or mem[after] == 125 or mem[after] == 35 or mem[after] == 10:
                return -1
            after += 1
        close = word_end_of(mem, after + 1, end, at_letter)
        if after >= end or close - after != 10:  # \endcsname
            return -1
        found[0] = start
        found[1] = after
        after = close
        if braced:
            after = skip_space(mem, after, end)
            return after + 1 if after < end and mem[after] == 125 else -1
        return after
    found[0] = start
    found[1] = after
    if braced:
        after = skip_space(mem, after, end)
        return after + 1 if after < end and mem[after] == 125 else -1
    return after


@native
def read_branches(mem, position, end, keys, values, macros, found):  # type: ignore[no-untyped-def]
    r"""Reads what follows a condition: found[0:4] = \else and the end of it (-1 without), \fi and the end of it.

    Returns False where no \fi closes it here.
    """
    depth = 0
    found[0] = -1
    found[1] = -1
    skip = False
    while position < end:
        if mem[position] != 92:
            position += 1
            continue
        start = position + 1
        after = word_end_of(mem, start, end, False)
        if after == start:
            position += 2
            continue
        code = lookup(keys, values, key_of(mem, start, after, FNV))
        position = after
        if skip:  # \newif\iffoo and \let\iffoo\iftrue open nothing
            skip = False
            continue
        if code == _NEWIF or code == _LET:
            skip = True
        elif code == _FI:
            if depth == 0:
                found[2] = start - 1
                found[3] = after
                return True
            depth -= 1
        elif code == _ELSE:
            if depth == 0 and found[0] < 0:
                found[0] = start - 1
                found[1] = after
        elif (
            code == _IF
            or code == _IFTRUE
            or code == _IFFALSE
            or code == _IFMMODE
            or (code >= _FIRST_MACRO and macros[code - _FIRST_MACRO, 0] == 5)
            or (
                code == 0
                and after - start > 2
                and mem[start] == 105
                and mem[start + 1] == 102
                and (after >= end or mem[after] != 123)
            )
        ):
            depth += 1
    return False


@native
def ends_in_word(mem, position, floor):  # type: ignore[no-untyped-def]
    """Whether a control word ends just before this position; nothing before `floor` is looked at."""
    last = position - 1
    while last >= floor and is_letter(mem[last]):
        last -= 1
    if last < floor or last == position - 1 or mem[last] != 92:
        return False
    backslashes = 0
    while last >= floor and mem[last] == 92:
        backslashes += 1
        last -= 1
    return backslashes % 2 == 1
