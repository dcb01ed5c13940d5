"""A vocabulary as tables for kernels.py: which characters may be cut apart, and what is merged before what."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from llemma.core.text import kernels
from llemma.core.text.sentencepiece_model import SPACE, PieceType, SentencePieceModel

_SILENT = (PieceType.CONTROL, PieceType.UNKNOWN, PieceType.BYTE)
_CHARACTER_KEY = 0xFFFFFFFF << 32
Table = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Filter, keys and values of an open-addressing table: see kernels.py."""


@dataclass(frozen=True, kw_only=True)
class MergeTable:
    """What kernels.merge_piece has to know of a vocabulary; the arrays are described there."""

    by_bytes: bool
    first_ids: np.ndarray
    byte_ids: np.ndarray
    num_ids: int
    pairs: Table

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The tuple that the kernels take."""
        return self.by_bytes, self.first_ids, self.byte_ids, self.num_ids, self.pairs


@dataclass(frozen=True, kw_only=True)
class JoinedPairs:
    """Pairs of characters that stand side by side in some entry of a vocabulary, for kernels.cut_by_pairs."""

    ascii: np.ndarray
    others: Table


def joined_pairs(model: SentencePieceModel) -> JoinedPairs:
    """The pairs of whatever may come of text, or be merged on the way; a space stands for SPACE."""
    pairs: set[tuple[str, str]] = set()
    for piece in model.pieces:
        if piece.type not in _SILENT:
            pairs.update(itertools.pairwise(piece.text.replace(SPACE, " ")))
    numbers = np.array([(ord(a), ord(b)) for a, b in pairs], np.uint64).reshape(-1, 2)
    table = np.zeros(128 * 128, np.uint8)
    plain = (numbers < 128).all(axis=1)
    table[(numbers[plain, 0] << np.uint64(7)) | numbers[plain, 1]] = 1
    beyond = numbers[~plain]
    keys = np.sort((beyond[:, 0] << np.uint64(32) | beyond[:, 1]) + np.uint64(1))
    return JoinedPairs(ascii=table, others=hash_table(keys, np.zeros(len(keys), np.int64)))


def sentencepiece_merges(model: SentencePieceModel) -> MergeTable | None:
    """The merges of a plain BPE vocabulary with byte fallback; None where SentencePiece has rules that it lacks.

    SentencePiece joins any two neighbours whose text is a piece, that of the highest score first.
    """
    if any(piece.type in (PieceType.USER_DEFINED, PieceType.UNUSED) for piece in model.pieces):
        return None
    ids = {piece.text: number for number, piece in enumerate(model.pieces) if piece.type == PieceType.NORMAL}
    if SPACE not in ids:
        return None
    symbols = dict(ids)
    for character in sorted({character for text in ids for character in text}):
        symbols.setdefault(character, len(model.pieces) + len(symbols) - len(ids))
    scores = np.array([piece.score for piece in model.pieces], np.float64)
    own = scores[list(ids.values())]
    if np.isnan(own).any() or len(set(np.signbit(own[own == 0]).tolist())) == 2:
        return None  # 0.2.3 puts 0.0 before -0.0, where a comparison of numbers finds them equal
    _, ranks = np.unique(-scores, return_inverse=True)
    rank_of = ranks.tolist()
    keys: list[int] = []
    values: list[int] = []
    for text, number in ids.items():
        for cut in range(1, len(text)):
            left, right = symbols.get(text[:cut]), symbols.get(text[cut:])
            if left is not None and right is not None:
                keys.append((left << 32 | right) + 1)
                values.append(rank_of[number] << 32 | number)
    first_ids = np.full(256, -1, np.int32)
    for text, symbol in symbols.items():
        if text == SPACE:
            first_ids[32] = symbol
        elif len(text) == 1 and ord(text) < 128 and text != " ":
            first_ids[ord(text)] = symbol
        elif len(text) == 1 and ord(text) >= 128:
            keys.append((_CHARACTER_KEY | ord(text)) + 1)
            values.append(symbol)
    byte_ids = np.full(256, -1, np.int32)
    for number, piece in enumerate(model.pieces):
        if piece.type == PieceType.BYTE:
            byte_ids[int(piece.text[1:-1], 16)] = number
    if (byte_ids < 0).any():
        return None
    return MergeTable(
        by_bytes=False,
        first_ids=first_ids,
        byte_ids=byte_ids,
        num_ids=len(model.pieces),
        pairs=hash_table(np.array(keys, np.uint64), np.array(values, np.int64)),
    )


def hash_table(keys: np.ndarray, values: np.ndarray) -> Table:
    """An open-addressing table at most half full of keys (uint64, none 0) and values (int64, none negative)."""
    size = 1 << max(4, int(2 * max(len(keys), 1) - 1).bit_length())
    table = np.zeros(size, np.uint8), np.zeros(size, np.uint64), np.zeros(size, np.int64)
    kernels.fill_table(keys, values, *table)
    return table
