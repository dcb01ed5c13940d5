"""Fast encoding with a SentencePiece BPE vocabulary: text is cut where no piece reaches across, and its words cached.

If no piece of the vocabulary holds character a followed by character b, then no merge ever joins them, and a text
may be cut between them without a change of ids.  Characters are put into classes, the pairs of classes that occur
inside pieces are found for the vocabulary at hand, and a regular expression is made that cuts everywhere else.
On mathematical text most of what lies between two cuts has been seen before.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from llemma.core.text.sentencepiece_model import SPACE, PieceType, SentencePieceModel

MAX_CACHED_WORDS = 1 << 18  # chosen by us: about 60 MB
MAX_CACHED_CHARS = 48  # chosen by us: longer ones are seldom seen again
MAX_WORD_CHARS = 1 << 20
"""What has no place to cut for so long is cut here all the same: memory must stay bounded on any text."""

# How characters are sorted changes only the speed; the cuts follow from the vocabulary. Signs beyond ASCII stand in
# pieces with ASCII's signs, other characters beyond ASCII with letters. What is in no set are ASCII's signs.
_BEFORE_SPACE, _AFTER_SPACE = chr(ord(SPACE) - 1), chr(ord(SPACE) + 1)
_CLASSES = (
    SPACE,
    "A-Za-z",
    "0-9",
    r"\n",
    r"\t\r",
    f"\x80-\xbf\xd7\xf7\u2000-{_BEFORE_SPACE}{_AFTER_SPACE}-\u2bff\u3000-\u303f",
    "\xc0-\xd6\xd8-\xf6\xf8-\u1fff\u2c00-\u2fff\u3040-\U0010ffff",
)
_OTHER = len(_CLASSES)
_MATCHERS = tuple(re.compile(f"[{members}]") for members in _CLASSES)


class WordEncoder:
    """Encodes text as SentencePiece does, word by word out of a cache.

    `encode_word` must give SentencePiece's ids of a string as it stands, with no space put before it and spaces
    written as SPACE.  Raises ValueError if the vocabulary is not plain BPE with byte fallback.
    """

    def __init__(self, model: SentencePieceModel, encode_word: Callable[[str], Sequence[int]]) -> None:
        if not model.is_plain_bpe or not model.byte_fallback:
            raise ValueError("words can be encoded one by one only in plain BPE with byte fallback")
        self._prefix = SPACE if model.add_dummy_prefix else ""
        self._find_words = re.compile(word_pattern(model), re.DOTALL).findall
        self._cache = _WordCache(encode_word)

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text, int32."""
        if not text:
            return np.empty(0, np.int32)
        words = self._find_words(self._prefix + text.replace(" ", SPACE))
        return np.frombuffer(b"".join(map(self._cache.__getitem__, words)), np.int32)


class _WordCache(dict[str, bytes]):
    """Ids of words as int32 bytes, made when first asked for."""

    def __init__(self, encode_word: Callable[[str], Sequence[int]]) -> None:
        super().__init__()
        self._encode_word = encode_word

    def __missing__(self, word: str) -> bytes:
        if len(word) > MAX_WORD_CHARS:
            return b"".join(
                self.__missing__(word[at : at + MAX_WORD_CHARS]) for at in range(0, len(word), MAX_WORD_CHARS)
            )
        ids = np.asarray(self._encode_word(word), np.int32).tobytes()
        if len(word) <= MAX_CACHED_CHARS and len(self) < MAX_CACHED_WORDS:
            self[word] = ids
        return ids


def word_pattern(model: SentencePieceModel) -> str:
    """A regular expression whose successive matches cover any text and end only where no piece reaches across."""
    joined = _joined_classes(model)
    groups = _components(joined)
    follows: dict[int, set[int]] = {group: set() for group in range(len(groups))}
    place = {member: number for number, group in enumerate(groups) for member in group}
    for first, second in joined:
        follows[place[first]].add(place[second])

    def chain(group: int) -> str:
        unit = _character_set(groups[group])
        if group in follows[group]:
            unit += "+"
        rest = [chain(other) for other in sorted(follows[group]) if other != group]
        return f"{unit}(?:{'|'.join(rest)})?" if rest else unit

    return "|".join(chain(group) for group in range(len(groups)))


def _class_of(character: str) -> int:
    return next((number for number, matcher in enumerate(_MATCHERS) if matcher.match(character)), _OTHER)


def _joined_classes(model: SentencePieceModel) -> set[tuple[int, int]]:
    """Pairs of classes that stand side by side inside some piece; what may come of text, or be merged on the way."""
    silent = (PieceType.CONTROL, PieceType.UNKNOWN, PieceType.BYTE)
    texts = [piece.text for piece in model.pieces if piece.type not in silent]
    pairs = {pair for text in texts for pair in itertools.pairwise(text)}
    return {(_class_of(first), _class_of(second)) for first, second in pairs}


def _components(joined: set[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Classes grouped so that within a group each reaches each other one: between groups there is no way back."""
    numbers = range(_OTHER + 1)
    reach = {(a, b) for a, b in joined} | {(n, n) for n in numbers}
    for middle in numbers:
        for first in numbers:
            for second in numbers:
                if (first, middle) in reach and (middle, second) in reach:
                    reach.add((first, second))
    groups = {tuple(b for b in numbers if (a, b) in reach and (b, a) in reach) for a in numbers}
    return sorted(groups)


def _character_set(classes: tuple[int, ...]) -> str:
    named = "".join(_CLASSES[number] for number in classes if number != _OTHER)
    if _OTHER not in classes:
        return f"[{named}]"
    others = "".join(_CLASSES[number] for number in range(_OTHER) if number not in classes)
    return f"[^{others}]" if others else "."
