"""The one native pass over words, shared by near-duplicates and decontamination: Numba over Arrow's byte buffers.

A word is one of
    a run of letters and digits (ASCII) and of all characters beyond ASCII, lower-cased where capital and small letter
    take one or two bytes in UTF-8 (ASCII and all of U+0080-U+07FF: accented Latin, Greek, Cyrillic, ...);
    one operator, for formulas that differ by a sign are different: + - * / = < > ^ | & % ~ @ #; a run of the same one
    counts once, or rulers and comment marks would fill the text.
Everything else (spaces, . , ; : ? ! quotes, brackets, $ _ and the backslash) only separates, so that the same sentence
in Markdown, LaTeX and plain text has the same words.

A word's hash goes over its lower-cased bytes, eight at a time (little-endian, the last filled up with zeros): each
eight are xor-ed into the hash and that is mixed (splitmix64).  Its two low bits are replaced by flags:
    bit 0   the word is an operator
    bit 1   the word holds at least two letters (or one character beyond ASCII)

The pass goes over each document four times, each time with nothing to guess for the processor: bytes are folded and
classed (16 to 64 at a time), beginnings and ends of words told from neighbouring bytes (the same), their places
written down without a branch, and words hashed by whole 8 bytes.  A loop over bytes that asks what each is runs at
half the speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba.extending import intrinsic

from llemma.core.text.native import mix, native, native_inline, roll
from llemma.core.text.pieces import string_buffers

if TYPE_CHECKING:
    import pyarrow as pa

WORDS_VERSION = 2  # raise it when any word gets another hash: it stands in the parameters of steps that keep hashes
OPERATOR_BIT = 1
LETTERS_BIT = 2
BATCH_BYTES = 16 << 20  # chosen by us: words of a batch take some four times as much memory as its text


_SEPARATOR, _LETTER, _DIGIT, _OPERATOR, _BEYOND = range(5)
_OPERATORS = b"+-*/=<>^|&%~@#"


def _byte_classes() -> np.ndarray:
    classes = np.full(256, _SEPARATOR, np.uint8)
    for byte in range(128):
        character = chr(byte)
        if character.isalpha():
            classes[byte] = _LETTER
        elif character.isdigit():
            classes[byte] = _DIGIT
    classes[list(_OPERATORS)] = _OPERATOR
    classes[128:] = _BEYOND
    return classes


def _two_byte_lower() -> np.ndarray:
    """Lower-cased code point of each code point below U+0800, where that is one below U+0800 too."""
    table = np.arange(0x800, dtype=np.uint16)
    for point in range(0x80, 0x800):
        lower = chr(point).lower()
        if len(lower) == 1 and 0x80 <= ord(lower) < 0x800:
            table[point] = ord(lower)
    return table


CLASSES = _byte_classes()  # for passes over bytes that ask more than where words begin
LOWER = _two_byte_lower()

_SEED = np.uint64(0xCBF29CE484222325)  # any number but 0, which would have the empty word hash to itself


@intrinsic
def _load_8(context, array, place):  # type: ignore[no-untyped-def]
    """The 8 bytes of a uint8 array from a place on, as one number; they need not be aligned."""
    from llvmlite import ir

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        return loaded

    return numba.types.uint64(array, numba.types.int64), code


@intrinsic
def _lowest_bit(context, value):  # type: ignore[no-untyped-def]
    """The place of the lowest bit of a uint64 that is set; 64 where none is."""
    from llvmlite import ir

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return numba.types.uint64(numba.types.uint64), code


@intrinsic
def _count_bits(context, value):  # type: ignore[no-untyped-def]
    """How many bits of a uint64 are set."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return numba.types.int64(numba.types.uint64), code


_U8 = np.uint8
_BLOCK = 64  # bytes whose flags are taken together: as many as a number has bits
_LAST = 2  # the folded text begins behind two zeros, so that the first byte has neighbours


@native_inline
def _is_word(byte):  # type: ignore[no-untyped-def]
    """Whether a folded byte is part of a word: a small letter, a digit, or beyond ASCII."""
    return (_U8(byte - _U8(97)) < _U8(26)) | (_U8(byte - _U8(48)) < _U8(10)) | (byte >= _U8(128))


