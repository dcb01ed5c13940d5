"""The one native pass over words, shared by near-duplicates and decontamination: Numba over Arrow's byte buffers.

A word is one of
    a run of letters and digits (ASCII) and of all characters beyond ASCII, lower-cased where capital and small letter
    take one or two bytes in UTF-8 (ASCII and all of U+0080-U+07FF: accented Latin, Greek, Cyrillic, ...);
    one operator, for formulas that differ by a sign are different: + - * / = < > ^ | & % ~ @ #; a run of the same one
    counts once, or rulers and comment marks would fill the text.
Everything else (spaces, . , ; : ? ! quotes, brackets, $ _ and the backslash) only separates, so that the same sentence
in Markdown, LaTeX and plain text has the same words.

A word's hash is FNV-1a over its lower-cased bytes, mixed (splitmix64), its two low bits replaced by flags:
    bit 0   the word is an operator
    bit 1   the word holds at least two letters (or one character beyond ASCII)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

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


CLASSES = _byte_classes()
LOWER = _two_byte_lower()

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
# A step of the rolling hash of n words: any odd 64-bit number does; this one is 2**64 / golden ratio.
_ROLL = np.uint64(0x9E3779B97F4A7C15)


def native(function: Any, **options: Any) -> Any:
    """The function compiled by Numba, kept on the disk for the next process where there is a place for it."""
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the home folder can anything be written
        return numba.njit(nogil=True, **options)(function)


def _native_inline(function: Any) -> Any:
    return native(function, inline="always")


@_native_inline
def _mix(value):  # type: ignore[no-untyped-def]
    """splitmix64's finalizer (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@native
def _hash_words(data, offsets, classes, lower, hashes, starts, ends, word_offsets):  # type: ignore[no-untyped-def]
    """Fills the arrays with the words of all documents and returns their number."""
    count = 0
    for document in range(len(offsets) - 1):
        position = offsets[document]
        stop = offsets[document + 1]
        previous_operator = -1
        while position < stop:
            kind = classes[data[position]]
            if kind == _SEPARATOR:
                position += 1
                previous_operator = -1
                continue
            begin = position
            value = _FNV_OFFSET
            if kind == _OPERATOR:
                byte = data[position]
                position += 1
                if byte == previous_operator:
                    continue
                previous_operator = byte
                value = _mix((value ^ np.uint64(byte)) * _FNV_PRIME)
                hashes[count] = (value & ~np.uint64(3)) | np.uint64(OPERATOR_BIT)
            else:
                previous_operator = -1
                letters = 0
                while position < stop:
                    byte = data[position]
                    kind = classes[byte]
                    if kind == _LETTER:
                        value = (value ^ np.uint64(byte | 32)) * _FNV_PRIME
                        letters += 1
                        position += 1
                    elif kind == _DIGIT:
                        value = (value ^ np.uint64(byte)) * _FNV_PRIME
                        position += 1
                    elif kind == _BEYOND:
                        letters += 2
                        if 0xC2 <= byte <= 0xDF and position + 1 < stop:
                            point = lower[((byte & 31) << 6) | (data[position + 1] & 63)]
                            value = (value ^ np.uint64(0xC0 | (point >> 6))) * _FNV_PRIME
                            value = (value ^ np.uint64(0x80 | (point & 63))) * _FNV_PRIME
                            position += 2
                        else:
                            value = (value ^ np.uint64(byte)) * _FNV_PRIME
                            position += 1
                    else:
                        break
                value = _mix(value) & ~np.uint64(3)
                if letters >= 2:
                    value |= np.uint64(LETTERS_BIT)
                hashes[count] = value
            starts[count] = begin
            ends[count] = position
            count += 1
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


def hash_words(data: np.ndarray, offsets: np.ndarray) -> Words:
    """The words of documents that lie one after the other in a UTF-8 buffer, `offsets` (int64) between them."""
    num_bytes = int(offsets[-1] - offsets[0])
    hashes = np.empty(num_bytes, np.uint64)  # no text has more words than bytes; pages that stay unused cost nothing
    starts = np.empty(num_bytes, np.int64)
    ends = np.empty(num_bytes, np.int64)
    word_offsets = np.zeros(len(offsets), np.int64)
    count = _hash_words(data, offsets, CLASSES, LOWER, hashes, starts, ends, word_offsets)
    return Words(
        hashes=hashes[:count].copy(),
        starts=starts[:count].copy(),
        ends=ends[:count].copy(),
        offsets=word_offsets,
        data=data,
    )


