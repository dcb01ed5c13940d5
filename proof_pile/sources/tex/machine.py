r"""Second scan (native): the whole text of a paper with its own macros expanded, and marks for the policies.

Text is read from a stack of byte ranges, as TeX reads token lists: a call lays its body, with the arguments in their
places, on the stack.  Definitions are heeded where they stand, in the text or in a body, and end with their group.
Known to the scan are math mode (for \ensuremath and \ifmmode), the true branch of \iftrue, \iffalse and of conditions
that the paper declares with \newif, and what a letter, a blank or a brace must stand between to keep the meaning.

Every bound that is met takes back the outermost call: it stays as the author wrote it, its macro is not expanded
again, and the call is counted.  So the work is linear in the length of the text.
"""

# ruff: noqa: SIM109, SIM114
# Native code: plain comparisons compile to less than membership of a tuple does.

from __future__ import annotations

import numpy as np

from proof_pile.sources.tex import names
from proof_pile.sources.tex.calls import arguments_end, fill, fill_pair, read_call
from proof_pile.sources.tex.definitions import (
    ARENA,
    ARENA_END,
    AT_LETTER,
    DEPTH,
    ENDED,
    EXPANDING,
    GROWN,
    IN_PACKAGE,
    MAX_EXPANSIONS,
    MAX_GROWN,
    MAX_SCANNED,
    NUM_BROKEN,
    NUM_EXPANSIONS,
    NUM_FAILED,
    NUM_LEFT,
    NUM_MARKS,
    NUM_OPEN,
    NUM_SAVED,
    SCANNED,
    STOPPED,
    define,
    is_definer,
)
from proof_pile.sources.tex.groups import (
    BODY,
    BODY_END,
    CALLS,
    CLOSING,
    CLOSING_END,
    CONDITION,
    DELIMITED,
    ENVIRONMENT,
    FAILED,
    FNV,
    KIND,
    LITERAL,
    NAME,
    NAME_END,
    NUM_ARGS,
    OPAQUE,
    PAIR,
    PRIME,
    SETTER,
    character_end,
    is_blank,
    is_letter,
    key_of,
    lookup,
    read_argument,
    read_branches,
    skip_space,
    word_end_of,
)
from proof_pile.sources.tex.native import WIDTH, native, plain_copy
from proof_pile.sources.tex.surface import find_environment_end, verbatim_end

MAX_DEPTH = 100  # macros within macros; chosen by us, papers seldom pass ten
MAX_CALL_EXPANSIONS = 20_000  # within one call in the text
MAX_CALL_BYTES = 1 << 20
MAX_FAILED = 2000
MAX_MACRO_FAILED = 30  # of one macro: then it is none that takes its arguments from the text
MAX_LEFT = 50
MAX_BROKEN = 1000  # definitions and arguments that are not closed; each costs a search of some pages
MAX_FRAMES = 256
MAX_GROUPS = 4096
_MAX_OPEN = 16

_MACRO, _KEPT = names.MACRO, names.KEPT
_ARG1, _ARG2, _TEXT1, _PREFIX, _EXPANDAFTER = names.ARG1, names.ARG2, names.TEXT1, names.PREFIX, names.EXPANDAFTER
_IFTRUE, _IFFALSE, _IFMMODE, _IF, _CSNAME = names.IFTRUE, names.IFFALSE, names.IFMMODE, names.IF, names.CSNAME
_C_AT_LETTER, _C_AT_OTHER, _ENSUREMATH, _XSPACE, _NOTHING = (
    names.AT_LETTER, names.AT_OTHER, names.ENSUREMATH, names.XSPACE, names.NOTHING)  # fmt: skip
_BEGIN, _END, _VERB, _HREF, _SECTION, _BOXMARK, _NEWENV, _RENEWENV = (
    names.BEGIN, names.END, names.VERB, names.HREF, names.SECTION, names.BOXMARK,
    names.NEWENV, names.RENEWENV)  # fmt: skip
_DROP0, _DROP2 = names.DROP0, names.DROP2
_CLASS, _PACKAGE, _LET, _GDEF, _DEF = names.CLASS, names.PACKAGE, names.LET, names.GDEF, names.DEF
_ENV_VERBATIM, _ENV_COMMENT, _ENV_MATH, _ENV_DOCUMENT, _ENV_PLAIN = (
    names.ENV_VERBATIM, names.ENV_COMMENT, names.ENV_MATH, names.ENV_DOCUMENT, names.ENV_PLAIN)  # fmt: skip
