"""Sketches: a few numbers a document that tell how similar two sets of shingles are.

A sketch has `values` bins.  Each shingle falls into one bin by its hash and leaves another part of the hash there; the
smallest stays ("one permutation hashing", Li, Owen, Zhang 2012).  A bin that stays empty, as most do in a short text,
takes the smallest of a permutation of its own over all shingles (plain MinHash, Broder 1997), marked so that the two
kinds never agree.  Either way a bin of two documents agrees with a chance of their Jaccard similarity: look at the bin
in their union.  Long texts pay for one step a shingle instead of one a shingle and value.

Bands are keyed by all bits of their values.  For estimates 8 bits of each value are kept (b-bit minwise hashing, Li and
König 2010): different values agree by chance once in 256 times, which `similarity` takes off.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from llemma.core.text.native import mix, native

SKETCH_VERSION = 1
_EMPTY = np.uint32(0xFFFFFFFF)
_CHANCE = 1 / 256
_STEP = np.uint64(0x9E3779B97F4A7C15)  # any odd number; this is 2**64 / golden ratio


@cache
def permutations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (odd) and addends (uint32) of `count` permutations of 32-bit numbers."""
    random = np.random.Generator(np.random.PCG64(seed))  # its stream is fixed by numpy's policy for bit generators
    numbers = random.integers(0, 1 << 32, size=(2, count), dtype=np.uint32)
    return numbers[0] | np.uint32(1), numbers[1]


@native
def _sketch(shingles, offsets, multipliers, addends, sketches):  # type: ignore[no-untyped-def]
    size = np.uint64(len(multipliers))
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    low = np.empty(longest, np.uint32)
    for document in range(len(offsets) - 1):
        sketch = sketches[document]
        sketch[:] = _EMPTY
        begin = offsets[document]
        count = offsets[document + 1] - begin
        if count == 0:
            continue
        for index in range(count):
            shingle = shingles[begin + index]
            low[index] = np.uint32(shingle)
            place = ((shingle >> np.uint64(32)) * size) >> np.uint64(32)
            sketch[place] = min(sketch[place], np.uint32(shingle) >> np.uint32(1))
        for place in range(len(multipliers)):
            if sketch[place] == _EMPTY:
                smallest = _EMPTY
                for index in range(count):
                    smallest = min(smallest, np.uint32(low[index] * multipliers[place] + addends[place]))
                sketch[place] = (smallest >> np.uint32(1)) | np.uint32(0x80000000)


def make_sketches(shingles: np.ndarray, offsets: np.ndarray, values: int, seed: int) -> np.ndarray:
    """uint32 [documents, values] of sets of shingles (mixed 64-bit hashes, repeats allowed), `offsets` between them.

    A document without a shingle has the largest number everywhere.
    """
    multipliers, addends = permutations(values, seed)
    sketches = np.empty((len(offsets) - 1, values), np.uint32)
    _sketch(shingles, offsets, multipliers, addends, sketches)
    return sketches


@native
def _band_keys(sketches, bands, rows, keys):  # type: ignore[no-untyped-def]
    for document in range(sketches.shape[0]):
        for band in range(bands):
            value = np.uint64(band + 1)
            for row in range(rows):
                value = mix(value * _STEP + np.uint64(sketches[document, band * rows + row]))
            keys[document, band] = value


def band_keys(sketches: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [documents, bands]: two documents that agree in all rows of a band have the same key there."""
    keys = np.empty((len(sketches), bands), np.uint64)
    _band_keys(sketches, bands, rows, keys)
    return keys


@native
def _low_bits(sketches, out):  # type: ignore[no-untyped-def]
    for document in range(sketches.shape[0]):
        for place in range(sketches.shape[1]):
            # A multiplication spreads the value: small ones, as long texts have, would agree in their high bits.
            out[document, place] = np.uint8((sketches[document, place] * np.uint32(0x9E3779B1)) >> np.uint32(24))


def low_bits(sketches: np.ndarray) -> np.ndarray:
    """uint8 [documents, values]: what is kept of each value."""
    out = np.empty(sketches.shape, np.uint8)
    _low_bits(sketches, out)
    return out


@native
def _agreement(sketches, first, second, counts):  # type: ignore[no-untyped-def]
    for pair in range(len(first)):
        a = sketches[first[pair]]
        b = sketches[second[pair]]
        count = 0
        for place in range(len(a)):
            count += a[place] == b[place]
        counts[pair] = count


def similarity(sketches: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity (float32) of pairs of rows of kept bits."""
    counts = np.empty(len(first), np.int64)
    _agreement(sketches, first, second, counts)
    agree = counts / max(sketches.shape[1], 1)
    result: np.ndarray = np.clip((agree - _CHANCE) / (1 - _CHANCE), 0, 1).astype(np.float32)
    return result


def doubt(threshold: float, values: int) -> float:
    """How far from the threshold an estimate must be to be trusted: 3.5 standard errors (chosen by us)."""
    agree = threshold + (1 - threshold) * _CHANCE
    return float(3.5 * np.sqrt(agree * (1 - agree) / values) / (1 - _CHANCE))
