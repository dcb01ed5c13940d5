r"""First scan of a file (native): comments go, verbatim parts stay, and where other files are read in is marked.

What TeX does at a comment is done here too: a line that holds nothing else vanishes, one after a blank becomes a line
end, one directly after text joins that text with the next line ("ab%\n  cd" is "abcd"), and one directly after a
control word leaves a line end, which TeX drops itself.  A % is text in \%, in \verb and its kin, in \url and in
verbatim environments.  Line ends become \n, other control characters go.
"""

# ruff: noqa: SIM109
# Native code: plain comparisons compile to less than membership of a tuple does.

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cache

import numpy as np

from proof_pile.sources.tex import names
from proof_pile.sources.tex.groups import FNV, FNV_ENV, PRIME, ends_in_word, is_letter, lookup
from proof_pile.sources.tex.native import WIDTH, native, plain_copy, plain_width

MAX_MARKS = 20_000  # chosen by us: files that a file reads in, and the few other things that are marked
MAX_NAME_BYTES = 300
MAX_OPEN_VERBATIM = 16  # each costs a search to the end of the file
MAX_BROKEN = 1000  # \\url and the like whose argument is not closed; each costs a search of some pages

_PLAIN, _BACKSLASH, _PERCENT, _LINE, _CONTROL, _SHORT = range(6)

# Codes as plain numbers: native code freezes what it reads from a module, not what it reads from a module's attribute.
_C_BEGIN, _C_VERB, _C_VERB_OPTION, _C_VERB_LANGUAGE, _C_URL, _C_HREF = (
    names.BEGIN, names.VERB, names.VERB_OPTION, names.VERB_LANGUAGE, names.URL, names.HREF)  # fmt: skip
_C_INPUT, _C_IMPORT, _C_SUBIMPORT, _C_IF_FILE, _C_PACKAGE, _C_CLASS = (
    names.INPUT, names.IMPORT, names.SUBIMPORT, names.IF_FILE, names.PACKAGE, names.CLASS)  # fmt: skip
_C_ENDINPUT, _C_SECTION, _C_IF, _C_FI, _C_AT_LETTER, _C_AT_OTHER, _C_END = (
    names.ENDINPUT, names.SECTION, names.IF, names.FI, names.AT_LETTER, names.AT_OTHER, names.END)  # fmt: skip
_C_ENV_VERBATIM, _C_ENV_COMMENT, _C_ENV_DOCUMENT = names.ENV_VERBATIM, names.ENV_COMMENT, names.ENV_DOCUMENT
_C_IFMMODE, _C_IFTRUE, _C_IFFALSE, _C_BIBLIOGRAPHY = names.IFMMODE, names.IFTRUE, names.IFFALSE, names.BIBLIOGRAPHY
_C_VERBATIM_DEFINER = names.VERBATIM_DEFINER
_MAX_NAME, _MAX_OPEN, _MAX_BROKEN = MAX_NAME_BYTES, MAX_OPEN_VERBATIM, MAX_BROKEN


_copy_plain = plain_copy(b"\\%\x7f", below=32)
_until_line_end = plain_width(b"\r\n")


@cache
def _classes(short_verb: int) -> np.ndarray:
    classes = np.full(256, _PLAIN, np.uint8)
    classes[:32] = _CONTROL
    classes[127] = _CONTROL
    classes[ord("\t")] = _PLAIN
    classes[[10, 13, 12]] = _LINE  # a form feed ends a paragraph in TeX
    if short_verb:
        classes[short_verb] = _SHORT
    classes[ord("\\")] = _BACKSLASH
    classes[ord("%")] = _PERCENT
    return classes


_MARKED = (
    *range(names.BEGIN, names.BIBLIOGRAPHY + 1), names.VERBATIM_DEFINER, names.IF, names.FI,
    names.AT_LETTER, names.AT_OTHER, names.IFMMODE, names.IFTRUE, names.IFFALSE)  # fmt: skip


