r"""How the machine reads definitions: \newcommand, \def, \let, \DeclareMathOperator, \newenvironment, \newif, ...

A definition leaves the text.  Its macro is expanded where it is called unless its body programs TeX or sets type by
hand: such a macro is remembered as opaque and its calls stay as they are.
"""

# ruff: noqa: SIM109, SIM102, SIM114
# Native code: plain comparisons compile to less than membership of a tuple does.

from __future__ import annotations

import numpy as np

from proof_pile.sources.tex import names
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
    FNV_ENV,
    KIND,
    LITERAL,
    NAME,
    NAME_END,
    NUM_ARGS,
    OPAQUE,
    OPTION,
    OPTION_END,
    PAIR,
    PATTERN,
    PATTERN_END,
    SETTER,
    SIGNATURE,
    SIMPLE,
    character_end,
    group_end,
    is_letter,
    key_of,
    lookup,
    option_end,
    read_argument,
    read_name,
    skip_space,
    slot_of,
    word_end_of,
)
from proof_pile.sources.tex.native import native

# The machine's state, one int64 each.
(POOL, POOL_END, ARENA, ARENA_END, NUM_MACROS, NUM_EXPANSIONS, GROWN, NUM_FAILED, NUM_LEFT, STOPPED, NUM_SAVED,
 NUM_MARKS, AT_LETTER, MAX_ARGS, MAX_EXPANSIONS, MAX_GROWN, DEPTH, IN_PACKAGE, NUM_OPEN, SCANNED, MAX_SCANNED,
 TEXT_END, EXPANDING, NUM_OPAQUE, ENDED, NUM_BROKEN) = range(26)  # fmt: skip
NUM_STATES = 26
MAX_BODY_BYTES = 8000
MAX_SAVED = 4096

_MACRO, _KEPT, _TEXT1 = names.MACRO, names.KEPT, names.TEXT1
_NEWCOMMAND, _RENEWCOMMAND, _PROVIDE, _DEF, _GDEF, _LET, _MATHOP, _NEWENV, _RENEWENV, _PAIRED, _NEWIF, _XPARSE = (
    names.NEWCOMMAND, names.RENEWCOMMAND, names.PROVIDECOMMAND, names.DEF, names.GDEF, names.LET, names.MATHOP,
    names.NEWENV, names.RENEWENV, names.PAIRED, names.NEWIF, names.XPARSE)  # fmt: skip
_PROGRAM, _IF, _EXPANDAFTER, _CSNAME, _VERB, _VERB_LANGUAGE, _BEGIN = (
    names.PROGRAM, names.IF, names.EXPANDAFTER, names.CSNAME, names.VERB, names.VERB_LANGUAGE, names.BEGIN)  # fmt: skip
_AUTHOR, _BOXMARK, _IFTRUE, _IFFALSE, _SKIP1, _SKIP2, _ENDINPUT, _DROP0 = (
    names.AUTHOR, names.BOXMARK, names.IFTRUE, names.IFFALSE, names.DEFSKIP1, names.DEFSKIP2,
    names.ENDINPUT, names.DROP0)  # fmt: skip
_ENV_VERBATIM, _ENV_COMMENT, _ENV_DRAWING, _INPUT, _FI = (
    names.ENV_VERBATIM, names.ENV_COMMENT, names.ENV_DRAWING, names.INPUT, names.FI)  # fmt: skip
_TEXT_OPERATOR = np.frombuffer(b"\\operatorname", np.uint8)


@native
def is_definer(code):  # type: ignore[no-untyped-def]
    """Whether a control word defines something."""
    return _NEWCOMMAND <= code <= _XPARSE or code == _SKIP1 or code == _SKIP2


