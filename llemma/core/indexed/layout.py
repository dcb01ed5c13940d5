"""The on-disk layout of Megatron's indexed token files: `prefix.bin` and `prefix.idx`.

prefix.bin    the tokens of all sequences one after the other, nothing else
prefix.idx    all numbers little endian:
    bytes 0-8      magic "MMIDIDX\\0\\0"
    bytes 9-16     version, uint64 = 1
    byte  17       code of the token type, uint8 (see TOKEN_TYPES)
    bytes 18-25    number of sequences n, uint64
    bytes 26-33    number of document boundaries d, uint64 (documents + 1)
    4 n bytes      sequence lengths in tokens, int32
    8 n bytes      byte offset of each sequence in the .bin, int64
    8 d bytes      first sequence of each document, then n, int64

Source: GPT-NeoX megatron/data/indexed_dataset.py at ea7aefd8 (MMapIndexedDataset) and megatron-core 0.16.1
datasets/indexed_dataset.py.  The codes 6 and 7 (float32 and float64) are swapped between those two, so that
files of floats cannot be told apart: they are refused here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER_BYTES = 34

TOKEN_TYPES: dict[int, np.dtype] = {
    1: np.dtype("uint8"),
    2: np.dtype("int8"),
    3: np.dtype("<i2"),
    4: np.dtype("<i4"),
    5: np.dtype("<i8"),
    8: np.dtype("<u2"),
}
SWAPPED_FLOAT_CODES = (6, 7)


def bin_path(prefix: str | Path) -> Path:
    """The token file of a prefix; the prefix may hold dots."""
    return Path(f"{prefix}.bin")


def idx_path(prefix: str | Path) -> Path:
    """The index file of a prefix; the prefix may hold dots."""
    return Path(f"{prefix}.idx")


def code_of(dtype: np.dtype) -> int:
    """The code that stands for a token type in the .idx. Raises ValueError for a type that has none here."""
    for code, known in TOKEN_TYPES.items():
        if known == dtype:
            return code
    known_names = ", ".join(str(known) for known in TOKEN_TYPES.values())
    raise ValueError(f"tokens cannot be stored as {dtype}: use one of {known_names}")


def best_dtype(vocab_size: int) -> np.dtype:
    """uint16 for vocabularies below 65,500 entries, int32 for larger ones.

    Source: Megatron's own rule, `DType.optimal_dtype` in megatron-core 0.16.1.
    """
    if vocab_size < 1:
        raise ValueError(f"vocab_size is {vocab_size}, but must be at least 1")
    return np.dtype(np.uint16) if vocab_size < 65500 else np.dtype(np.int32)
