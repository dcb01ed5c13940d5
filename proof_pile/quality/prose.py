r"""What a model is shown of a text: prose without formulas, LaTeX and code, and a classifier's words.  Numba on bytes.

`prose` takes out
    formulas        $...$ (pandoc's rule: no space inside at either end, no digit after it, no empty line), $$...$$,
                    \(...\), \[...\] and the environments of ENVIRONMENTS; what has no end within LIMITS stays as text
    commands        \name, its [options] and the braces of its {arguments}; the arguments stay, but for \ref, \label
                    and the like; \begin{name} and \end{name}; an escaped sign (\%) stays without its backslash
    code            fenced blocks and `inline code` of Markdown, the verbatim environments of LaTeX
    comments        from % to the end of the line, for LaTeX source alone
    addresses       words that begin with http:// or https:// or www.
each of them as asked for by flags.  `words` then writes the words of a classifier, a space between two:
    letters lower-cased where words.LOWER says so; each digit a 0, at most four in a row; ASCII punctuation and
    mathematical signs (U+2190-U+22FF, U+2A00-U+2AFF) as words of their own, a run of the same one once; other
    punctuation (U+2000-U+206F) and $ \ ~ ' _ only separate; line breaks as the word <EOS>, a run of them once.
MegaMath's released normaliser collapses all white space first and looks for line breaks to write as <EOS> afterwards,
so its classifier never sees one; here breaks are seen before spaces are put in order.
"""

from __future__ import annotations

import numpy as np

from llemma.core.text.native import native
from proof_pile.words import LOWER

FORMULAS, COMMANDS, CODE, COMMENTS, ADDRESSES = 1, 2, 4, 8, 16
EVERYTHING = FORMULAS | COMMANDS | CODE | ADDRESSES
# Bytes within which a formula or code must end: inline, displayed, an environment, inline code, a block of code.
LIMITS = np.array([1_000, 20_000, 100_000, 500, 1_000_000], np.int64)
NORMALISATION = "words-1"  # the name under which a model's record says what `words` did; raise it with the rules above

_FORMULA_NAMES = (
    "equation align alignat flalign gather multline eqnarray displaymath math subequations dmath array matrix "
    "tikzpicture tikzcd CD prooftree"
)
_CODE_NAMES = "verbatim Verbatim lstlisting minted alltt code comment"
ENVIRONMENTS = tuple(f"{_FORMULA_NAMES} {_CODE_NAMES}".split())
# Commands whose argument is no prose.
_SILENT_NAMES = (
    "ref eqref cref Cref autoref pageref label cite citep citet citeauthor nocite bibliography bibliographystyle "
    "documentclass usepackage input include includegraphics url href newcommand renewcommand providecommand def "
    "newtheorem theoremstyle newenvironment DeclareMathOperator vspace hspace setlength setcounter color textcolor "
    "pagestyle thispagestyle hypersetup graphicspath tag index begin end"
)
EOS_WORD = np.frombuffer(b"<EOS>", np.uint8)
_MAX_WORD = 60  # chosen by us: a longer run of letters is data (base64, a checksum); the rest of it is left out
_MAX_DIGITS = 4


def _packed(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(names) + 1, np.int64)
    np.cumsum([len(name) for name in names], out=offsets[1:])
    return np.frombuffer("".join(names).encode(), np.uint8), offsets


_ENVIRONMENT_BYTES, _ENVIRONMENT_OFFSETS = _packed(ENVIRONMENTS)
_SILENT_BYTES, _SILENT_OFFSETS = _packed(tuple(_SILENT_NAMES.split()))
_NUM_FORMULA_ENVIRONMENTS = len(_FORMULA_NAMES.split())


@native
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= (byte | 32) <= 122


@native
def _name_number(data, begin, stop, names, offsets):  # type: ignore[no-untyped-def]
    """Which of the names stands there, -1 for none."""
    for number in range(len(offsets) - 1):
        size = offsets[number + 1] - offsets[number]
        if size == stop - begin:
            same = True
            for k in range(size):
                if data[begin + k] != names[offsets[number] + k]:
                    same = False
                    break
            if same:
                return number
    return -1


@native
def _find_pair(data, begin, stop, first, second):  # type: ignore[no-untyped-def]
    """Where two bytes next stand beside each other, not after a backslash of their own; -1 where they do not."""
    position = begin
    while position + 1 < stop:
        if data[position] == first and data[position + 1] == second:
            return position
        position += 2 if data[position] == 92 and first != 92 else 1
    return -1