_ENV_FRONT = names.ENV_FRONT
_OFFSET_ENV = np.uint64(names.FNV_ENVIRONMENT)


_SPECIAL = b"\\{}$^_\n"  # all that _byte_classes tells from other bytes


def _byte_classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for number, characters in enumerate((b"\\", b"{", b"}", b"$", b"^_", b"\n"), start=1):
        classes[list(characters)] = number
    return classes


CLASSES = _byte_classes()
_copy_plain = plain_copy(_SPECIAL)
# What stands between the backslash and the name of a call that is taken back.
_WORD_NONE, _WORD_BEGIN, _WORD_END = (np.frombuffer(word, np.uint8) for word in (b"", b"begin{", b"end{"))


@native
def _after_removed(mem, position, end, out, o):  # type: ignore[no-untyped-def]
    """The position after the line end that follows what was taken out of a line of its own, or where it stands."""
    if o > 0 and out[o - 1] != 10:
        return position
    probe = position
    while probe < end and (mem[probe] == 32 or mem[probe] == 9):
        probe += 1
    return probe + 1 if probe < end and mem[probe] == 10 else position


@native
def skip_blanks(mem, position, end):  # type: ignore[no-untyped-def]
    """The position after blanks on this line: TeX takes them for the end of a control word's name."""
    while position < end and (mem[position] == 32 or mem[position] == 9):
        position += 1
    return position


@native
def _mark(marks, state, code, start, end):  # type: ignore[no-untyped-def]
    number = state[NUM_MARKS]
    if number < len(marks):
        marks[number, 0] = code
        marks[number, 1] = start
        marks[number, 2] = end
        state[NUM_MARKS] += 1