@native
def _fold(data, text):  # type: ignore[no-untyped-def]
    """Writes small letters, digits, operators and bytes beyond ASCII, 0 for all others; returns the highest byte."""
    high = _U8(0)
    for index in range(len(data)):
        byte = data[index]
        high = max(high, byte)
        small = _U8(byte | _U8(32))
        letter = _U8(small - _U8(97)) < _U8(26)
        operator = (
            (byte == _U8(0x2B)) | (byte == _U8(0x2D)) | (byte == _U8(0x2A)) | (byte == _U8(0x2F))  # + - * /
            | (_U8(byte - _U8(0x3C)) < _U8(3))  # < = >
            | (byte == _U8(0x5E)) | (byte == _U8(0x7C)) | (byte == _U8(0x26)) | (byte == _U8(0x25))  # ^ | & %
            | (byte == _U8(0x7E)) | (byte == _U8(0x40)) | (byte == _U8(0x23))  # ~ @ #
        )  # fmt: skip
        folded = small if letter else byte
        text[index + _LAST] = folded if (_is_word(folded) | operator) else _U8(0)
    return high


@native
def _fold_two_bytes(data, lower, text):  # type: ignore[no-untyped-def]
    """Lower-cases the characters of two bytes."""
    for index in range(len(data) - 1):
        byte = data[index]
        if 0xC2 <= byte <= 0xDF:
            point = lower[((byte & 31) << 6) | (data[index + 1] & 63)]
            text[index + _LAST] = _U8(0xC0 | (point >> 6))
            text[index + _LAST + 1] = _U8(0x80 | (point & 63))


@native
def _flag(text, size, flags):  # type: ignore[no-untyped-def]
    """Bit 0: a word begins with this byte; bit 1: one has ended before it."""
    for index in range(size + 1):
        here = text[index + _LAST]
        before = text[index + _LAST - 1]
        in_word, was_word = _is_word(here), _is_word(before)
        operator, was_operator = (here != _U8(0)) & (not in_word), (before != _U8(0)) & (not was_word)
        begins = (in_word & (not was_word)) | (operator & (here != before))
        ended = (was_word & (not in_word)) | (was_operator & (before != text[index]))
        flags[index] = _U8(begins) | _U8(_U8(ended) << _U8(1))


@native_inline
def _eight_bits(flags):  # type: ignore[no-untyped-def]
    """The lowest bits of 8 bytes, side by side."""
    return ((flags & np.uint64(0x0101010101010101)) * np.uint64(0x0102040810204080)) >> np.uint64(56)


@native_inline
def _write_places(bits, first, places, count):  # type: ignore[no-untyped-def]
    """Writes where bits are set, at `first` and behind it; returns the number of places there are then.

    Eight are written whether there are so many or not, and eight more where there are over eight: how many there are
    can then be guessed (Langdale and Lemire 2019, section 3.1.2).  Places behind the last one are written over.
    """
    number = _count_bits(bits)
    for place in range(count, count + 8):
        places[place] = first + np.int64(_lowest_bit(bits))
        bits &= bits - np.uint64(1)
    if number > 8:
        for place in range(count + 8, count + 16):
            places[place] = first + np.int64(_lowest_bit(bits))
            bits &= bits - np.uint64(1)
        for place in range(count + 16, count + number):
            places[place] = first + np.int64(_lowest_bit(bits))
            bits &= bits - np.uint64(1)
    return count + number


@native_inline
def _chunk(text, begin, size):  # type: ignore[no-untyped-def]
    """Up to 8 bytes of a word, zeros behind them."""
    return _load_8(text, begin) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * min(size, 8)))


@native
def _hash_long_word(text, begin, size):  # type: ignore[no-untyped-def]
    """The hash and its flag of a word of more than 8 bytes."""
    value = _SEED
    letters = np.uint64(0)  # bit 6 of each byte: a letter, where the byte is ASCII
    several = False
    while size > 0:
        chunk = _chunk(text, begin, size)
        value = mix(value ^ chunk)
        here = chunk & np.uint64(0x4040404040404040)
        several |= ((here & (here - np.uint64(1))) != 0) | ((here != 0) & (letters != 0))
        several |= (chunk & np.uint64(0x8080808080808080)) != 0
        letters |= here
        begin += 8
        size -= 8
    return (value & ~np.uint64(3)) | (np.uint64(LETTERS_BIT) if several else np.uint64(0))