@native
def _inline_end(data, begin, stop):  # type: ignore[no-untyped-def]
    """Where the $ stands that closes a formula which begins at `begin`, behind its own $; -1 for none."""
    position = begin
    while position < stop:
        byte = data[position]
        if byte == 92:
            position += 2
            continue
        if byte == 10 and position + 1 < stop and data[position + 1] == 10:
            return -1
        if byte == 36:
            before = data[position - 1]
            after_digit = position + 1 < len(data) and 48 <= data[position + 1] <= 57
            if before != 32 and before != 10 and not after_digit:
                return position
        position += 1
    return -1


@native
def _environment_end(data, begin, stop, name, name_stop):  # type: ignore[no-untyped-def]
    """Behind the \\end{name} of the environment whose name stands at data[name:name_stop]; -1 for none."""
    size = name_stop - name
    position = begin
    while position + size + 6 <= stop:
        if (
            data[position] == 92
            and data[position + 1] == 101
            and data[position + 2] == 110
            and data[position + 3] == 100
            and data[position + 4] == 123
        ):
            same = data[position + 5 + size] == 125
            for k in range(size):
                if data[position + 5 + k] != data[name + k]:
                    same = False
                    break
            if same:
                return position + size + 6
        position += 1
    return -1


@native
def _fence_end(data, begin, stop, ticks):  # type: ignore[no-untyped-def]
    """Behind a run of exactly so many backticks; -1 for none."""
    position = begin
    while position < stop:
        if data[position] != 96:
            position += 1
            continue
        first = position
        while position < stop and data[position] == 96:
            position += 1
        if position - first == ticks:
            return position
    return -1


@native
def _skip_group(data, begin, stop, opening, closing):  # type: ignore[no-untyped-def]
    """Behind the bracket that closes the one at `begin`, within 1,000 bytes; `begin` itself where there is none."""
    depth = 0
    for position in range(begin, min(stop, begin + 1000)):
        if data[position] == opening:
            depth += 1
        elif data[position] == closing:
            depth -= 1
            if depth == 0:
                return position + 1
    return begin


@native
def _put(out, count, mark, size):  # type: ignore[no-untyped-def]
    """Writes a mark (or a space) where something was taken out."""
    if size == 0:
        out[count] = 32
        return count + 1
    for k in range(size):
        out[count + k] = mark[k]
    return count + size


