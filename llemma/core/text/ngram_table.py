"""Which n words in a row are looked for: a table of their hashes, and the native look-up of a row of words in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llemma.core.text.native import ROLL, mix, native

_BITS_PER_KEY = 16  # of the first, small filter: about one word in sixteen gets past it


@dataclass(frozen=True, kw_only=True)
class KeyTable:
    """Which hashes are looked for, and where each stands among the postings, which are sorted by hash.

    keys   uint64 [k]      each once, sorted            rows  int64 [k + 1]   postings of key i are rows[i]:rows[i + 1]
    slots  uint32 [2**a]   number of a key plus one, 0 = free: open addressing, at most half full
    bits   uint8  [2**b]   one bit a hash, by its upper bits
    """

    keys: np.ndarray
    rows: np.ndarray
    slots: np.ndarray
    bits: np.ndarray


@native
def _fill(keys, slots, bits, shift):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for number in range(len(keys)):
        key = keys[number]
        slot = key & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number + 1
        place = key >> shift
        bits[place >> np.uint64(3)] |= np.uint8(1 << (place & np.uint64(7)))


def _log2_at_least(value: int) -> int:
    return max(int(value) - 1, 1).bit_length()


def key_table(keys: np.ndarray) -> KeyTable:
    """The table of a sorted array of hashes, one a posting."""
    unique, first = np.unique(keys, return_index=True)
    rows = np.append(first, len(keys)).astype(np.int64)
    slots = np.zeros(1 << _log2_at_least(2 * len(unique) + 16), np.uint32)
    log_bits = max(_log2_at_least(_BITS_PER_KEY * len(unique)), 12)
    bits = np.zeros(1 << (log_bits - 3), np.uint8)
    _fill(unique, slots, bits, np.uint64(64 - log_bits))
    return KeyTable(keys=unique, rows=rows, slots=slots, bits=bits)


@native
def number_of(key, keys, slots):  # type: ignore[no-untyped-def]
    """The number of a key in the table, -1 where it is not in it."""
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot] != 0:
        number = np.int64(slots[slot]) - 1
        if keys[number] == key:
            return number
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@native
def find_keys(hashes, begin, end, n, table, places, numbers):  # type: ignore[no-untyped-def]
    """Which n words in a row of hashes[begin:end] are keys: where each begins, after `begin`, and the key's number.

    Returns how many there are.
    """
    keys, slots, bits, shift = table
    if end - begin < n or len(keys) == 0:
        return 0
    found = 0
    power = np.uint64(1)
    for _ in range(n - 1):
        power *= ROLL
    value = np.uint64(0)
    for index in range(begin, begin + n - 1):
        value = value * ROLL + hashes[index]
    for index in range(begin + n - 1, end):
        value = value * ROLL + hashes[index]
        key = mix(value)
        value -= hashes[index - n + 1] * power
        place = key >> shift
        if bits[place >> np.uint64(3)] & np.uint8(1 << (place & np.uint64(7))) == 0:
            continue
        number = number_of(key, keys, slots)
        if number >= 0:
            places[found] = index - n + 1 - begin
            numbers[found] = number
            found += 1
    return found


def native_form(table: KeyTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.uint64]:
    """The table as native code takes it."""
    return (table.keys, table.slots, table.bits, np.uint64(64 - _log2_at_least(8 * len(table.bits))))