@cache
def _pairs() -> np.ndarray:
    """Which first two letters (low six bits of each) begin a control word that this scan cares for."""
    pairs = np.zeros((64, 64), np.uint8)
    for word in names.words_of(_MARKED):
        pairs[word[0] & 63, word[1] & 63] = 1
    pairs[ord("i") & 63, ord("f") & 63] = 1
    return pairs


@native
def _line_end(data, position, end):  # type: ignore[no-untyped-def]
    while position + WIDTH <= end:
        count = _until_line_end(data, position)
        position += count
        if count < WIDTH:
            return position
    while position < end and data[position] != 10 and data[position] != 13:
        position += 1
    return position


@native
def _after_newline(data, position):  # type: ignore[no-untyped-def]
    if position < len(data) and data[position] == 13:
        position += 1
        if position < len(data) and data[position] == 10:
            position += 1
        return position
    return min(position + 1, len(data))


@native
def _copy(data, start, end, out, o):  # type: ignore[no-untyped-def]
    """Copies bytes as they are but for the line ends, and returns the new end of the output."""
    position = start
    while position < end:
        byte = data[position]
        if byte == 13:
            if position + 1 < len(data) and data[position + 1] == 10:
                position += 1
                continue
            byte = 10
        if byte >= 32 or byte == 10 or byte == 9:
            out[o] = byte
            o += 1
        position += 1
    return o


@native
def _blank_end(data, position, end):  # type: ignore[no-untyped-def]
    while position < end and (data[position] == 32 or data[position] == 9):
        position += 1
    return position


@native
def _group_end(data, position, stop, max_bytes, lines):  # type: ignore[no-untyped-def]
    """The position after the group {...} or [...] that begins here, -1 where it does not end soon; nothing escapes."""
    close = 125 if data[position] == 123 else 93
    open_ = data[position]
    depth = 0
    end = min(stop, position + max_bytes)
    while position < end:
        byte = data[position]
        if byte == open_:
            depth += 1
        elif byte == close:
            depth -= 1
            if depth == 0:
                return position + 1
        elif byte == 10 or byte == 13:
            lines -= 1
            if lines < 0:
                return -1
        position += 1
    return -1


@native
def _delimited_end(data, position, stop):  # type: ignore[no-untyped-def]
    r"""The position after \verb's text, whose delimiter stands here; -1 where the line ends first."""
    if position >= stop:
        return -1
    first = data[position]
    if first <= 32 or is_letter(first) or first == 42:
        return -1
    width = 1
    if first >= 0xF0:
        width = 4
    elif first >= 0xE0:
        width = 3
    elif first >= 0xC0:
        width = 2
    probe = position + width
    while probe + width <= stop and data[probe] != 10 and data[probe] != 13:
        same = True
        for index in range(width):
            if data[probe + index] != data[position + index]:
                same = False
                break
        if same:
            return probe + width
        probe += 1
    return -1


@native
def verbatim_end(data, code, position, stop):  # type: ignore[no-untyped-def]
    r"""The position after the part that \verb, \url and their kin leave literal, -1 where there is none."""
    if code == _C_VERB and position < stop and data[position] == 42:
        return _delimited_end(data, position + 1, stop)
    if code == _C_VERB:
        return _delimited_end(data, position, stop)
    position = _blank_end(data, position, stop)
    if position < stop and data[position] == 91 and code != _C_URL:
        position = _group_end(data, position, stop, 500, 5)
        if position < 0:
            return -1
    if code == _C_VERB_LANGUAGE:
        if position >= stop or data[position] != 123:
            return -1
        position = _group_end(data, position, stop, 100, 0)
        if position < 0:
            return -1
    if position < stop and data[position] == 123:
        return _group_end(data, position, stop, 4000, 3)
    if code == _C_HREF:
        return -1
    return _delimited_end(data, position, stop)