@native
def _programs(mem, start, end, keys, values, macros, at_letter):  # type: ignore[no-untyped-def]
    """Whether a body does more than stand for other text."""
    position = start
    after_definer = False
    while position < end:
        if mem[position] != 92:
            position += 1
            continue
        first = position + 1
        after = word_end_of(mem, first, end, at_letter)
        if after == first:
            position += 2
            after_definer = False
            continue
        position = after
        code = lookup(keys, values, key_of(mem, first, after, FNV))
        if code >= _MACRO:
            continue
        if code == _PROGRAM or code == _IF or (_VERB <= code <= _VERB_LANGUAGE) or (_INPUT <= code <= _ENDINPUT):
            return True
        if code == _CSNAME:
            if not after_definer:
                return True
            continue
        if code == _EXPANDAFTER:
            word = word_end_of(mem, after + 1, end, at_letter)
            if (
                after >= end
                or mem[after] != 92
                or not is_definer(lookup(keys, values, key_of(mem, after + 1, word, FNV)))
            ):
                return True
            continue
        after_definer = is_definer(code)
        if code == 0:
            if after - first > 2 and mem[first] == 105 and mem[first + 1] == 102:
                if after >= end or mem[after] != 123:
                    return True
            for index in range(first, after):
                if mem[index] == 64:
                    return True
        elif code == _BEGIN and after < end and mem[after] == 123:
            close = after + 1
            while close < end and mem[close] != 125:
                close += 1
            env = lookup(keys, values, key_of(mem, after + 1, close, FNV_ENV))
            if env == _ENV_VERBATIM or env == _ENV_COMMENT or env == _ENV_DRAWING:
                return True
    return False


@native
def _kept_bytes(mem, state, start, end, found):  # type: ignore[no-untyped-def]
    """Where bytes that a macro needs will stay: where they are, or copied into the pool; False where that is full."""
    found[0] = start
    found[1] = end
    if start < state[TEXT_END] or (state[TEXT_END] <= start and end <= state[POOL]):
        return True
    if state[POOL] + end - start > state[POOL_END]:
        return False
    found[0] = state[POOL]
    for index in range(start, end):
        mem[state[POOL]] = mem[index]
        state[POOL] += 1
    found[1] = state[POOL]
    return True


@native
def _bind(keys, values, state, saved, key, value, everywhere):  # type: ignore[no-untyped-def]
    """Gives a name its meaning, to be taken back at the end of the group unless `everywhere`."""
    slot = slot_of(keys, key)
    if state[DEPTH] > 0 and not everywhere and state[NUM_SAVED] < MAX_SAVED:
        saved[state[NUM_SAVED], 0] = slot
        saved[state[NUM_SAVED], 1] = values[slot] if keys[slot] == key else 0
        saved[state[NUM_SAVED], 2] = state[DEPTH]
        state[NUM_SAVED] += 1
    keys[slot] = key
    values[slot] = value


@native
def _new_macro(mem, macros, state, found, name, name_end, kind, num_args, body, body_end):  # type: ignore[no-untyped-def]
    """A new row of the table of macros with these parts, -1 where there is no place left."""
    index = state[NUM_MACROS]
    if index >= len(macros):
        return -1
    macros[index, :] = 0
    macros[index, OPTION] = -1
    macros[index, KIND] = kind
    macros[index, NUM_ARGS] = num_args
    if not _kept_bytes(mem, state, name, name_end, found):
        return -1
    macros[index, NAME] = found[0]
    macros[index, NAME_END] = found[1]
    if not _kept_bytes(mem, state, body, body_end, found):
        return -1
    macros[index, BODY] = found[0]
    macros[index, BODY_END] = found[1]
    state[NUM_MACROS] += 1
    return index


@native
def _may_define(mem, code, definer, in_package, name, name_end):  # type: ignore[no-untyped-def]
    """Whether a paper's definition of this name is heeded, by what the name meant so far."""
    if name_end - name == 1 and not is_letter(mem[name]):
        byte = mem[name]
        # accents, escapes, spacing and line ends keep their meaning
        if byte != 124 and byte != 60 and byte != 62 and byte != 43 and byte != 63 and byte != 42 and byte != 58:
            return False
    if in_package:
        return code == 0 or code >= _MACRO
    if code >= _MACRO or code < _KEPT:
        return not is_definer(code) and not (_IFTRUE <= code <= _FI) and code != _DROP0
    if code == _AUTHOR or code == _BOXMARK:
        return definer != _RENEWCOMMAND
    return False