@native
def run(mem, start, end, out, o, classes, keys, values, macros, state, frames, groups, saved, marks):  # type: ignore[no-untyped-def]
    """Expands mem[start:end] to `out` from position `o` on; returns the new end of the output."""
    arguments = np.zeros((10, 2), np.int64)
    found = np.zeros(8, np.int64)
    p = start
    fp = 0
    macro_depth = 0
    math = 0
    pending = 0
    text_next = False
    word_end = -1
    everywhere = False
    floor = o  # blanks before it are not taken back
    root_q = root_end = root_out = root_fp = root_marks = root_depth = root_math = root_arena = 0
    root_row = -1
    root_expansions, root_grown, end_before = 0, 0, 0
    root_word = _WORD_NONE
    in_package = state[IN_PACKAGE] == 1
    state[DEPTH] = 0
    while True:
        if p >= end:
            if fp == 0:
                break
            fp -= 1
            p = frames[fp, 0]
            end = frames[fp, 1]
            state[ARENA] = frames[fp, 2]
            macro_depth -= frames[fp, 3]
            if macro_depth == 0:
                floor = 0
            continue
        byte = mem[p]
        kind = classes[byte]
        if kind == 0:
            if word_end == o and is_letter(byte):
                out[o] = 32
                o += 1
            if pending > 0:
                if byte != 32 and byte != 9:
                    pending -= 1
                    if byte >= 0xC0:
                        stop = character_end(mem, p, end)
                        while p < stop - 1:
                            out[o] = mem[p]
                            o += 1
                            p += 1
                        byte = mem[p]
                out[o] = byte
                o += 1
                p += 1
                continue
            while p + WIDTH <= end:
                count = _copy_plain(mem, p, out, o)
                p += count
                o += count
                if count < WIDTH:
                    break
            while p < end and classes[mem[p]] == 0:
                out[o] = mem[p]
                o += 1
                p += 1
            continue
        if kind == 6:
            while o > floor and (out[o - 1] == 32 or out[o - 1] == 9) and (o < 2 or out[o - 2] != 92):
                o -= 1
            if o > 0 and out[o - 1] == 10:
                if math == 1:
                    math = 0  # no formula in a line of text goes on in the next paragraph
                pending = 0
                if o > 1 and out[o - 2] == 10:
                    p += 1
                    continue
            out[o] = 10
            o += 1
            p += 1
            continue
        if kind == 2:
            depth = state[DEPTH]
            if depth < MAX_GROUPS:
                groups[depth, 0] = math
                groups[depth, 1] = pending - 1 if pending > 0 else 0
            state[DEPTH] = depth + 1
            if text_next:
                math = 0
                text_next = False
            pending = 0
            out[o] = byte
            o += 1
            p += 1
            continue
        if kind == 3:
            out[o] = byte
            o += 1
            p += 1
            pending = 0
            if state[DEPTH] > 0:
                depth = state[DEPTH] - 1
                while state[NUM_SAVED] > 0 and saved[state[NUM_SAVED] - 1, 2] > depth:
                    state[NUM_SAVED] -= 1
                    values[saved[state[NUM_SAVED], 0]] = saved[state[NUM_SAVED], 1]
                state[DEPTH] = depth
                if depth < MAX_GROUPS:
                    math = groups[depth, 0]
                    pending = groups[depth, 1]
            continue
        if kind == 4:
            pending = 0
            out[o] = byte
            o += 1
            p += 1
            if math == 1:
                math = 0
            elif p < end and mem[p] == 36:
                out[o] = 36
                o += 1
                p += 1
                math = 0 if math == 2 else 2
            else:
                math = 1 if math == 0 else 0
            continue
        if kind == 5:
            out[o] = byte
            o += 1
            p += 1
            pending = 1
            continue
        # a control sequence
        q = p + 1
        if q >= end:
            out[o] = byte
            o += 1
            p = q
            continue
        at_letter = state[AT_LETTER] == 1
        key = FNV
        first = mem[q]
        if is_letter(first) or (at_letter and first == 64):
            while q < end and (is_letter(mem[q]) or (at_letter and mem[q] == 64)):
                key = (key ^ np.uint64(mem[q])) * PRIME
                q += 1
            code = lookup(keys, values, key)
            is_word = True
        else:
            is_word = False
            q = character_end(mem, q, end)
            code = 0
            if first == 40 or first == 91:
                math = 1 if first == 40 else 2
            elif first == 41 or first == 93:
                math = 0
            elif first != 92 and q == p + 2:
                code = lookup(keys, values, (key ^ np.uint64(first)) * PRIME)
        # ---- macros of the paper
        if code >= _MACRO:
            row = code - _MACRO
            macro = macros[row]
            what = macro[KIND]
            if what == SETTER:
                macros[macro[BODY], NUM_ARGS] = macro[NUM_ARGS]
                p = _after_removed(mem, q, end, out, o)
                continue
            if what == CONDITION:
                code = _IFTRUE if macro[NUM_ARGS] == 1 else _IFFALSE
            elif what == LITERAL:
                if word_end == o and is_letter(mem[macro[BODY]]):
                    out[o] = 32
                    o += 1
                for index in range(macro[BODY], macro[BODY_END]):
                    out[o] = mem[index]
                    o += 1
                    state[GROWN] += 1
                word_end = o if mem[macro[BODY]] == 92 else -1
                p = q
                text_next = macro[NUM_ARGS] == _TEXT1
                if macro[NUM_ARGS] == _ARG2:
                    pending = 2
                elif macro[NUM_ARGS] == _ARG1 or text_next:
                    pending = 1
                elif pending > 0:
                    pending -= 1
                continue
            elif what != OPAQUE and what != ENVIRONMENT and state[STOPPED] == 0:
                expanded = False
                over = 0
                tail = q
                tail_fp = fp
                if macro[NUM_ARGS] > 0 or what == DELIMITED:
                    while fp > 0 and macro_depth > 0 and is_blank(mem, tail, end):
                        fp -= 1
                        tail = frames[fp, 0]
                        end = frames[fp, 1]
                        state[ARENA] = frames[fp, 2]
                        macro_depth -= frames[fp, 3]
                after = read_call(mem, tail, end, macro, at_letter, arguments, found)
                if after < 0:
                    state[NUM_FAILED] += 1
                    macros[row, FAILED] += 1
                    if macros[row, FAILED] > MAX_MACRO_FAILED and macros[row, FAILED] > macros[row, CALLS]:
                        macros[row, KIND] = OPAQUE
                    if state[NUM_FAILED] > MAX_FAILED:
                        state[STOPPED] = 1
                else:
                    if macro_depth == 0:
                        root_q, root_end, root_out, root_fp, root_row = tail if fp != tail_fp else q, end, o, fp, row
                        root_marks, root_depth, root_math = state[NUM_MARKS], state[DEPTH], math
                        root_expansions, root_grown, root_arena = state[NUM_EXPANSIONS], state[GROWN], state[ARENA]
                        root_word = _WORD_NONE
                        floor = o
                    base = state[ARENA]
                    if what == PAIR:
                        begin = fill_pair(mem, state, macro, arguments, found[4] == -2, found[4], found[5])
                    else:
                        begin = fill(mem, state, macro, arguments, macro[NUM_ARGS], pending > 0)
                    state[NUM_EXPANSIONS] += 1
                    macros[row, CALLS] += 1
                    if begin >= 0:
                        state[GROWN] += state[ARENA] - begin + 8
                    if begin < 0 or macro_depth >= MAX_DEPTH or fp >= MAX_FRAMES - 2:
                        over = 1
                    elif state[NUM_EXPANSIONS] - root_expansions > MAX_CALL_EXPANSIONS:
                        over = 1
                    elif state[GROWN] - root_grown > MAX_CALL_BYTES:
                        over = 1
                    elif state[GROWN] > state[MAX_GROWN] or state[NUM_EXPANSIONS] > state[MAX_EXPANSIONS]:
                        over = 2 if 2 * (state[GROWN] - root_grown) < state[MAX_GROWN] else 1
                    if over > 0:
                        if over == 2:
                            state[STOPPED] = 2
                        state[GROWN], state[NUM_EXPANSIONS] = root_grown, root_expansions
                        state[NUM_LEFT] += 1
                        if state[NUM_LEFT] > MAX_LEFT:
                            state[STOPPED] = 3
                        if macro_depth >= MAX_DEPTH:  # it calls itself; where it is mere size, the outermost goes
                            macros[row, KIND] = OPAQUE
                        macros[root_row, KIND] = OPAQUE
                        macro = macros[root_row]
                        fp, p, end, o = root_fp, root_q, root_end, root_out
                        state[NUM_MARKS], state[DEPTH], math = root_marks, root_depth, root_math
                        state[ARENA] = root_arena
                        while state[NUM_SAVED] > 0 and saved[state[NUM_SAVED] - 1, 2] > root_depth:
                            state[NUM_SAVED] -= 1
                            values[saved[state[NUM_SAVED], 0]] = saved[state[NUM_SAVED], 1]
                        macro_depth = 0
                        floor = 0
                        pending = 0
                        out[o] = 92
                        o += 1
                        for index in range(len(root_word)):
                            out[o] = root_word[index]
                            o += 1
                        for index in range(macro[NAME], macro[NAME_END]):
                            out[o] = mem[index]
                            o += 1
                        if len(root_word) > 0:
                            out[o] = 125
                            o += 1
                        word_end = o
                        continue
                    if macro[NUM_ARGS] == 0 and what != DELIMITED and what != PAIR:
                        if after + 1 < end and mem[after] == 123 and mem[after + 1] == 125:
                            if after + 2 >= end or (
                                mem[after + 2] != 94 and mem[after + 2] != 95 and mem[after + 2] != 39
                            ):
                                after += 2
                        elif math == 0 and is_word and o > 0 and is_letter(out[o - 1]) and word_end != o:
                            after = skip_space(mem, after, end)  # K\oe nig: TeX takes the blank for the end of the name
                    expanded = True
                    frames[fp, 0] = after
                    frames[fp, 1] = end
                    frames[fp, 2] = base
                    frames[fp, 3] = 1
                    fp += 1
                    macro_depth += 1
                    p = begin
                    end = state[ARENA]
                if expanded:
                    continue
                # The call stays; its name may lie in a frame that was left, so it is taken from the definition.
                out[o] = 92
                o += 1
                for index in range(macro[NAME], macro[NAME_END]):
                    out[o] = mem[index]
                    o += 1
                word_end = o if is_word else -1
                if pending > 0:
                    pending -= 1
                p = tail
                continue
            if what != CONDITION:
                code = 0
        # ---- definitions
        if is_definer(code):
            while q >= end and fp > 0:  # \newcommand{\nc}{\newcommand}: what it defines stands behind the call
                fp -= 1
                q = frames[fp, 0]
                end = frames[fp, 1]
                state[ARENA] = frames[fp, 2]
                macro_depth -= frames[fp, 3]
                p = q
            after = -1
            if state[NUM_BROKEN] < MAX_BROKEN:
                after = define(mem, q, end, code, everywhere, keys, values, macros, state, saved, found)
                if after < 0:
                    state[NUM_BROKEN] += 1
            everywhere = False
            if after >= 0 and state[EXPANDING] == 1:
                p = _after_removed(mem, after, end, out, o) if not in_package else after
                continue
        elif code == _PREFIX or code == _EXPANDAFTER:
            probe = skip_space(mem, q, end)
            if probe < end and mem[probe] == 92:
                stop = word_end_of(mem, probe + 1, end, at_letter)
                other = lookup(keys, values, key_of(mem, probe + 1, stop, FNV))
                if is_definer(other) or other == _PREFIX:
                    if code == _PREFIX and first == 103:
                        everywhere = True
                    p = probe
                    continue
        elif code == _IFTRUE or code == _IFFALSE or (code == _IFMMODE and macro_depth > 0):
            if fp < MAX_FRAMES - 2 and state[SCANNED] < state[MAX_SCANNED]:
                closed = read_branches(mem, q, end, keys, values, macros, found)
                state[SCANNED] += (found[3] if closed else end) - q
                if closed:
                    if code == _IFTRUE or (code == _IFMMODE and math != 0):
                        stop = found[0] if found[0] >= 0 else found[2]
                        begin = q
                    else:
                        stop = found[2]
                        begin = found[1] if found[0] >= 0 else stop
                    after = skip_blanks(mem, found[3], end)
                    frames[fp, 0] = _after_removed(mem, after, end, out, o) if begin >= stop else after
                    frames[fp, 1] = end
                    frames[fp, 2] = state[ARENA]
                    frames[fp, 3] = 0
                    fp += 1
                    p = _after_removed(mem, skip_blanks(mem, begin, stop), stop, out, o)
                    end = stop
                    continue
        elif code == _C_AT_LETTER or code == _C_AT_OTHER:
            state[AT_LETTER] = 1 if code == _C_AT_LETTER else 0
            p = _after_removed(mem, q, end, out, o)
            continue
        elif _DROP0 <= code <= _DROP2:
            after = arguments_end(mem, q, end, code - _DROP0 if state[NUM_BROKEN] < MAX_BROKEN else 0)
            if after == q and code != _DROP0:
                state[NUM_BROKEN] += 1
            p = _after_removed(mem, after, end, out, o)
            continue
        elif macro_depth > 0 and (code == _XSPACE or code == _NOTHING):
            p = skip_space(mem, q, end)
            if p < end and word_end == o and is_letter(mem[p]):
                word_end = o
            continue
        elif macro_depth > 0 and code == _ENSUREMATH and fp < MAX_FRAMES - 2:
            after = read_argument(mem, q, end, at_letter, found)
            if after >= 0 and state[ARENA] + found[1] - found[0] + 8 < state[ARENA_END]:
                base = state[ARENA]
                write = base
                if math == 0:
                    mem[write] = 36
                    write += 1
                for index in range(found[0], found[1]):
                    mem[write] = mem[index]
                    write += 1
                if math == 0:
                    mem[write] = 36
                    write += 1
                state[ARENA] = write
                state[GROWN] += 4
                frames[fp, 0] = after
                frames[fp, 1] = end
                frames[fp, 2] = base
                frames[fp, 3] = 0
                fp += 1
                p = base
                end = write
                continue
        # ---- what stays: the name itself
        begin = o
        for index in range(p, q):
            out[o] = mem[index]
            o += 1
        p = q
        if is_word:
            word_end = o
        if code == 0 or code == 1:
            if pending > 0:
                pending -= 1
            continue
        if code == _ARG1:
            pending = 1
            continue
        if code == _ARG2:
            pending = 2
            continue
        if code == _TEXT1:
            pending = 1
            text_next = True
            if p < end and mem[p] != 123:
                text_next = False
            continue
        if pending > 0:
            pending -= 1
        if code == _BEGIN or code == _END:
            while p >= end and fp > 0:
                fp -= 1
                p = frames[fp, 0]
                end = frames[fp, 1]
                state[ARENA] = frames[fp, 2]
                macro_depth -= frames[fp, 3]
            name = skip_space(mem, p, end)
            if name >= end or mem[name] != 123:
                continue
            name += 1
            name_end = name
            key = _OFFSET_ENV
            while name_end < end and mem[name_end] != 125 and mem[name_end] > 32 and name_end - name < 64:
                key = (key ^ np.uint64(mem[name_end])) * PRIME
                name_end += 1
            if name_end >= end or mem[name_end] != 125:
                continue
            env = lookup(keys, values, key)
            if (
                env >= _MACRO
                and state[STOPPED] == 0
                and macros[env - _MACRO, KIND] == ENVIRONMENT
                and fp < MAX_FRAMES - 2
            ):
                row = env - _MACRO
                if code == _END:
                    if state[DEPTH] > 0:
                        state[DEPTH] -= 1
                    frames[fp, 0] = name_end + 1
                    frames[fp, 1] = end
                    frames[fp, 2] = state[ARENA]
                    frames[fp, 3] = 1
                    fp += 1
                    macro_depth += 1
                    o = begin
                    word_end = -1
                    end_before = end
                    p = macros[row, CLOSING]
                    end = macros[row, CLOSING_END]
                    state[GROWN] += end - p
                    if macro_depth == 1:
                        root_q, root_end, root_out, root_fp, root_row = name_end + 1, end_before, begin, fp - 1, row
                        root_marks, root_depth, root_math = state[NUM_MARKS], state[DEPTH], math
                        root_expansions, root_grown, root_arena = state[NUM_EXPANSIONS], state[GROWN], state[ARENA]
                        root_word = _WORD_END
                    continue
                after = read_call(mem, name_end + 1, end, macros[row], at_letter, arguments, found)
                if after >= 0 and macro_depth < MAX_DEPTH:
                    base = state[ARENA]
                    filled = fill(mem, state, macros[row], arguments, macros[row, NUM_ARGS], False)
                    state[NUM_EXPANSIONS] += 1
                    if filled >= 0 and state[GROWN] + state[ARENA] - filled < state[MAX_GROWN]:
                        state[GROWN] += state[ARENA] - filled
                        if macro_depth == 0:
                            root_q, root_end, root_out, root_fp, root_row = name_end + 1, end, begin, fp, row
                            root_marks, root_depth, root_math = state[NUM_MARKS], state[DEPTH], math
                            root_expansions, root_grown, root_arena = state[NUM_EXPANSIONS], state[GROWN], base
                            root_word = _WORD_BEGIN
                        if state[DEPTH] < MAX_GROUPS:
                            groups[state[DEPTH], 0] = math
                            groups[state[DEPTH], 1] = 0
                        state[DEPTH] += 1
                        frames[fp, 0] = after
                        frames[fp, 1] = end
                        frames[fp, 2] = base
                        frames[fp, 3] = 1
                        fp += 1
                        macro_depth += 1
                        o = begin
                        word_end = -1
                        p = filled
                        end = state[ARENA]
                        continue
                    state[ARENA] = base
                macros[row, KIND] = OPAQUE
            for index in range(p, name_end + 1):
                out[o] = mem[index]
                o += 1
            p = name_end + 1
            word_end = -1
            if env == _ENV_DOCUMENT:
                _mark(marks, state, env if code == _BEGIN else -env, begin, o)
                if code == _END:
                    state[ENDED] = 1
                    return o
                state[DEPTH] = 0
                state[NUM_SAVED] = 0
                state[AT_LETTER] = 0
                math = 0
                continue
            if env > _ENV_DOCUMENT and env != _ENV_PLAIN and env <= _ENV_FRONT:
                _mark(marks, state, env if code == _BEGIN else -env, begin, o)
            if code == _BEGIN:
                if env == _ENV_VERBATIM and state[NUM_OPEN] < _MAX_OPEN:
                    stop = find_environment_end(mem, p, end, name, name_end)
                    if stop < 0:
                        state[NUM_OPEN] += 1
                        continue
                    stop += name_end - name + 6
                    for index in range(p, stop):
                        out[o] = mem[index]
                        o += 1
                    p = stop
                    continue
                if state[DEPTH] < MAX_GROUPS:
                    groups[state[DEPTH], 0] = math
                    groups[state[DEPTH], 1] = 0
                state[DEPTH] += 1
                pending = 0
                if env == _ENV_MATH:
                    math = 2
            elif state[DEPTH] > 0:
                depth = state[DEPTH] - 1
                while state[NUM_SAVED] > 0 and saved[state[NUM_SAVED] - 1, 2] > depth:
                    state[NUM_SAVED] -= 1
                    values[saved[state[NUM_SAVED], 0]] = saved[state[NUM_SAVED], 1]
                state[DEPTH] = depth
                if depth < MAX_GROUPS:
                    math = groups[depth, 0]
                if env == _ENV_MATH:
                    math = 0
            continue
        if _VERB <= code <= _HREF:
            stop = verbatim_end(mem, code, p, end) if state[NUM_BROKEN] < MAX_BROKEN else -1
            if stop < 0:
                state[NUM_BROKEN] += 1
            else:
                for index in range(p, stop):
                    out[o] = mem[index]
                    o += 1
                p = stop
                word_end = -1
            continue
        if code == _CLASS or code == _PACKAGE or (_SECTION <= code <= _BOXMARK):
            _mark(marks, state, code, begin, o)
            if code == _SECTION:
                math = 0
    return o