@native
def _hash_words(data, offsets, lower, text, flags, hashes, starts, ends, word_offsets):  # type: ignore[no-untyped-def]
    """Fills the arrays with the words of all documents and returns their number.

    `text` has room for the longest document and 18 bytes more, `flags` for 65 bytes more than it, `starts` and `ends`
    for 17 places more than there are bytes.
    """
    text[:_LAST] = 0
    count = np.int64(0)
    for document in range(len(offsets) - 1):
        first = offsets[document]
        size = offsets[document + 1] - first
        here = data[first : first + size]
        high = _fold(here, text)
        if high >= 128:
            _fold_two_bytes(here, lower, text)
        text[size + _LAST] = 0
        _flag(text, size, flags)
        flags[size + 1 : size + 1 + _BLOCK] = 0
        started = ended = np.int64(count)
        for index in range(0, size + 1, _BLOCK):
            begin_bits = end_bits = np.uint64(0)
            for byte in range(0, _BLOCK, 8):
                eight = _load_8(flags, index + byte)
                begin_bits |= _eight_bits(eight) << np.uint64(byte)
                end_bits |= _eight_bits(eight >> np.uint64(1)) << np.uint64(byte)
            started = _write_places(begin_bits, first + index, starts, started)
            ended = _write_places(end_bits, first + index, ends, ended)
        for word in range(count, started):
            begin = starts[word] - first + _LAST
            size_of_word = ends[word] - starts[word]
            if size_of_word > 8:
                hashes[word] = _hash_long_word(text, begin, size_of_word)
                continue
            # Words and operators alike, without a branch: which of them comes next cannot be guessed.
            chunk = _chunk(text, begin, size_of_word)
            letters = chunk & np.uint64(0x4040404040404040)
            beyond = chunk & np.uint64(0x8080808080808080)
            several = ((letters & (letters - np.uint64(1))) != 0) | (beyond != 0)
            flag_bits = np.uint64(several) << np.uint64(1)
            flag_bits = flag_bits if _is_word(text[begin]) else np.uint64(OPERATOR_BIT)
            hashes[word] = (mix(_SEED ^ chunk) & ~np.uint64(3)) | flag_bits
        count = started
        word_offsets[document + 1] = count
    return count


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a batch of documents, as arrays over all of them.

    hashes  uint64 [num_words]          starts, ends  int64 [num_words]   bytes of the word in the batch's buffer
    offsets int64 [num_documents + 1]   words offsets[i]:offsets[i + 1] are document i's
    data    uint8                       the buffer itself
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray
    data: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def text(self, first: int, last: int) -> str:
        """The text from word `first` to word `last` inclusive, as it stands in the document."""
        return bytes(self.data[self.starts[first] : self.ends[last]]).decode("utf-8", "replace")

    def without_operators(self) -> Words:
        """The same documents with only their words of letters and digits."""
        keep = (self.hashes & np.uint64(OPERATOR_BIT)) == 0
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])
        return Words(
            hashes=self.hashes[keep],
            starts=self.starts[keep],
            ends=self.ends[keep],
            offsets=before[self.offsets],
            data=self.data,
        )


class Room:
    """Arrays that are used again and again: fresh memory from the system costs more than a pass over the words.

    What was made in a room is valid until the room is given to the next call of the same function.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str, size: int, dtype: Any) -> np.ndarray:
        """The first `size` places of the array of that name, whatever stands in them."""
        found = self._arrays.get(name)
        if found is None or len(found) < size:
            found = self._arrays[name] = np.empty(size + size // 4, dtype)
        return found[:size]


def hash_words(data: np.ndarray, offsets: np.ndarray, room: Room | None = None) -> Words:
    """The words of documents that lie one after the other in a UTF-8 buffer, `offsets` (int64) between them."""
    num_bytes = int(offsets[-1] - offsets[0])
    longest = int(np.diff(offsets).max(initial=0))
    room = room or Room()
    hashes = room.array("hashes", num_bytes, np.uint64)  # no text has more words than bytes; unused pages cost nothing
    starts = room.array("starts", num_bytes + 17, np.int64)
    ends = room.array("ends", num_bytes + 17, np.int64)
    text = room.array("text", longest + _LAST + 16, np.uint8)
    flags = room.array("flags", longest + 1 + _BLOCK, np.uint8)
    word_offsets = np.zeros(len(offsets), np.int64)
    count = _hash_words(data, offsets, LOWER, text, flags, hashes, starts, ends, word_offsets)
    return Words(
        hashes=hashes[:count],
        starts=starts[:count],
        ends=ends[:count],
        offsets=word_offsets,
        data=data,
    )


def words_of_array(texts: pa.Array, room: Room | None = None) -> Words:
    """The words of an Arrow array of strings without nulls, read where they lie."""
    return hash_words(*string_buffers(texts), room)


def words_of_text(text: str) -> Words:
    """The words of one text."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    return hash_words(data, np.array([0, len(data)], np.int64))


