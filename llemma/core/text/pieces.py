"""Many documents to ids at once: text is cut into pieces whose ids do not depend on each other, and these are cached.

    encoder.encode(data, offsets, dtype, eod) -> EncodedBatch

Whoever makes a PieceEncoder says how to cut (kernels.cut_by_pairs for SentencePiece vocabularies,
pretoken_kernels.cut_by_rules for byte-level ones), how pieces are merged, and who encodes what cannot be merged here.
On mathematical text and programs some 96 % of the bytes lie in pieces that have been seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llemma.core.text import kernels
from llemma.core.text.merges import MergeTable, hash_table, joined_pairs, sentencepiece_merges
from llemma.core.text.sentencepiece_model import SPACE, SentencePieceModel

MAX_PIECE_BYTES = 1 << 20
"""What has no place to cut for so long is cut here all the same: memory must stay bounded on any text."""
MAX_CACHED_PIECES = 1 << 19  # chosen by us: with the arenas below about 60 MB when full, then it starts anew
_KEY_BYTES = 12 << 20
_NUM_IDS = 4 << 20
_WINDOW_PIECES = 1 << 17  # cut and encoded at a time
_MAX_PENDING = 1 << 12

Cut = Callable[[np.ndarray, np.ndarray, int, int, np.ndarray], tuple[int, int, int]]
"""(data, offsets, document, byte, ends) -> (pieces, document, byte): fills `ends` from there on."""


@dataclass(frozen=True, kw_only=True)
class EncodedBatch:
    """The ids of many documents in one row, and the number of each document's ids."""

    tokens: np.ndarray
    lengths: np.ndarray

    def documents(self) -> list[np.ndarray]:
        """The ids of each document, as views."""
        ends = np.cumsum(self.lengths)
        return [self.tokens[end - length : end] for end, length in zip(ends, self.lengths, strict=True)]