@native
def _read_body(mem, position, end, found):  # type: ignore[no-untyped-def]
    """A body in braces, or a single token, into found[0:2]."""
    return read_argument(mem, position, end, True, found)


@native
def define(mem, position, end, code, everywhere, keys, values, macros, state, saved, found):  # type: ignore[no-untyped-def]
    """Reads the definition whose definer ends here and returns the position after it; -1 where it is none."""
    at_letter = state[AT_LETTER] == 1
    in_package = state[IN_PACKAGE] == 1
    if position < end and mem[position] == 42 and code != _DEF and code != _GDEF and code != _LET:
        starred = True
        position += 1
    else:
        starred = False
    if code == _NEWENV or code == _RENEWENV:
        return _define_environment(mem, position, end, keys, values, macros, state, saved, found)
    after = read_name(mem, position, end, at_letter or in_package, found)
    if after < 0:
        return -1
    name = found[0]
    name_end = found[1]
    key = key_of(mem, name, name_end, FNV)
    before = lookup(keys, values, key)
    wanted = _may_define(mem, before, code, in_package, name, name_end)
    wanted = wanted and state[NUM_MACROS] + 4 < len(macros) and state[EXPANDING] == 1
    if code == _SKIP1:
        return after
    if code == _NEWIF:
        return _define_condition(mem, after, keys, values, macros, state, saved, found, name, name_end)
    num_args = np.int64(0)
    option = -1
    option_stop = -1
    pattern = -1
    pattern_stop = -1
    kind = SIMPLE
    position = skip_space(mem, after, end)
    if code == _SKIP2:
        return read_argument(mem, position, end, at_letter, found)
    if code == _LET:
        if position < end and mem[position] == 61:
            position = skip_space(mem, position + 1, end)
        if position >= end:
            return -1
        if mem[position] == 92:
            stop = word_end_of(mem, position + 1, end, at_letter or in_package)
            if stop == position + 1:
                stop = character_end(mem, stop, end) if stop < end else stop
            target = lookup(keys, values, key_of(mem, position + 1, stop, FNV))
            if target <= _TEXT1:
                kind = LITERAL  # \let keeps what the name means now, whatever becomes of the name
                num_args = np.int64(target)
            elif wanted and not in_package and (target >= _MACRO or target < _KEPT):
                _bind(keys, values, state, saved, key, target, everywhere)
                return stop
        else:
            stop = character_end(mem, position, end)
        found[0] = position
        found[1] = stop
        wanted = wanted and not in_package
        after = stop
    elif code == _DEF or code == _GDEF:
        pattern = after
        while after < end and mem[after] != 123 and after - pattern < 200:
            if mem[after] == 125 or mem[after] == 10:
                if mem[after] == 125 or (after + 1 < end and mem[after + 1] == 10):
                    return -1
            after += 1
        if after >= end or mem[after] != 123:
            return -1
        pattern_stop = after
        plain = True
        index = pattern
        while index < pattern_stop:
            byte = mem[index]
            if byte == 35:
                if index + 1 >= pattern_stop or mem[index + 1] != 49 + num_args or num_args >= 9:
                    wanted = False  # "#{" and the like
                    break
                num_args += 1
                index += 2
                continue
            if byte != 32 and byte != 10 and byte != 9:
                plain = False
            index += 1
        if plain:
            pattern = -1
        else:
            kind = DELIMITED
        after = _read_body(mem, after, end, found)
    elif code == _XPARSE:
        if position >= end or mem[position] != 123:
            return -1
        close = group_end(mem, position, end, 400)
        if close < 0:
            return -1
        pattern = position + 1
        pattern_stop = close
        kind = SIGNATURE
        num_args = np.int64(_signature_length(mem, pattern, pattern_stop))
        if num_args < 0:
            wanted = False
        after = _read_body(mem, close + 1, end, found)
    elif code == _PAIRED:
        after = _read_body(mem, position, end, found)
        if after < 0:
            return -1
        pattern = found[0]
        pattern_stop = found[1]
        kind = PAIR
        num_args = np.int64(1)
        after = _read_body(mem, after, end, found)
    elif code == _MATHOP:
        after = _read_body(mem, position, end, found)
    else:
        if position < end and mem[position] == 91:
            close = option_end(mem, position, end)
            digit = skip_space(mem, position + 1, end)
            if close < 0 or not 48 <= mem[digit] <= 57 or skip_space(mem, digit + 1, end) != close:
                return -1
            num_args = np.int64(mem[digit]) - 48
            position = skip_space(mem, close + 1, end)
            if position < end and mem[position] == 91:
                close = option_end(mem, position, end)
                if close < 0:
                    return -1
                option = position + 1
                option_stop = close
                position = skip_space(mem, close + 1, end)
        after = _read_body(mem, position, end, found)
    if after < 0:
        return -1
    body = found[0]
    body_end = found[1]
    if not wanted or (code == _PROVIDE and before != 0):
        return after
    if body_end - body > MAX_BODY_BYTES or (num_args > state[MAX_ARGS] and kind != LITERAL):
        kind = OPAQUE
    elif kind != LITERAL and _programs(mem, body, body_end, keys, values, macros, at_letter or in_package):
        kind = OPAQUE
    if code == _MATHOP and kind != OPAQUE:
        # the body becomes \operatorname{body}, built in the pool
        start = state[POOL]
        if start + body_end - body + 20 > state[POOL_END]:
            return after
        write = start
        for byte in _TEXT_OPERATOR:
            mem[write] = byte
            write += 1
        if starred:
            mem[write] = 42
            write += 1
        mem[write] = 123
        write += 1
        for index in range(body, body_end):
            mem[write] = mem[index]
            write += 1
        mem[write] = 125
        write += 1
        state[POOL] = write
        body = start
        body_end = write
    row = _new_macro(mem, macros, state, found, name, name_end, kind, num_args, body, body_end)
    if row < 0:
        return after
    if option >= 0 and _kept_bytes(mem, state, option, option_stop, found):
        macros[row, OPTION] = found[0]
        macros[row, OPTION_END] = found[1]
    if pattern >= 0:
        if not _kept_bytes(mem, state, pattern, pattern_stop, found):
            macros[row, KIND] = OPAQUE
        macros[row, PATTERN] = found[0]
        macros[row, PATTERN_END] = found[1]
    if kind == OPAQUE:
        state[NUM_OPAQUE] += 1
        if in_package or name_end - name > 40:
            return after
    _bind(keys, values, state, saved, key, _MACRO + row, everywhere or code == _GDEF)
    return after


