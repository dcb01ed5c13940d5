"""Native look-up of n words in a row of a batch of documents, with memory that no document and no text makes grow.

A document's words pass through a block of fixed size, with as many words of the block before as a match may reach back.
What is found is written into arrays of fixed size; where a batch finds more than they hold, it goes on in a next call,
and a single document with more than MAX_HITS places is cut short there: that is a copy of benchmarks, not a quote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llemma.core.text.native import native
from llemma.core.text.ngram_table import KeyTable, find_keys, native_form
from llemma.core.text.normalized_words import native_tables, read_words

if TYPE_CHECKING:
    pass

MAX_HITS = 1 << 17
BLOCK_WORDS = 1 << 14  # chosen by us: three arrays of so many words stay in a core's own cache


@dataclass(frozen=True, kw_only=True)
class ShortTexts:
    """Texts that are found only as a whole: the words of text i are hashes[offsets[i]:offsets[i + 1]].

    `anchors` is the table of the hashes of their last `min_words` words; `texts` (int64) are the texts of its postings.
    """

    offsets: np.ndarray
    hashes: np.ndarray
    anchors: KeyTable
    texts: np.ndarray

    @property
    def longest(self) -> int:
        """Words of the longest text."""
        return int(np.diff(self.offsets).max(initial=0))


@native
def _scan(data, offsets, first, tables, n, ngrams, m, anchors, anchor_rows, anchor_texts, short, arrays, out, counts):  # type: ignore[no-untyped-def]
    """Scans documents from `first` on; returns the number of the first one that was not scanned to its end.

    counts = (hits, wholes) found.  Rows of `hits`: document, word of the document without operators, first byte, end,
    number of the key.  Rows of `wholes`: document, text, first byte, end.
    """
    short_offsets, short_hashes = short
    hashes, starts, ends, plain_hashes, plain_starts, plain_ends, places, numbers = arrays
    hits, wholes, cut = out
    longest = np.int64(m)
    for text in range(len(short_offsets) - 1):
        longest = max(longest, short_offsets[text + 1] - short_offsets[text])
    num_hits = 0
    num_wholes = 0
    for document in range(first, len(offsets) - 1):
        hits_before, wholes_before = num_hits, num_wholes
        origin, stop = offsets[document], offsets[document + 1]
        position = origin
        kept, plain_kept = np.int64(0), np.int64(0)
        plain_base = np.int64(0)  # number in the document of the first word of `plain`
        full = False
        while position < stop and not full:
            position, count = read_words(data, origin, position, stop, tables, hashes, starts, ends, kept)
            skip = max(kept - m + 1, 0)
            for candidate in range(find_keys(hashes, skip, count, m, anchors, places, numbers)):
                found = numbers[candidate]
                last = skip + places[candidate] + m  # the word after the match
                for row in range(anchor_rows[found], anchor_rows[found + 1]):
                    text = anchor_texts[row]
                    begin, size = short_offsets[text], short_offsets[text + 1] - short_offsets[text]
                    if size > last:
                        continue
                    same = True
                    for word in range(size):
                        if hashes[last - size + word] != short_hashes[begin + word]:
                            same = False
                            break
                    if not same:
                        continue
                    if num_wholes == len(wholes):
                        full = True
                        break
                    wholes[num_wholes, 0] = document
                    wholes[num_wholes, 1] = text
                    wholes[num_wholes, 2] = starts[last - size] - origin
                    wholes[num_wholes, 3] = ends[last - 1] - origin
                    num_wholes += 1
            plain_count = plain_kept
            for index in range(kept, count):
                plain_hashes[plain_count] = hashes[index]  # an operator's place is taken by the word after it
                plain_starts[plain_count] = starts[index]
                plain_ends[plain_count] = ends[index]
                plain_count += np.int64(1 - (hashes[index] & np.uint64(1)))
            for candidate in range(find_keys(plain_hashes, 0, plain_count, n, ngrams, places, numbers)):
                if num_hits == len(hits):
                    full = True
                    break
                index = places[candidate]
                hits[num_hits, 0] = document
                hits[num_hits, 1] = plain_base + index
                hits[num_hits, 2] = plain_starts[index] - origin
                hits[num_hits, 3] = plain_ends[index + n - 1] - origin
                hits[num_hits, 4] = numbers[candidate]
                num_hits += 1
            keep = min(count, longest - 1)
            for index in range(keep):
                hashes[index] = hashes[count - keep + index]
                starts[index] = starts[count - keep + index]
                ends[index] = ends[count - keep + index]
            kept = keep
            keep = min(plain_count, n - 1)
            plain_base += plain_count - keep
            for index in range(keep):
                plain_hashes[index] = plain_hashes[plain_count - keep + index]
                plain_starts[index] = plain_starts[plain_count - keep + index]
                plain_ends[index] = plain_ends[plain_count - keep + index]
            plain_kept = keep
        if full:
            if hits_before or wholes_before:  # others stand before it: it is scanned anew with empty arrays
                counts[0], counts[1] = hits_before, wholes_before
                return document
            cut[document] = True
            counts[0], counts[1] = num_hits, num_wholes
            return document + 1
    counts[0], counts[1] = num_hits, num_wholes
    return len(offsets) - 1


@dataclass(frozen=True, kw_only=True)
class Places:
    """What was found in some documents of a batch: rows of int64, by document and place.

    hits    document, word, first byte, end, number of the key     wholes  document, text, first byte, end
    cut     documents with more places than were looked at
    """

    hits: np.ndarray
    wholes: np.ndarray
    cut: frozenset[int]


def find_places(
    data: np.ndarray, offsets: np.ndarray, *, ngram: int, ngrams: KeyTable, min_words: int, short: ShortTexts
) -> Iterator[Places]:
    """Where documents (UTF-8, `offsets` int64 between them) hold n-grams or whole short texts.

    Each document stands in one of the parts that are given, with all that was found in it.
    """
    room = BLOCK_WORDS + max(short.longest, ngram, min_words) + 64

    def block() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)

    arrays = (*block(), *block(), np.empty(room, np.int64), np.empty(room, np.int64))
    hits, wholes = np.empty((MAX_HITS, 5), np.int64), np.empty((MAX_HITS, 4), np.int64)
    counts = np.zeros(2, np.int64)
    first = 0
    while first < len(offsets) - 1:
        cut = np.zeros(len(offsets) - 1, np.bool_)
        first = _scan(
            data, offsets, first, native_tables(), ngram, native_form(ngrams), min_words, native_form(short.anchors),
            short.anchors.rows, short.texts, (short.offsets, short.hashes), arrays, (hits, wholes, cut), counts,
        )  # fmt: skip
        yield Places(
            hits=hits[: counts[0]].copy(),
            wholes=wholes[: counts[1]].copy(),
            cut=frozenset(np.flatnonzero(cut).tolist()),
        )