class PieceEncoder:
    """Cuts, looks up and merges; holds the cache.  The ids do not depend on what the cache holds.

    `merges` None: every new piece is given to `encode_new` (as text, with spaces as they are).  `prefix`: a byte put
    before each document that is not empty, or -1.  `whole`: pieces that are one token whatever merging would give.
    """

    def __init__(
        self,
        cut: Cut,
        merges: MergeTable | None,
        encode_new: Callable[[list[str]], Sequence[Sequence[int]]],
        *,
        prefix: int,
        max_pieces: int = MAX_CACHED_PIECES,
        whole: Sequence[tuple[bytes, int]] = (),
    ) -> None:
        self._cut = cut
        self._merging = merges is not None
        self._merges = (merges or _no_merges()).arguments
        self._encode_new = encode_new
        self._prefix = prefix
        self._whole = whole
        slots = 1 << (2 * max_pieces - 1).bit_length()
        self._tiny = np.full(256 + 65536, -1, np.int32)
        self._short = np.zeros((slots, 2), np.uint64)
        self._slot_hashes = np.zeros(slots, np.uint64)
        self._slot_entries = np.full(slots, -1, np.int32)
        self._entries = np.zeros((max_pieces, 4), np.int32)
        self._keys = np.zeros(max(_KEY_BYTES, 2 * MAX_PIECE_BYTES), np.uint8)
        self._ids = np.zeros(_NUM_IDS, np.int32)
        self._ends = np.empty(_WINDOW_PIECES, np.int64)
        self._pending = np.empty((_MAX_PENDING, 3), np.int64)
        self._work = np.empty((3, kernels.MAX_MERGED_BYTES), np.int64)
        self._state = np.zeros(kernels.NUM_STATES, np.int64)
        self._put_whole()

    def encode(
        self, data: np.ndarray, offsets: np.ndarray, dtype: npt.DTypeLike = np.int32, eod: int = -1
    ) -> EncodedBatch:
        """Ids of documents that lie in a buffer of valid UTF-8, `offsets` (int64) between them; `eod` after each."""
        num_documents = len(offsets) - 1
        joined = np.empty(int(offsets[-1] - offsets[0]) + num_documents, np.uint8)
        joined_offsets = np.zeros(num_documents + 1, np.int64)
        kernels.join_documents(data, offsets, self._prefix, joined, joined_offsets)
        # A space may become three bytes of U+2581 in a vocabulary without it. Pages that stay unused cost nothing.
        out = np.empty((1 if self._merging else 3) * len(joined) + num_documents, dtype)
        lengths = np.zeros(num_documents, np.int64)
        state = self._state
        for name in (kernels.BYTE, kernels.OUT, kernels.DOCUMENT, kernels.OUT_OF_DOCUMENT):
            state[name] = 0
        document = position = 0
        while document < num_documents:
            count, document, position = self._cut(joined, joined_offsets, document, position, self._ends)
            state[kernels.PIECE] = 0
            while state[kernels.PIECE] < count:
                self._encode_window(joined, count, eod, out, lengths)
        return EncodedBatch(tokens=out[: int(state[kernels.OUT])], lengths=lengths)

    def encode_texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, int32.  Raises ValueError for lone surrogates."""
        return self.encode(*text_buffer(texts)).documents()

    def _encode_window(self, data: np.ndarray, count: int, eod: int, out: np.ndarray, lengths: np.ndarray) -> None:
        result = kernels.encode_pieces(
            data, self._ends, count, self._state, self._cache, self._merges, self._merging, self._pending, eod, out,
            lengths, self._work,
        )  # fmt: skip
        if self._state[kernels.NUM_PENDING]:
            self._encode_pending(data)
        elif result == kernels.CACHE_IS_FULL:
            self.forget()

    def _encode_pending(self, data: np.ndarray) -> None:
        """Asks for the ids of the pieces that the machine code does not merge."""
        state = self._state
        rows = self._pending[: int(state[kernels.NUM_PENDING])].tolist()
        texts = [data[begin:end].tobytes().decode("utf-8") for _, begin, end in rows]
        for (entry, _, _), ids in zip(rows, self._encode_new(texts), strict=True):
            self._set_ids(entry, ids)
        state[kernels.NUM_PENDING] = state[kernels.STOPPED] = 0

    def _set_ids(self, entry: int, ids: Sequence[int]) -> None:
        used = int(self._state[kernels.NUM_IDS])
        if used + len(ids) > len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros(max(len(ids), _NUM_IDS), np.int32)])
        self._ids[used : used + len(ids)] = ids
        self._entries[entry, 2:] = used, len(ids)
        self._state[kernels.NUM_IDS] = used + len(ids)

    def forget(self) -> None:
        """Empties the cache."""
        self._tiny.fill(-1)
        self._short.fill(0)
        self._slot_entries.fill(-1)
        self._ids = self._ids[:_NUM_IDS]
        self._state[kernels.NUM_SHORT : kernels.NUM_PENDING + 1] = 0
        self._put_whole()

    @property
    def _cache(self) -> tuple[np.ndarray, ...]:
        """The arrays that the kernels take."""
        long = (self._slot_hashes, self._slot_entries, self._entries, self._keys, self._ids)
        return self._tiny, self._short, *long

    def _put_whole(self) -> None:
        if self._whole:
            data = np.frombuffer(b"".join(text for text, _ in self._whole), np.uint8)
            ends = np.cumsum([len(text) for text, _ in self._whole])
            values = np.array([number for _, number in self._whole], np.int64)
            kernels.put_pieces(data, ends, values, self._state, self._cache)


def sentencepiece_encoder(
    model: SentencePieceModel, encode_normalized: Callable[[list[str]], list[list[int]]]
) -> PieceEncoder:
    """The encoder of a plain BPE vocabulary with byte fallback.

    `encode_normalized` must give SentencePiece's ids of strings as they stand, with no space put before them and spaces
    written as SPACE.
    """
    joined = joined_pairs(model)

    def cut(
        data: np.ndarray, offsets: np.ndarray, document: int, position: int, ends: np.ndarray
    ) -> tuple[int, int, int]:
        found: tuple[int, int, int] = kernels.cut_by_pairs(
            data, offsets, document, position, joined.ascii, joined.others, MAX_PIECE_BYTES, ends
        )
        return found

    return PieceEncoder(
        cut,
        sentencepiece_merges(model),
        lambda texts: encode_normalized([text.replace(" ", SPACE) for text in texts]),
        prefix=ord(" ") if model.add_dummy_prefix else -1,
    )


def _no_merges() -> MergeTable:
    ids = np.full(256, -1, np.int32)
    pairs = hash_table(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    return MergeTable(by_bytes=False, first_ids=ids, byte_ids=ids, num_ids=0, pairs=pairs)


def text_buffer(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as one UTF-8 buffer and the offsets (int64) between them.  Raises ValueError for lone surrogates."""
    encoded = []
    for text in texts:
        try:
            encoded.append(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            message = f"text has a lone surrogate at character {error.start}, which UTF-8 cannot hold"
            raise ValueError(message) from None
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(item) for item in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def arrow_buffer(texts: Any) -> tuple[np.ndarray, np.ndarray]:
    """An Arrow array of strings without nulls as UTF-8 buffer and offsets (int64), where they lie.

    Raises ValueError if a text is null or not valid UTF-8.
    """
    texts.validate(full=True)
    return string_buffers(texts)


def string_buffers(texts: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same of strings that are known to be valid UTF-8. Raises ValueError if a text is null."""
    import pyarrow as pa

    if texts.null_count:
        raise ValueError("a text is missing")
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data_buffer = texts.buffers()
    if len(texts) == 0 or data_buffer is None:
        return np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return np.frombuffer(data_buffer, np.uint8), offsets
