"""The decorator of this package's compiled functions."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from proof_pile import words

_FILES = ("names", "surface", "groups", "definitions", "calls", "machine")


@cache
def _stamp() -> str:
    """A hash of all code that is compiled, and of what it takes its numbers from."""
    digest = hashlib.blake2b(digest_size=16)
    for name in _FILES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def native(function: Any) -> Any:
    """The function compiled by Numba and kept on the disk for as long as none of these files changes.

    Numba asks only the file that a function stands in, yet its code holds the numbers of `names` and the functions of
    other files as they were when it was compiled: after a change in one of those it ran with the old ones.
    """
    compiled = words.native(function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = _stamp()
    return compiled