@native
def _prose(  # type: ignore[no-untyped-def]
    data,
    begin,
    stop,
    flags,
    limits,
    environments,
    environment_offsets,
    num_formulas,
    silent,
    silent_offsets,
    formula_mark,
    code_mark,
    out,
):
    """Writes data[begin:stop] without what the flags take out; returns (bytes written, formulas, pieces of code).

    A mark may be longer than what it stands for by at most its own size a formula: `out` has room for that.
    """
    count = 0
    formulas = 0
    codes = 0
    open_braces = np.zeros(64, np.bool_)  # True: the closing brace goes too
    depth = 0
    # Up to where an ending was looked for in vain: without it a text of nothing but beginnings would take square time.
    num_environments = len(environment_offsets) - 1
    in_vain = np.zeros(3 + 2 * num_environments, np.int64)
    position = begin
    while position < stop:
        byte = data[position]
        next_ = data[position + 1] if position + 1 < stop else 0
        if byte == 92:  # a backslash
            if flags & FORMULAS and (next_ == 40 or next_ == 91):
                kind = 0 if next_ == 40 else 1
                until = min(stop, position + limits[kind])
                end = _find_pair(data, max(position + 2, in_vain[kind]), until, 92, next_ + 1 + kind)
                if end < 0:
                    in_vain[kind] = max(in_vain[kind], until - 1)
                else:
                    count = _put(out, count, formula_mark, len(formula_mark))
                    formulas += 1
                    position = end + 2
                    continue
            if not flags & COMMANDS and not flags & FORMULAS:
                out[count] = byte
                count += 1
                position += 1
                continue
            if not _is_letter(next_):
                if next_ == 92 or next_ == 0:
                    out[count] = 32
                    count += 1
                elif next_ < 128:
                    out[count] = 32 if next_ == 44 or next_ == 59 or next_ == 33 else next_
                    count += 1
                else:
                    position -= 1  # a character of several bytes is left to the next round
                position += 2
                continue
            name = position + 1
            end = name
            while end < stop and _is_letter(data[end]):
                end += 1
            is_begin = (
                end - name == 5
                and data[name] == 98
                and data[name + 1] == 101
                and data[name + 2] == 103
                and data[name + 3] == 105
                and data[name + 4] == 110
            )
            if is_begin and end < stop and data[end] == 123:
                close = end + 1
                while close < stop and close < end + 40 and data[close] != 125:
                    close += 1
                bare = close - 1 if close > end + 1 and data[close - 1] == 42 else close
                number = _name_number(data, end + 1, bare, environments, environment_offsets)
                is_formula = 0 <= number < num_formulas and flags & FORMULAS
                is_code = number >= num_formulas and flags & CODE
                if (is_formula or is_code) and close < stop:
                    kind = 3 + 2 * number + (1 if bare < close else 0)
                    until = min(stop, close + limits[2])
                    after = _environment_end(data, max(close, in_vain[kind]), until, end + 1, close)
                    if after < 0:
                        in_vain[kind] = max(in_vain[kind], until - 46)
                    else:
                        if is_formula:
                            count = _put(out, count, formula_mark, len(formula_mark))
                            formulas += 1
                        else:
                            count = _put(out, count, code_mark, len(code_mark))
                            codes += 1
                        position = after
                        continue
            if not flags & COMMANDS:
                out[count] = byte
                count += 1
                position += 1
                continue
            out[count] = 32
            count += 1
            is_silent = _name_number(data, name, end, silent, silent_offsets) >= 0
            if end < stop and data[end] == 42:
                end += 1
            if end < stop and data[end] == 91:
                end = _skip_group(data, end, stop, 91, 93)
            if end < stop and data[end] == 123:
                if is_silent:
                    end = _skip_group(data, end, stop, 123, 125)
                elif depth < 64:
                    open_braces[depth] = True
                    depth += 1
                    end += 1
            position = end
            continue
        if byte == 36 and flags & FORMULAS:  # a dollar
            if next_ == 36:
                until = min(stop, position + limits[1])
                end = _find_pair(data, max(position + 2, in_vain[2]), until, 36, 36)
                if end < 0:
                    in_vain[2] = max(in_vain[2], until - 1)
                else:
                    count = _put(out, count, formula_mark, len(formula_mark))
                    formulas += 1
                    position = end + 2
                    continue
            elif next_ > 32:
                end = _inline_end(data, position + 1, min(stop, position + limits[0]))
                if end > position + 1:
                    count = _put(out, count, formula_mark, len(formula_mark))
                    formulas += 1
                    position = end + 1
                    continue
        elif byte == 96 and flags & CODE:  # a backtick
            ticks = 0
            while position + ticks < stop and data[position + ticks] == 96:
                ticks += 1
            limit = limits[4] if ticks >= 3 else limits[3]
            end = _fence_end(data, position + ticks, min(stop, position + limit), ticks)
            if end >= 0:
                count = _put(out, count, code_mark, len(code_mark))
                codes += 1
                position = end
                continue
            for _ in range(ticks):
                out[count] = 96
                count += 1
            position += ticks
            continue
        elif byte == 37 and flags & COMMENTS:  # a percent sign
            while position < stop and data[position] != 10:
                position += 1
            continue
        elif byte == 123 and flags & COMMANDS:
            if depth < 64:
                open_braces[depth] = False
                depth += 1
        elif byte == 125 and flags & COMMANDS:
            if depth > 0:
                depth -= 1
                if open_braces[depth]:
                    position += 1
                    continue
        elif (byte == 104 or byte == 119) and flags & ADDRESSES and position + 4 < stop:
            at_start = position == begin or not _is_letter(data[position - 1])
            is_http = byte == 104 and next_ == 116 and data[position + 2] == 116 and data[position + 3] == 112
            is_www = byte == 119 and next_ == 119 and data[position + 2] == 119 and data[position + 3] == 46
            is_url = is_http and (data[position + 4] == 58 or data[position + 4] == 115)
            if at_start and (is_url or is_www):
                end = position
                while end < stop and data[end] > 32 and data[end] != 41 and data[end] != 62 and data[end] != 34:
                    end += 1
                out[count] = 32
                count += 1
                position = end
                continue
        out[count] = byte
        count += 1
        position += 1
    return count, formulas, codes