@native
def _signature_length(mem, start, end):  # type: ignore[no-untyped-def]
    """Number of arguments of an xparse signature made of m, +m, o and O{...}; -1 where it holds anything else."""
    count = 0
    position = start
    while position < end:
        byte = mem[position]
        if byte == 109 or byte == 111:
            count += 1
        elif byte == 79:
            count += 1
            position = skip_space(mem, position + 1, end)
            if position >= end or mem[position] != 123:
                return -1
            position = group_end(mem, position, end, 400)
            if position < 0:
                return -1
        elif byte != 32 and byte != 43 and byte != 10:
            return -1
        position += 1
    return count if count <= 9 else -1


@native
def _define_condition(mem, after, keys, values, macros, state, saved, found, name, name_end):  # type: ignore[no-untyped-def]
    r"""\newif\iffoo: the condition foo, false, and the macros \footrue and \foofalse that set it."""
    if name_end - name < 3 or mem[name] != 105 or mem[name + 1] != 102 or name_end - name > 40:
        return after
    row = _new_macro(mem, macros, state, found, name, name_end, CONDITION, 0, name, name)
    if row < 0:
        return after
    _bind(keys, values, state, saved, key_of(mem, name, name_end, FNV), _MACRO + row, True)
    key = key_of(mem, name + 2, name_end, FNV)
    for value in range(2):
        other = _new_macro(mem, macros, state, found, name, name_end, SETTER, value, name, name)
        if other < 0:
            return after
        macros[other, CALLS] = 0
        macros[other, FAILED] = 0
        macros[other, BODY] = row
        ending = _key_with(key, value)
        _bind(keys, values, state, saved, ending, _MACRO + other, True)
    return after