@native
def find_environment_end(data, start, end, name_start, name_end):  # type: ignore[no-untyped-def]
    r"""The position of \end{name} in data[start:end], -1 where there is none; the name is data[name_start:name_end]."""
    width = name_end - name_start
    last = end - width - 6
    position = start
    while position <= last:
        if (
            data[position] == 92
            and data[position + 1] == 101
            and data[position + 2] == 110
            and data[position + 3] == 100
            and data[position + 4] == 123
            and data[position + 5 + width] == 125
        ):
            same = True
            for index in range(width):
                if data[position + 5 + index] != data[name_start + index]:
                    same = False
                    break
            if same:
                return position
        position += 1
    return -1


@native
def _clean(data, at_letter, classes, pairs, keys, values, out, marks, found):  # type: ignore[no-untyped-def]
    """Writes the file without comments to `out` and marks to `marks`.

    found: [length, number of marks, position of the first sectioning command or -1, whether something is made verbatim]
    """
    size = len(data)
    p = 0
    o = 0
    line_start = 0
    word_end = -1
    num_marks = 0
    num_open = 0
    num_broken = 0
    num_conditions = 0
    found[2] = -1
    wide = True  # no character beyond those that _copy_plain knows is special
    for index in range(256):
        if classes[index] == 5:
            wide = False
    while p < size:
        byte = data[p]
        kind = classes[byte]
        if kind == 0:
            while wide and p + WIDTH <= size:
                count = _copy_plain(data, p, out, o)
                p += count
                o += count
                if count < WIDTH:
                    break
            while p < size and classes[data[p]] == 0:
                out[o] = data[p]
                o += 1
                p += 1
            continue
        if kind == 3:
            if byte == 12:
                out[o] = 10
                o += 1
                p += 1
            else:
                out[o] = 10
                o += 1
                p = _after_newline(data, p)
            line_start = o
            continue
        if kind == 4:
            p += 1
            continue
        if kind == 2:
            p = _after_newline(data, _line_end(data, p, size))
            trimmed = o
            while trimmed > line_start and (out[trimmed - 1] == 32 or out[trimmed - 1] == 9):
                trimmed -= 1
            if trimmed > line_start and trimmed < o and out[trimmed - 1] == 92:
                trimmed += 1  # a control space
            if trimmed == line_start:
                o = trimmed
            elif trimmed < o or word_end == o or ends_in_word(out, o, line_start):
                o = trimmed
                out[o] = 10
                o += 1
                line_start = o
            else:
                p = _blank_end(data, p, size)
                if p < size and (data[p] == 10 or data[p] == 13):
                    out[o] = 10
                    o += 1
                    line_start = o
            continue
        if kind == 5:
            after = _delimited_end(data, p, size)
            if after < 0:
                after = p + 1
            o = _copy(data, p, after, out, o)
            p = after
            continue
        # a control sequence
        start = o
        q = p + 1
        if q >= size:
            out[o] = byte
            o += 1
            p = q
            continue
        first = data[q]
        if not (is_letter(first) or (at_letter and first == 64)):
            out[o] = byte
            o += 1
            p = q
            if first == 92 or first == 37:  # the others cannot be taken for something else
                out[o] = first
                o += 1
                p += 1
                if first == 92:
                    word_end = o
            continue
        if first != 64 and q + 1 < size and pairs[first & 63, data[q + 1] & 63] == 0:
            out[o] = byte
            o += 1
            p = q
            continue
        key = FNV
        while q < size and (is_letter(data[q]) or (at_letter and data[q] == 64)):
            key = (key ^ np.uint64(data[q])) * PRIME
            q += 1
        code = lookup(keys, values, key)
        for index in range(p, q):
            out[o] = data[index]
            o += 1
        if code == 0:
            if q - p > 3 and data[p + 1] == 105 and data[p + 2] == 102 and (q >= size or data[q] != 123):
                num_conditions += 1
            p = q
            continue
        p = q
        if code == _C_BEGIN or code == _C_END:
            name_start = _blank_end(data, q, size)
            if name_start >= size or data[name_start] != 123:
                continue
            name_start += 1
            name_end = name_start
            key = FNV_ENV
            while name_end < size and data[name_end] != 125 and data[name_end] > 32 and name_end - name_start < 64:
                key = (key ^ np.uint64(data[name_end])) * PRIME
                name_end += 1
            if name_end >= size or data[name_end] != 125:
                continue
            o = _copy(data, q, name_end + 1, out, o)
            p = name_end + 1
            word_end = o
            env = lookup(keys, values, key)
            if env == _C_ENV_DOCUMENT:
                if num_marks < len(marks):
                    marks[num_marks, 0] = env if code == _C_BEGIN else -env
                    marks[num_marks, 1] = start
                    marks[num_marks, 2] = o
                    num_marks += 1
            elif code == _C_BEGIN and (env == _C_ENV_VERBATIM or env == _C_ENV_COMMENT) and num_open < _MAX_OPEN:
                end = find_environment_end(data, p, size, name_start, name_end)
                if end < 0:
                    num_open += 1
                    continue
                after = end + (name_end - name_start) + 6
                if env == _C_ENV_VERBATIM:
                    o = _copy(data, p, after, out, o)
                    line_start = o - 1  # a comment that follows does not stand on a line of its own
                    p = after
                    word_end = o
                else:
                    o = start
                    word_end = -1
                    p = after
                    trimmed = o
                    while trimmed > line_start and (out[trimmed - 1] == 32 or out[trimmed - 1] == 9):
                        trimmed -= 1
                    if trimmed == line_start:  # the lines of the environment vanish as those of a comment do
                        probe = _blank_end(data, p, size)
                        if probe < size and (data[probe] == 10 or data[probe] == 13):
                            p = _after_newline(data, probe)
                            o = trimmed
            continue
        if _C_VERB <= code <= _C_HREF:
            after = verbatim_end(data, code, q, size) if num_broken < _MAX_BROKEN else -1
            if after < 0:
                num_broken += 1
            else:
                o = _copy(data, q, after, out, o)
                p = after
                word_end = -1
            continue
        if code == _C_AT_LETTER:
            at_letter = True
            continue
        if code == _C_AT_OTHER:
            at_letter = False
            continue
        if code == _C_IF or code == _C_IFTRUE or code == _C_IFFALSE or code == _C_IFMMODE:
            num_conditions += 1
            continue
        if code == _C_FI:
            num_conditions -= 1
            continue
        if code == _C_SECTION:
            if found[2] < 0:
                found[2] = start
            continue
        if code == _C_VERBATIM_DEFINER:
            found[3] = 1
            continue
        if code == _C_ENDINPUT and num_conditions <= 0:
            blank = True
            for index in range(line_start, start):
                if out[index] != 32 and out[index] != 9:
                    blank = False
                    break
            if blank:
                o = line_start
                break
            continue
        if (_C_INPUT <= code <= _C_CLASS) or code == _C_BIBLIOGRAPHY:
            after = _blank_end(data, q, size)
            if after < size and data[after] == 91 and code != _C_INPUT:
                closed = _group_end(data, after, size, 4000, 60)
                after = _blank_end(data, closed, size) if closed > 0 else after
            if after < size and data[after] == 123:
                after = _group_end(data, after, size, 4000 if code == _C_PACKAGE else _MAX_NAME, 20)
                if after > 0 and (code == _C_IMPORT or code == _C_SUBIMPORT):
                    after = _blank_end(data, after, size)
                    after = _group_end(data, after, size, _MAX_NAME, 0) if after < size and data[after] == 123 else -1
            elif code == _C_INPUT:
                first = after
                while after < size and data[after] > 32 and after - first < _MAX_NAME:
                    if data[after] == 92 or data[after] == 37 or data[after] == 123 or data[after] == 125:
                        break
                    after += 1
                if after == first:
                    after = -1
            else:
                after = -1
            if after > 0 and num_marks < len(marks):
                if code != _C_PACKAGE and code != _C_CLASS:
                    o = _copy(data, q, after, out, o)
                    p = after
                    marks[num_marks, 2] = o
                else:
                    marks[num_marks, 2] = start + (after - q) + (o - start)
                marks[num_marks, 0] = code
                marks[num_marks, 1] = start
                num_marks += 1
                word_end = -1
    found[0] = o
    found[1] = num_marks


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A file without comments, and its marks: code, first byte, byte after the last.

    A mark's code is one of INPUT, IMPORT, SUBIMPORT, IF_FILE, PACKAGE, CLASS, BIBLIOGRAPHY or ENV_DOCUMENT (negative
    where it ends).  `section` is the place of the first sectioning command, -1 where there is none;
    `defines_verbatim` tells that the file makes environments or characters verbatim (see `verbatim_of`).
    """

    text: bytes
    marks: list[list[int]]
    section: int
    defines_verbatim: bool

    def has(self, code: int) -> bool:
        """Whether something of this code is marked."""
        return any(mark[0] == code for mark in self.marks)

    def first(self, code: int) -> int:
        """The place of the first mark of this code, -1 without one."""
        return next((mark[1] for mark in self.marks if mark[0] == code), -1)


_SHORT_VERB = re.compile(rb"\\(?:MakeShortVerb|DefineShortVerb)\s*\*?\{?\\([^a-zA-Z\s])")
_ENVIRONMENT_DEFINER = re.compile(
    rb"\\(?P<how>lstnewenvironment|DefineVerbatimEnvironment|newminted|newtcblisting|excludecomment|newverbatim|"
    rb"RecustomVerbatimEnvironment)\s*(?:\[(?P<option>[^\]\n]{0,60})\])?\s*\{(?P<name>[a-zA-Z*]{1,40})\}"
)


@dataclass(frozen=True, kw_only=True)
class Verbatim:
    r"""What a paper makes verbatim: environments by name (\lstnewenvironment; \excludecomment), and one character."""

    environments: dict[bytes, int]
    character: int = 0


def verbatim_of(data: bytes) -> Verbatim:
    """What a file declares to be verbatim."""
    found: dict[bytes, int] = {}
    for match in _ENVIRONMENT_DEFINER.finditer(data):
        how, name = match["how"], match["name"]
        if how == b"newminted":
            name = match["option"] or name + b"code"
        found[name] = names.ENV_COMMENT if how == b"excludecomment" else names.ENV_VERBATIM
        if len(found) >= 50:
            break
    short = _SHORT_VERB.search(data)
    return Verbatim(environments=found, character=short[1][0] if short else 0)


class _Buffers(threading.local):
    """One output array a thread, used again and again: fresh pages cost as much as the scan itself."""

    out: np.ndarray = np.empty(0, np.uint8)


_BUFFERS = _Buffers()
MAX_BUFFER_BYTES = 32 << 20


def output_buffer(size: int) -> np.ndarray:
    """An array of at least so many bytes, whose contents are good until the next call in this thread."""
    if size > MAX_BUFFER_BYTES:
        return np.empty(size, np.uint8)
    if len(_BUFFERS.out) < size:
        _BUFFERS.out = np.empty(max(size, 1 << 20), np.uint8)
    return _BUFFERS.out


def clean(data: bytes, *, package: bool = False, verbatim: Verbatim | None = None) -> Surface:
    """A file's bytes (UTF-8) without comments.

    `package`: @ is a letter, as in style files.  `verbatim`: what the paper's files declare to be verbatim.
    """
    source = np.frombuffer(data, np.uint8)
    keys, values = names.shared_table()
    if verbatim is not None and verbatim.environments:
        keys, values = names.new_table()
        for name, code in verbatim.environments.items():
            names.put(keys, values, names.fnv(name, names.FNV_ENVIRONMENT), code)
    out = output_buffer(len(source) + 8)
    marks = np.empty((min(MAX_MARKS, len(source) // 8 + 64), 3), np.int64)
    found = np.zeros(4, np.int64)
    classes = _classes(verbatim.character if verbatim is not None else 0)
    _clean(source, package, classes, _pairs(), keys, values, out, marks, found)
    return Surface(
        text=out[: found[0]].tobytes(),
        marks=marks[: found[1]].tolist(),
        section=int(found[2]),
        defines_verbatim=bool(found[3]),
    )
