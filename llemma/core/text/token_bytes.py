"""Tokens back to UTF-8 natively: a table of the bytes that each id stands for, proved against the tokenizer's own.

White space at the beginning of a document is not restored: SentencePiece puts a space before each text, and this keeps
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llemma.core.text.native import native
from llemma.core.text.pieces import text_buffer
from llemma.core.text.pretokens import byte_characters
from llemma.core.text.probe import PROBE_TEXTS
from llemma.core.text.sentencepiece_model import SPACE, PieceType
from llemma.core.text.tokenizers import HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer


@native
def _sizes(tokens, offsets, token_offsets, out_offsets):  # type: ignore[no-untyped-def]
    """Fills in where each document's bytes begin; returns where the first id stands that the table lacks, else -1."""
    for document in range(len(offsets) - 1):
        size = np.int64(0)
        for place in range(offsets[document], offsets[document + 1]):
            token = np.int64(tokens[place])
            if token < 0 or token >= len(token_offsets) - 1:
                return np.int64(place)
            size += token_offsets[token + 1] - token_offsets[token]
        out_offsets[document + 1] = out_offsets[document] + size
    return np.int64(-1)


@native
def _spell(tokens, first, last, token_offsets, token_data, out):  # type: ignore[no-untyped-def]
    at = 0
    for place in range(first, last):
        token = np.int64(tokens[place])
        for byte in range(token_offsets[token], token_offsets[token + 1]):
            out[at] = token_data[byte]
            at += 1


@dataclass(frozen=True, kw_only=True)
class TokenBytes:
    """The bytes of id i are data[offsets[i]:offsets[i + 1]] (uint8, int64)."""

    data: np.ndarray
    offsets: np.ndarray

    def texts(self, tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(UTF-8, int64 offsets) of documents whose tokens lie one after the other, `offsets` (int64) between them.

        Raises ValueError for an id that the vocabulary does not have.
        """
        ends = np.zeros(len(offsets), np.int64)
        unknown = int(_sizes(tokens, offsets, self.offsets, ends))
        if unknown >= 0:
            raise ValueError(f"holds the id {tokens[unknown]}, but the vocabulary has {len(self.offsets) - 1}")
        out = np.empty(int(ends[-1]), np.uint8)
        _spell(tokens, int(offsets[0]), int(offsets[-1]), self.offsets, self.data, out)
        return out, ends


class LibraryBytes:
    """The same by the tokenizer's own library, document by document: slow."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def texts(self, tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(UTF-8, int64 offsets) of documents."""
        if len(tokens) and int(tokens.max()) >= self._tokenizer.vocab_size:
            raise ValueError(f"holds the id {tokens.max()}, but the vocabulary has {self._tokenizer.vocab_size}")
        spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        return text_buffer([self._tokenizer.decode(tokens[begin:end].tolist()) for begin, end in spans])


def token_bytes(tokenizer: Tokenizer) -> TokenBytes | LibraryBytes:
    """The quickest way from ids to text that gives the tokenizer's own texts on the probe texts."""
    ids = [np.asarray(one, np.int64) for one in tokenizer.encode_batch(PROBE_TEXTS)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64)
    wanted = [tokenizer.decode(one.tolist()).lstrip(" ") for one in ids]
    for spelled in _candidates(tokenizer):
        data, ends = spelled.texts(np.concatenate(ids), offsets)
        pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        if [data[a:b].tobytes().decode("utf-8", "replace").lstrip(" ") for a, b in pairs] == wanted:
            return spelled
    return LibraryBytes(tokenizer)


def _candidates(tokenizer: Tokenizer) -> Iterator[TokenBytes]:
    if isinstance(tokenizer, SentencePieceTokenizer):
        shown: dict[int, str] = {PieceType.CONTROL: "", PieceType.UNKNOWN: " \u2047 "}  # as SentencePiece decodes them
        entries = {number: shown.get(piece.type, piece.text) for number, piece in enumerate(tokenizer.model.pieces)}
        yield _table(tokenizer.vocab_size, entries, _bytes_of_piece)
    elif isinstance(tokenizer, HuggingFaceTokenizer):
        vocabulary, added = tokenizer.entries()
        for spell in (_bytes_of_byte_level, _bytes_of_piece):
            table: dict[int, Any] = {number: spell(text) for text, number in vocabulary.items()}
            table |= {number: text.encode() for number, text in added.items()}
            yield _table(tokenizer.vocab_size, table, bytes)


def _table(size: int, entries: dict[int, Any], spell: Callable[[Any], bytes]) -> TokenBytes:
    parts: Sequence[bytes] = [spell(entries[number]) if number in entries else b"" for number in range(size)]
    offsets = np.zeros(size + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return TokenBytes(data=np.frombuffer(b"".join(parts), np.uint8), offsets=offsets)


def _bytes_of_piece(text: str) -> bytes:
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return bytes.fromhex(text[3:5])
    return text.replace(SPACE, " ").encode()


def _bytes_of_byte_level(text: str) -> bytes:
    characters = byte_characters()
    if all(character in characters for character in text):
        return bytes(characters[character] for character in text)
    return text.encode()