_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_PRIME = np.uint64(names.FNV_PRIME)


@native
def _key_with(key, value):  # type: ignore[no-untyped-def]
    """The key of a name with "true" or "false" behind it."""
    if value == 1:
        for byte in _TRUE:
            key = (key ^ np.uint64(byte)) * _PRIME
    else:
        for byte in _FALSE:
            key = (key ^ np.uint64(byte)) * _PRIME
    return key


@native
def _define_environment(mem, position, end, keys, values, macros, state, saved, found):  # type: ignore[no-untyped-def]
    r"""\newenvironment: heeded where its beginning opens another environment or a display, a mere other name for it."""
    position = skip_space(mem, position, end)
    if position >= end or mem[position] != 123:
        return -1
    close = group_end(mem, position, end, 100)
    if close < 0:
        return -1
    name = position + 1
    name_end = close
    num_args = np.int64(0)
    option = -1
    option_stop = -1
    position = skip_space(mem, close + 1, end)
    if position < end and mem[position] == 91:
        close = option_end(mem, position, end)
        if close != position + 2 or not 48 <= mem[position + 1] <= 57:
            return -1
        num_args = np.int64(mem[position + 1]) - 48
        position = skip_space(mem, close + 1, end)
        if position < end and mem[position] == 91:
            close = option_end(mem, position, end)
            if close < 0:
                return -1
            option = position + 1
            option_stop = close
            position = skip_space(mem, close + 1, end)
    after = read_argument(mem, position, end, True, found)
    if after < 0:
        return -1
    body = found[0]
    body_end = found[1]
    after = read_argument(mem, after, end, True, found)
    if after < 0:
        return -1
    closing = found[0]
    closing_end = found[1]
    key = key_of(mem, name, name_end, FNV_ENV)
    before = lookup(keys, values, key)
    opens = False
    for index in range(body, body_end - 1):
        if mem[index] == 92 and (
            mem[index + 1] == 91 or (mem[index + 1] == 98 and index + 5 < body_end and mem[index + 5] == 110)
        ):
            opens = True
        elif mem[index] == 36 and mem[index + 1] == 36:
            opens = True
    at_letter = state[AT_LETTER] == 1 or state[IN_PACKAGE] == 1
    if (
        not opens
        or (0 < before < _MACRO)
        or state[EXPANDING] == 0
        or num_args > state[MAX_ARGS]
        or body_end - body > MAX_BODY_BYTES
        or closing_end - closing > MAX_BODY_BYTES
        or _programs(mem, body, body_end, keys, values, macros, at_letter)
        or _programs(mem, closing, closing_end, keys, values, macros, at_letter)
    ):
        if before >= _MACRO:
            _bind(keys, values, state, saved, key, 0, False)
        return after
    row = _new_macro(mem, macros, state, found, name, name_end, ENVIRONMENT, num_args, body, body_end)
    if row < 0:
        return after
    if option >= 0 and _kept_bytes(mem, state, option, option_stop, found):
        macros[row, OPTION] = found[0]
        macros[row, OPTION_END] = found[1]
    if _kept_bytes(mem, state, closing, closing_end, found):
        macros[row, CLOSING] = found[0]
        macros[row, CLOSING_END] = found[1]
    _bind(keys, values, state, saved, key, _MACRO + row, False)
    return after
