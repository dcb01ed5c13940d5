r"""How a call of a macro is read, and how its body and arguments are put together (native)."""

# Native code: plain comparisons compile to less than membership of a tuple does.

from __future__ import annotations

import numpy as np

from proof_pile.sources.tex.definitions import ARENA, ARENA_END
from proof_pile.sources.tex.groups import (
    BODY,
    BODY_END,
    DELIMITED,
    KIND,
    MAX_GROUP_BYTES,
    NUM_ARGS,
    OPTION,
    OPTION_END,
    PAIR,
    PATTERN,
    PATTERN_END,
    SIGNATURE,
    character_end,
    ends_in_word,
    group_end,
    is_letter,
    option_end,
    read_argument,
    read_delimited,
    skip_space,
    word_end_of,
)
from proof_pile.sources.tex.native import native

_LEFT = np.frombuffer(b"\\left", np.uint8)
_RIGHT = np.frombuffer(b"\\right", np.uint8)


@native
def fill(mem, state, macro, arguments, num_args, wrap):  # type: ignore[no-untyped-def]
    """Writes a body with its arguments into the arena and returns its first position; its end is state[ARENA].

    -1 where the arena is full.  `wrap` puts braces around what is more than one token.
    """
    write = state[ARENA] + 1
    start = write
    stop = state[ARENA_END] - 8
    position = macro[BODY]
    end = macro[BODY_END]
    joint = False
    while position < end:
        byte = mem[position]
        first = position
        last = position + 1
        position = last
        if byte == 35 and last < end:
            number = np.int64(mem[last]) - 49
            if mem[last] == 35:
                position += 1
            elif 0 <= number < 9:
                position += 1
                joint = True
                if number >= num_args:
                    continue
                first = arguments[number, 0]
                last = arguments[number, 1]
        if write + last - first >= stop:
            return -1
        if joint and first < last and is_letter(mem[first]) and ends_in_word(mem, write, start):
            mem[write] = 32
            write += 1
        joint = last - first != 1 or byte == 35
        for index in range(first, last):
            mem[write] = mem[index]
            write += 1
    state[ARENA] = write
    if wrap and write - start > 1:
        whole = mem[start] == 123 and group_end(mem, start, write, write - start + 1) == write - 1
        if mem[start] == 92:
            after = word_end_of(mem, start + 1, write, False)
            whole = after == write or (after == start + 1 and write == start + 2)
        if not whole and character_end(mem, start, write) != write:
            start -= 1
            mem[start] = 123
            mem[write] = 125
            state[ARENA] = write + 1
    return start


@native
def fill_pair(mem, state, macro, arguments, starred, size, size_end):  # type: ignore[no-untyped-def]
    """A paired delimiter around its argument, in the arena; the first position or -1."""
    start = state[ARENA] + 1
    write = start
    stop = state[ARENA_END] - 40
    total = macro[BODY_END] - macro[BODY] + macro[PATTERN_END] - macro[PATTERN] + arguments[0, 1] - arguments[0, 0]
    if write + total + 2 * (size_end - size) >= stop:
        return -1
    for side in range(3):
        if side == 1:
            first = arguments[0, 0]
            last = arguments[0, 1]
        else:
            if starred:
                word = _LEFT if side == 0 else _RIGHT
                for byte in word:
                    mem[write] = byte
                    write += 1
            elif size >= 0:
                for index in range(size, size_end):
                    mem[write] = mem[index]
                    write += 1
                mem[write] = 108 if side == 0 else 114
                write += 1
            first = macro[PATTERN] if side == 0 else macro[BODY]
            last = macro[PATTERN_END] if side == 0 else macro[BODY_END]
        if first < last and is_letter(mem[first]) and ends_in_word(mem, write, start):
            mem[write] = 32
            write += 1
        for index in range(first, last):
            mem[write] = mem[index]
            write += 1
    state[ARENA] = write
    return start


@native
def read_call(mem, position, end, macro, at_letter, arguments, found):  # type: ignore[no-untyped-def]
    """Reads a call's arguments; returns the position after them or -1.  found[4:6] is a paired delimiter's size."""
    kind = macro[KIND]
    count = macro[NUM_ARGS]
    found[4] = -1
    if kind == DELIMITED:
        return read_delimited(mem, position, end, macro[PATTERN], macro[PATTERN_END], at_letter, arguments, found)
    if kind == SIGNATURE:
        number = 0
        piece = macro[PATTERN]
        while piece < macro[PATTERN_END]:
            byte = mem[piece]
            piece += 1
            if byte == 109:
                position = read_argument(mem, position, end, at_letter, found)
                if position < 0:
                    return -1
                arguments[number, 0] = found[0]
                arguments[number, 1] = found[1]
                number += 1
            elif byte == 111 or byte == 79:
                first = 0
                last = 0
                if byte == 79:
                    piece = skip_space(mem, piece, macro[PATTERN_END])
                    first = piece + 1
                    last = group_end(mem, piece, macro[PATTERN_END], 400)
                    piece = last + 1
                probe = skip_space(mem, position, end)
                if probe < end and mem[probe] == 91:
                    close = option_end(mem, probe, end)
                    if close >= 0:
                        first = probe + 1
                        last = close
                        position = close + 1
                arguments[number, 0] = first
                arguments[number, 1] = last
                number += 1
        return position
    number = 0
    if kind == PAIR:
        if position < end and mem[position] == 42:
            position += 1
            found[4] = -2
        elif position < end and mem[position] == 91:
            close = option_end(mem, position, end)
            if close >= 0:
                found[4] = position + 1
                found[5] = close
                position = close + 1
    elif macro[OPTION] >= 0:
        arguments[0, 0] = macro[OPTION]
        arguments[0, 1] = macro[OPTION_END]
        probe = skip_space(mem, position, end)
        if probe < end and mem[probe] == 91:
            close = option_end(mem, probe, end)
            if close >= 0:
                arguments[0, 0] = probe + 1
                arguments[0, 1] = close
                position = close + 1
        number = 1
    while number < count:
        position = read_argument(mem, position, end, at_letter, found)
        if position < 0:
            return -1
        arguments[number, 0] = found[0]
        arguments[number, 1] = found[1]
        number += 1
    return position


@native
def arguments_end(mem, position, end, num_groups):  # type: ignore[no-untyped-def]
    """The position after a star, optional arguments and at most so many groups that follow a command."""
    if position < end and mem[position] == 42:
        position += 1
    for _ in range(num_groups):
        probe = skip_space(mem, position, end)
        if probe < end and mem[probe] == 91:
            close = option_end(mem, probe, end)
            if close >= 0:
                position = close + 1
                probe = skip_space(mem, position, end)
        if probe < end and mem[probe] == 123:
            close = group_end(mem, probe, end, MAX_GROUP_BYTES)
            if close >= 0:
                position = close + 1
    return position
