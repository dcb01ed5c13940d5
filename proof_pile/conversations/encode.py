"""Written conversations as token ids and labels: a label is the token itself, or -100 where the loss does not count.

A prompt is encoded on its own, as it will be when the model is asked, and the answer as what goes on from there. So the
boundary never falls into a token, and a SentencePiece vocabulary puts no space before an answer that has none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from llemma.core.text.tokenizers import Tokenizer
from proof_pile.conversations.chat_format import Run

IGNORED = -100  # GPT-NeoX counts labels from 0 on (megatron/training.py:363); -100 is what its own programs write
_ANCHORS = ("\n", ".", "x")  # the first that stays a token of its own tells how a text goes on


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids and labels of one conversation, both int32 of one length."""

    ids: np.ndarray
    labels: np.ndarray

    def cut(self, max_tokens: int) -> Encoded:
        """The first tokens, the last of them the end of document, which the loss then does not count."""
        if len(self.ids) <= max_tokens:
            return self
        ids, labels = self.ids[:max_tokens].copy(), self.labels[:max_tokens].copy()
        ids[-1], labels[-1] = self.ids[-1], IGNORED
        return Encoded(ids, labels)

    @property
    def num_said(self) -> int:
        """Tokens that the loss counts."""
        return int((self.labels != IGNORED).sum())


class Encoder:
    """Encodes runs with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Where a beginning is encoded as a continuation is (byte-level vocabularies), no anchor is needed.
        self._anchors = {text: tokenizer.encode(text) for text in _ANCHORS}
        first = _ANCHORS[0]
        self._has_prefix = tokenizer.encode(f"{first}word") != [*self._anchors[first], *tokenizer.encode("word")]

    def encode(self, conversations: Sequence[Sequence[Run]]) -> list[Encoded]:
        """Ids and labels of many conversations."""
        texts: list[str] = []
        firsts: list[bool] = []
        for runs in conversations:
            of_text = [run.content for run in runs if isinstance(run.content, str)]
            texts += of_text
            firsts += [number == 0 for number in range(len(of_text))]
        rows = iter(self._encode_texts(texts, firsts))
        return [_joined(runs, rows) for runs in conversations]

    def _encode_texts(self, texts: list[str], firsts: list[bool]) -> list[np.ndarray]:
        if not self._has_prefix:
            return self._tokenizer.encode_batch(texts)
        anchor, anchored = _ANCHORS[0], self._anchors[_ANCHORS[0]]
        rows = self._tokenizer.encode_batch([
            text if is_first else anchor + text for text, is_first in zip(texts, firsts, strict=True)
        ])  # fmt: skip
        result = []
        for text, is_first, row in zip(texts, firsts, rows, strict=True):
            if is_first:
                result.append(row)
            elif row[: len(anchored)].tolist() == anchored:
                result.append(row[len(anchored) :])
            else:
                result.append(self._behind_another_anchor(text))
        return result

    def _behind_another_anchor(self, text: str) -> np.ndarray:
        """For a text whose beginning merges with the first anchor."""
        for anchor, anchored in itertools.islice(self._anchors.items(), 1, None):
            row = self._tokenizer.encode(anchor + text)
            if row[: len(anchored)] == anchored:
                return np.array(row[len(anchored) :], np.int32)
        return np.array(self._tokenizer.encode(text), np.int32)


def _joined(runs: Sequence[Run], rows: Iterator[np.ndarray]) -> Encoded:
    ids: list[np.ndarray] = []
    is_said: list[np.ndarray] = []
    for run in runs:
        part = next(rows) if isinstance(run.content, str) else np.array([run.content], np.int32)
        ids.append(part)
        is_said.append(np.full(len(part), run.is_said))
    tokens = np.concatenate(ids).astype(np.int32, copy=False)
    said = np.concatenate(is_said)
    said[0] = False  # nothing stands before it in its own document, and packed, another document would
    return Encoded(tokens, np.where(said, tokens, np.int32(IGNORED)))
