"""Byte-level BPE of Hugging Face's tokenizers in machine code: the pre-tokenizers that are known, and their merges.

    byte_level_encoder(value, encode) -> ByteLevelEncoder | None     value: of a tokenizer.json without control tokens

Known are the regular expressions of GPT-2 (also as ByteLevel's own), of cl100k as Llama 3 has it (up to three digits in
a piece) and of Qwen 2 (one), without a normalizer or with NFC.  Which characters are letters, numbers and spaces is
asked of the library itself, whose Unicode version is not Python's.  A document for which more is needed (text that NFC
would change, an added token that is not a control token) is left to the library.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from llemma.core.text import kernels, pretoken_kernels
from llemma.core.text.merges import MergeTable, hash_table
from llemma.core.text.pieces import MAX_PIECE_BYTES, EncodedBatch, PieceEncoder, text_buffer
from llemma.core.text.pretoken_kernels import LETTER, LINE_END, NUMBER, SPACE

GPT2, CL100K = 0, 1
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
PATTERNS = {
    _GPT2: (GPT2, 0),
    _CL100K.replace("DIGITS", "{1,3}"): (CL100K, 3),
    _CL100K.replace("DIGITS", ""): (CL100K, 1),
}
"""Regular expression -> rules and the most digits of a piece (0: any number)."""

MAX_ADDED_TOKENS = 64  # chosen by us: each is looked for in every batch
_NUM_POINTS = 0x40000  # the planes with letters; there are none beyond
_CLASS_MASK, _NOT_NFC = 7, 8


class ByteLevelEncoder:
    """Encodes documents piece by piece, and those that need more than pieces with the library."""

    def __init__(
        self,
        encoder: PieceEncoder,
        reference: Callable[[Sequence[str]], list[np.ndarray]],
        added: Sequence[bytes],
        *,
        nfc: bool,
    ) -> None:
        self._encoder = encoder
        self._reference = reference
        self._added = added
        self._nfc = nfc

    def encode(self, data: np.ndarray, offsets: np.ndarray, dtype: npt.DTypeLike, eod: int) -> EncodedBatch:
        """Ids of documents that lie in a buffer of valid UTF-8, `offsets` (int64) between them; `eod` after each."""
        special = self._special_documents(data, offsets)
        if not special.any():
            return self._encoder.encode(data, offsets, dtype, eod)
        end = [eod] if eod >= 0 else []
        parts: list[np.ndarray] = []
        lengths = np.zeros(len(special), np.int64)
        # Runs of documents of one kind, one after the other.
        edges = [0, *(np.flatnonzero(np.diff(special)) + 1).tolist(), len(special)]
        for first, last in itertools.pairwise(edges):
            if special[first]:
                bounds = offsets[first : last + 1].tolist()
                texts = [data[a:b].tobytes().decode("utf-8") for a, b in itertools.pairwise(bounds)]
                rows = [np.array([*ids, *end], dtype) for ids in self._reference(texts)]
                lengths[first:last] = [len(row) for row in rows]
                parts += rows
            else:
                batch = self._encoder.encode(data, offsets[first : last + 1], dtype, eod)
                lengths[first:last] = batch.lengths
                parts.append(batch.tokens)
        return EncodedBatch(tokens=np.concatenate(parts), lengths=lengths)

    def encode_texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, int32.  Raises ValueError for lone surrogates."""
        data, offsets = text_buffer(texts)
        return self.encode(data, offsets, np.int32, -1).documents()

    def _special_documents(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Which documents the library has to encode."""
        special = np.zeros(len(offsets) - 1, np.bool_)
        if self._nfc:
            pretoken_kernels.flag_documents(data, offsets, character_classes(), _NOT_NFC, special)
        if self._added:
            start = int(offsets[0])
            text = data[start : int(offsets[-1])].tobytes()
            for token in self._added:
                at = text.find(token)
                while at >= 0:
                    document = int(np.searchsorted(offsets, start + at, side="right")) - 1
                    special[document] = True
                    at = text.find(token, int(offsets[document + 1]) - start)
        return special


def byte_level_encoder(
    value: dict[str, Any], reference: Callable[[Sequence[str]], list[np.ndarray]]
) -> ByteLevelEncoder | None:
    """The encoder of a tokenizer.json that is known here, None for any other.  `reference`: the library's ids."""
    rules = _known_rules(value.get("pre_tokenizer"))
    merges = _byte_level_merges(value["model"])
    normalizer = value.get("normalizer")
    nfc = isinstance(normalizer, dict) and normalizer.get("type") == "NFC"
    added = [token for token in value.get("added_tokens") or [] if not token.get("special")]
    if rules is None or merges is None or not (nfc or normalizer is None) or len(added) > MAX_ADDED_TOKENS:
        return None
    if nfc and any(not token["content"].isascii() for token in added):
        return None
    family, max_digits = rules
    classes = character_classes() & _CLASS_MASK

    def cut(
        data: np.ndarray, offsets: np.ndarray, document: int, position: int, ends: np.ndarray
    ) -> tuple[int, int, int]:
        found: tuple[int, int, int] = pretoken_kernels.cut_by_rules(
            data, offsets, document, position, classes, family, max_digits, MAX_PIECE_BYTES, ends
        )
        return found

    seeds = _whole_tokens(value["model"], merges) if value["model"].get("ignore_merges") else []
    encoder = PieceEncoder(
        cut, merges, lambda texts: [ids.tolist() for ids in reference(texts)], prefix=-1, whole=seeds
    )
    return ByteLevelEncoder(encoder, reference, [token["content"].encode() for token in added], nfc=nfc)


def _known_rules(pre_tokenizer: Any) -> tuple[int, int] | None:
    """Rules and most digits of a pre-tokenizer that cuts by a known expression and then writes bytes as characters."""
    if not isinstance(pre_tokenizer, dict):
        return None
    if pre_tokenizer.get("type") == "ByteLevel":
        own = pre_tokenizer.get("use_regex", True) and not pre_tokenizer.get("add_prefix_space", True)
        return PATTERNS[_GPT2] if own else None
    parts = pre_tokenizer.get("pretokenizers")
    if pre_tokenizer.get("type") != "Sequence" or not isinstance(parts, list) or len(parts) != 2:
        return None
    split, level = parts
    if split.get("type") != "Split" or split.get("behavior") != "Isolated" or split.get("invert"):
        return None
    if level.get("type") != "ByteLevel" or level.get("use_regex", True) or level.get("add_prefix_space", True):
        return None
    pattern = split.get("pattern")
    return PATTERNS.get(str(pattern.get("Regex"))) if isinstance(pattern, dict) else None


@cache
def byte_characters() -> dict[str, int]:
    """The byte that each character of byte-level text stands for.

    Source: GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the others are U+0100 and on in their order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


@cache
def _latin_1() -> dict[int, int]:
    """Each character of byte-level text to the character of its byte, those below 256 that are none to one beyond."""
    return dict.fromkeys(range(256), 256) | {ord(text): byte for text, byte in byte_characters().items()}


def _bytes_of(text: str) -> bytes | None:
    """The bytes that an entry of a byte-level vocabulary stands for; None where it is other text."""
    try:
        return text.translate(_latin_1()).encode("latin-1")
    except UnicodeEncodeError:
        return None


def _byte_level_merges(model: dict[str, Any]) -> MergeTable | None:
    """The merges of plain byte-level BPE; None where the model has rules that the machine code lacks."""
    if model.get("type", "BPE") != "BPE" or any(
        model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    ):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    alphabet = byte_characters()
    first_ids = np.full(256, -1, np.int32)
    for character, byte in alphabet.items():
        first_ids[byte] = vocabulary.get(character, -1)
    if (first_ids < 0).any():
        return None
    merges: dict[int, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        # Of a merge that is listed twice the library keeps the later place.
        merges[(vocabulary[left] << 32 | vocabulary[right]) + 1] = rank << 32 | vocabulary[left + right]
    pairs = hash_table(np.array(list(merges), np.uint64), np.array(list(merges.values()), np.int64))
    num_ids = max(vocabulary.values()) + 1
    return MergeTable(by_bytes=True, first_ids=first_ids, byte_ids=first_ids, num_ids=num_ids, pairs=pairs)


def byte_level_texts(model: dict[str, Any]) -> list[str]:
    """Every entry of a byte-level vocabulary that is text, in rows, in the order of the vocabulary."""
    entries = [data.decode("utf-8", "ignore") for text in model["vocab"] if (data := _bytes_of(text)) is not None]
    return ["".join(entries[start : start + 100]) for start in range(0, len(entries), 100)]


def _whole_tokens(model: dict[str, Any], merges: MergeTable) -> list[tuple[bytes, int]]:
    """Tokens that merging does not make of their own text, but that a piece becomes all the same (ignore_merges)."""
    tokens = [
        (token, number)
        for text, number in model["vocab"].items()
        if len(text) <= kernels.MAX_MERGED_BYTES and (token := _bytes_of(text)) is not None
    ]
    data = np.frombuffer(b"".join(text for text, _ in tokens), np.uint8)
    ends = np.cumsum([len(text) for text, _ in tokens])
    wanted = np.array([number for _, number in tokens], np.int64)
    different = np.zeros(len(tokens), np.bool_)
    work = np.empty((3, kernels.MAX_MERGED_BYTES), np.int64)
    kernels.flag_not_merged(data, ends, wanted, merges.arguments, work, different)
    return [tokens[index] for index in np.flatnonzero(different).tolist()]


@cache
def character_classes() -> np.ndarray:
    """uint8 of each code point below 0x40000: its class, | _NOT_NFC where text that holds it may not be in NFC."""
    from tokenizers import Regex, pre_tokenizers

    classes = np.zeros(_NUM_POINTS, np.uint8)
    points = np.concatenate([np.arange(0xD800), np.arange(0xE000, _NUM_POINTS)])
    text = points.astype("<u4").tobytes().decode("utf-32-le")
    for name, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        runs = pre_tokenizers.Split(Regex(pattern), "removed", invert=True).pre_tokenize_str(text)
        for _, (start, stop) in runs:
            classes[points[start:stop]] = name
    classes[[0x0A, 0x0D]] = LINE_END
    for point in range(0x80, _NUM_POINTS):
        character = chr(point)
        category = unicodedata.category(character)
        decomposed = unicodedata.decomposition(character)
        if category == "Cn" or unicodedata.combining(character):
            classes[point] |= _NOT_NFC
        if decomposed and not decomposed.startswith("<"):
            second = decomposed.split()[1:]
            if second:
                classes[int(second[0], 16)] |= _NOT_NFC  # it may join with what stands before it
            if unicodedata.normalize("NFC", character) != character:
                classes[point] |= _NOT_NFC
    classes[0x1100:0x1200] |= _NOT_NFC  # Hangul letters join to syllables
    return classes