@native
def _words(data, begin, stop, lower, eos, out):  # type: ignore[no-untyped-def]
    """Writes the classifier's words of data[begin:stop]; returns the bytes written."""
    count = 0
    position = begin
    size = 0  # bytes of the word that is being written, 0 between words
    digits = 0
    previous = -1  # the sign before, for runs
    breaks = False
    while position < stop:
        byte = data[position]
        if byte == 10 or byte == 13:
            breaks = True
        is_word = _is_letter(byte) or 48 <= byte <= 57
        width = 1
        symbol = 0  # bytes of a sign that is a word of its own
        if not is_word:
            if byte < 128:
                if byte > 32 and byte != 127 and byte not in (36, 92, 126, 39, 95):
                    symbol = 1
            elif byte == 0xE2 and position + 2 < stop:
                second = data[position + 1]
                width = 3
                if second == 0x86 or second == 0x87 or 0x88 <= second <= 0x8B or 0xA8 <= second <= 0xAB:
                    symbol = 3
                elif second != 0x80 and second != 0x81:
                    is_word = True
            elif byte == 0xC2 and position + 1 < stop and data[position + 1] == 0xA0:
                width = 2
            else:
                is_word = True
                width = 2 if 0xC2 <= byte <= 0xDF else 3 if 0xE0 <= byte <= 0xEF else 4 if byte >= 0xF0 else 1
                if position + width > stop:
                    width = stop - position
        if breaks and (is_word or symbol):
            if count > 0:
                out[count] = 32
                count += 1
                for k in range(len(eos)):
                    out[count + k] = eos[k]
                count += len(eos)
                size = 0
                previous = -1
            breaks = False
            if count > 0:
                out[count] = 32
                count += 1
        elif (is_word and size == 0 and count > 0) or (symbol and count > 0):
            if symbol and previous == byte and symbol == 1:
                position += 1
                continue
            out[count] = 32
            count += 1
        if is_word:
            previous = -1
            if 48 <= byte <= 57:
                digits += 1
                if digits <= _MAX_DIGITS and size < _MAX_WORD:
                    out[count] = 48
                    count += 1
                size += 1
            else:
                digits = 0
                if size + width <= _MAX_WORD:
                    if width == 1 and byte < 128:
                        out[count] = byte | 32
                    elif width == 2:
                        point = lower[((byte & 31) << 6) | (data[position + 1] & 63)]
                        out[count] = 0xC0 | (point >> 6)
                        out[count + 1] = 0x80 | (point & 63)
                    else:
                        for k in range(width):
                            out[count + k] = data[position + k]
                    count += width
                size += width
        else:
            size = 0
            digits = 0
            previous = byte if symbol else -1
            for k in range(symbol):
                out[count + k] = data[position + k]
            count += symbol
        position += width
    return count


_NOTHING = np.zeros(0, np.uint8)
_EQUATION_MARK = np.frombuffer(b" [EQUATION] ", np.uint8)
_CODE_MARK = np.frombuffer(b" [CODE] ", np.uint8)


def bytes_of(text: str) -> np.ndarray:
    """A text's UTF-8 bytes."""
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8)


def prose(data: np.ndarray, flags: int = EVERYTHING, *, marked: bool = False) -> tuple[np.ndarray, int, int]:
    """The text without what the flags name, and how many formulas and pieces of code were taken out.

    With `marked`, [EQUATION] and [CODE] stand where they were, else a space.
    """
    marks = (_EQUATION_MARK, _CODE_MARK) if marked else (_NOTHING, _NOTHING)
    # The shortest formula is 3 bytes ($x$), the shortest code 2 (``): a mark is at most 6 times as long.
    out = np.empty((6 if marked else 1) * len(data) + 16, np.uint8)
    count, formulas, codes = _prose(
        data, 0, len(data), flags, LIMITS, _ENVIRONMENT_BYTES, _ENVIRONMENT_OFFSETS, _NUM_FORMULA_ENVIRONMENTS,
        _SILENT_BYTES, _SILENT_OFFSETS, *marks, out
    )  # fmt: skip
    return out[:count], int(formulas), int(codes)


def words(data: np.ndarray) -> np.ndarray:
    """The classifier's words of a text, as one line of bytes."""
    # A sign takes itself and a space; a break takes one byte for seven, but only between other words.
    out = np.empty(5 * len(data) + 16, np.uint8)
    return out[: _words(data, 0, len(data), LOWER, EOS_WORD, out)]


def prose_text(text: str, flags: int = EVERYTHING) -> str:
    """`prose` of a text as a text."""
    return prose(bytes_of(text), flags)[0].tobytes().decode("utf-8", "replace")


def words_text(text: str) -> str:
    """`words` of a text as a text."""
    return words(bytes_of(text)).tobytes().decode("utf-8", "replace")
