"""What a SentencePiece .model file says: its pieces and settings, read without protobuf.

The file is a protocol buffer (sentencepiece_model.proto of google/sentencepiece, version 0.2).  Read here:
    ModelProto.pieces (1): piece (1, text), score (2, float), type (3, see PieceType)
    ModelProto.trainer_spec (2): model_type (3), treat_whitespace_as_suffix (24), byte_fallback (35),
        unk_id (40), bos_id (41), eos_id (42), pad_id (43)
    ModelProto.normalizer_spec (3): precompiled_charsmap (2), add_dummy_prefix (3), remove_extra_whitespaces (4),
        escape_whitespaces (5)
    ModelProto.denormalizer_spec (5): precompiled_charsmap (2)
The file comes from outside: its size is bounded, and what is not well-formed is a DamagedFileError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from llemma.core.errors import DamagedFileError, InputError

MAX_MODEL_BYTES = 64 << 20  # chosen by us: a vocabulary of 256,000 pieces takes 4 MB
SPACE = "\u2581"
"""The character that SentencePiece writes for a space."""


_FLOAT = struct.Struct("<f")


class PieceType(IntEnum):
    """Kinds of pieces; only NORMAL, USER_DEFINED, UNUSED (never as output) and BYTE come about from text."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; its id is its place."""

    text: str
    score: float
    type: int


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """The vocabulary of a .model file and those settings that decide how text becomes ids."""

    pieces: tuple[Piece, ...]
    model_type: str
    byte_fallback: bool
    has_normalization: bool
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    whitespace_as_suffix: bool
    unk_id: int
    bos_id: int
    eos_id: int
    pad_id: int

    @property
    def is_plain_bpe(self) -> bool:
        """True if ids follow from the merges of BPE alone, as in Llama's vocabularies: no text is rewritten before."""
        return (
            self.model_type == "bpe"
            and not self.has_normalization
            and not self.remove_extra_whitespaces
            and self.escape_whitespaces
            and not self.whitespace_as_suffix
        )


def read_sentencepiece_model(path: str | Path) -> SentencePieceModel:
    """The vocabulary and settings of a .model file. Raises InputError or DamagedFileError."""
    return parse_sentencepiece_model(read_bounded(path, MAX_MODEL_BYTES, "a SentencePiece model"), str(path))


def read_bounded(path: str | Path, limit: int, kind: str) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises InputError if it is missing or larger."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file (wanted {kind})")
    size = path.stat().st_size
    if size > limit:
        raise InputError(f"{path}: {size:,} bytes are too many for {kind} (at most {limit:,})")
    return path.read_bytes()


def parse_sentencepiece_model(data: bytes, path: str) -> SentencePieceModel:
    """The vocabulary and settings in the bytes of a .model file; `path` is only named in errors."""
    pieces: list[Piece] = []
    trainer: dict[int, int] = {}
    normalizer: dict[int, int] = {}
    has_normalization = False
    try:
        for number, value in _fields(data):
            if number == 1:
                pieces.append(_piece(_message(value)))
            elif number == 2:
                trainer = {key: item for key, item in _fields(_message(value)) if isinstance(item, int)}
            elif number in (3, 5):
                for key, item in _fields(_message(value)):
                    if isinstance(item, int) and number == 3:
                        normalizer[key] = item
                    elif key == 2 and item:
                        has_normalization = has_normalization or number == 3
    except (_NotWellFormedError, UnicodeDecodeError, IndexError, struct.error) as error:
        raise DamagedFileError(f"{path}: this is not a SentencePiece model ({error})") from None
    if not pieces:
        raise DamagedFileError(f"{path}: this is not a SentencePiece model (it has no pieces)")
    model_types = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
    return SentencePieceModel(
        pieces=tuple(pieces),
        model_type=model_types.get(trainer.get(3, 1), "unknown"),
        byte_fallback=bool(trainer.get(35, 0)),
        has_normalization=has_normalization,
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        escape_whitespaces=bool(normalizer.get(5, 1)),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
        unk_id=_signed(trainer.get(40, 0)),
        bos_id=_signed(trainer.get(41, 1)),
        eos_id=_signed(trainer.get(42, 2)),
        pad_id=_signed(trainer.get(43, -1)),
    )


class _NotWellFormedError(ValueError):
    """Raised inside this file when the bytes are no protocol buffer."""


def _piece(data: bytes) -> Piece:
    # As the library writes almost all of them: text, score and, unless it is NORMAL, type; read by hand 10 x as fast.
    size = data[1] if len(data) > 7 and data[0] == 0x0A else 0x80
    rest = data[2 + size :]
    if (
        size < 0x80
        and len(rest) in (5, 7)
        and rest[0] == 0x15
        and (len(rest) == 5 or (rest[5] == 0x18 and rest[6] < 8))
    ):
        kind = int(PieceType.NORMAL) if len(rest) == 5 else rest[6]
        return Piece(data[2 : 2 + size].decode("utf-8"), float(_FLOAT.unpack_from(rest, 1)[0]), kind)
    return _any_piece(data)


def _any_piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, int(PieceType.NORMAL)
    for number, value in _fields(data):
        if number == 1:
            text = _message(value).decode("utf-8")
        elif number == 2:
            score = float(struct.unpack("<f", _message(value))[0])
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _NotWellFormedError("a number stands where a text or message must stand")
    return value


def _signed(value: int) -> int:
    """An int32 as protocol buffers write it: negative numbers as 64-bit two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; a varint is an int, everything else its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind == 5:
            length = 4
        elif kind == 1:
            length = 8
        else:
            raise _NotWellFormedError(f"unknown kind of field {kind} at byte {at}")
        if at + length > len(data):
            raise _NotWellFormedError(f"a field at byte {at} runs past the end")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise _NotWellFormedError(f"a number at byte {at} is too long")
