"""Natively compiled functions, and those that all hashes of words are made with."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

ROLL = np.uint64(
    0x9E3779B97F4A7C15
)  # a step of the rolling hash of n words: 2**64 / golden ratio; any odd 64-bit number does


def native(function: Any, **options: Any) -> Any:
    """The function compiled by Numba, kept on the disk for the next process where there is a place for it."""
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the home folder can anything be written
        return numba.njit(nogil=True, **options)(function)


def native_inline(function: Any) -> Any:
    """The same, put in place of each call of it."""
    return native(function, inline="always")


@native_inline
def mix(value):  # type: ignore[no-untyped-def]
    """splitmix64's finalizer (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@native
def roll(hashes, begin, end, n, out):  # type: ignore[no-untyped-def]
    """Hashes of each n words in a row of hashes[begin:end] into `out`; returns how many."""
    if end - begin < n:
        return 0
    power = np.uint64(1)
    for _ in range(n - 1):
        power *= ROLL
    value = np.uint64(0)
    for index in range(begin, begin + n):
        value = value * ROLL + hashes[index]
    out[0] = mix(value)
    count = 1
    for index in range(begin + n, end):
        value = (value - hashes[index - n] * power) * ROLL + hashes[index]
        out[count] = mix(value)
        count += 1
    return count