def text_batches(path: str, columns: tuple[str, ...] = ("text",)) -> Iterator[tuple[int, Any]]:
    """The rows of a documents Parquet in batches of about BATCH_BYTES of text, each with its first row's number."""
    import pyarrow.parquet as pq

    first = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(columns))
            size = max(table.nbytes, 1)
            rows = max(1, table.num_rows * BATCH_BYTES // size)
            for start in range(0, table.num_rows, rows):
                for batch in table.slice(start, rows).combine_chunks().to_batches():
                    yield first, batch
                    first += batch.num_rows


# ---------------------------------------------------------------- n words in a row


def ngram_hashes(words: Words, document: int, n: int) -> np.ndarray:
    """uint64 hashes of each n words in a row of one document, in order; empty where it has fewer."""
    begin, end = int(words.offsets[document]), int(words.offsets[document + 1])
    out = np.empty(max(end - begin - n + 1, 0), np.uint64)
    roll(words.hashes, begin, end, n, out)
    return out


@native
def _roll_all(hashes, offsets, n, out, out_offsets):  # type: ignore[no-untyped-def]
    for document in range(len(offsets) - 1):
        begin = out_offsets[document]
        out_offsets[document + 1] = begin + roll(hashes, offsets[document], offsets[document + 1], n, out[begin:])


def all_ngram_hashes(words: Words, n: int, room: Room | None = None) -> tuple[np.ndarray, np.ndarray]:
    """uint64 hashes of each n words in a row of all documents, and the int64 offsets between documents."""
    out = (room or Room()).array("ngrams", len(words.hashes), np.uint64)
    offsets = np.zeros(len(words) + 1, np.int64)
    _roll_all(words.hashes, words.offsets, n, out, offsets)
    return out[: offsets[-1]], offsets


# ---------------------------------------------------------------- looking n-grams up


@native
def _fill_table(keys, table):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    for key in keys:
        slot = key & mask
        while table[slot] != 0 and table[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = key


@native
def _find(hashes, offsets, n, table, found_document, found_word, found_key):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    ngrams = np.empty(longest, np.uint64)
    count = 0
    for document in range(len(offsets) - 1):
        number = roll(hashes, offsets[document], offsets[document + 1], n, ngrams)
        for index in range(number):
            key = ngrams[index]
            slot = key & mask
            while table[slot] != 0:
                if table[slot] == key:
                    if count < len(found_key):
                        found_document[count] = document
                        found_word[count] = offsets[document] + index
                        found_key[count] = key
                    count += 1
                    break
                slot = (slot + np.uint64(1)) & mask
    return count


def lookup_table(keys: np.ndarray) -> np.ndarray:
    """An open-addressing table (uint64, 0 = free) at most a quarter full that holds these keys."""
    size = 1 << max(4, int(4 * max(len(keys), 1) - 1).bit_length())
    table = np.zeros(size, np.uint64)
    _fill_table(keys[keys != 0], table)
    return table


def find_ngrams(words: Words, n: int, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where n words in a row have a hash in the table: (document, first word, hash), in order of the text."""
    room = 1024
    while True:
        documents = np.empty(room, np.int64)
        firsts = np.empty(room, np.int64)
        keys = np.empty(room, np.uint64)
        count = _find(words.hashes, words.offsets, n, table, documents, firsts, keys)
        if count <= room:
            return documents[:count], firsts[:count], keys[:count]
        room = int(count)