def words_of_array(texts: pa.Array) -> Words:
    """The words of an Arrow array of strings without nulls, read where they lie."""
    import pyarrow as pa

    if texts.null_count:
        raise ValueError("the texts must not be null")
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data_buffer = texts.buffers()
    if len(texts) == 0 or data_buffer is None:
        return hash_words(np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64))
    offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return hash_words(np.frombuffer(data_buffer, np.uint8), offsets)


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


@native
def _roll(hashes, begin, end, n, out):  # type: ignore[no-untyped-def]
    """Hashes of each n words in a row of hashes[begin:end] into `out`; returns how many."""
    if end - begin < n:
        return 0
    power = np.uint64(1)
    for _ in range(n - 1):
        power *= _ROLL
    value = np.uint64(0)
    for index in range(begin, begin + n):
        value = value * _ROLL + hashes[index]
    out[0] = _mix(value)
    count = 1
    for index in range(begin + n, end):
        value = (value - hashes[index - n] * power) * _ROLL + hashes[index]
        out[count] = _mix(value)
        count += 1
    return count


def ngram_hashes(words: Words, document: int, n: int) -> np.ndarray:
    """uint64 hashes of each n words in a row of one document, in order; empty where it has fewer."""
    begin, end = int(words.offsets[document]), int(words.offsets[document + 1])
    out = np.empty(max(end - begin - n + 1, 0), np.uint64)
    _roll(words.hashes, begin, end, n, out)
    return out


@cache
def permutations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (odd) and addends (uint32) of `count` permutations of 32-bit numbers."""
    random = np.random.Generator(np.random.PCG64(seed))  # its stream is fixed by numpy's policy for bit generators
    numbers = random.integers(0, 1 << 32, size=(2, count), dtype=np.uint32)
    return numbers[0] | np.uint32(1), numbers[1]


@native
def _minhash(hashes, offsets, n, multipliers, addends, signatures, counts):  # type: ignore[no-untyped-def]
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    shingles = np.empty(longest, np.uint64)
    size = len(multipliers)
    for document in range(len(offsets) - 1):
        signature = signatures[document]
        signature[:] = np.uint32(0xFFFFFFFF)
        count = _roll(hashes, offsets[document], offsets[document + 1], n, shingles)
        counts[document] = count
        for index in range(count):
            value = np.uint32(shingles[index] >> np.uint64(32))
            for k in range(size):
                permuted = np.uint32(value * multipliers[k] + addends[k])
                signature[k] = min(signature[k], permuted)


def minhash(words: Words, n: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """MinHash signatures (uint32 [documents, size]) over shingles of n words, and the number of shingles of each.

    A document without a shingle has the largest number everywhere.  The order of the permuted values is that of
    a*x + b modulo 2**32 with odd a, x 32 well-mixed bits of the shingle's hash.
    """
    multipliers, addends = permutations(size, seed)
    signatures = np.empty((len(words), size), np.uint32)
    counts = np.zeros(len(words), np.int64)
    _minhash(words.hashes, words.offsets, n, multipliers, addends, signatures, counts)
    return signatures, counts


@native
def _band_keys(signatures, bands, rows, keys):  # type: ignore[no-untyped-def]
    for document in range(signatures.shape[0]):
        for band in range(bands):
            value = np.uint64(band + 1)
            for row in range(rows):
                value = _mix(value * _ROLL + np.uint64(signatures[document, band * rows + row]))
            keys[document, band] = value


def band_keys(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [documents, bands]: two documents that agree in all rows of a band have the same key there."""
    keys = np.empty((len(signatures), bands), np.uint64)
    _band_keys(signatures, bands, rows, keys)
    return keys


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
        number = _roll(hashes, offsets[document], offsets[document + 1], n, ngrams)
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
