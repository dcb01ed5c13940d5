"""Drops documents of which a tokenizer makes too many tokens: tables of numbers, encoded data, minified code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.files import sha256_file
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

MAX_CHARS = 1 << 20
"""The share is taken over so many characters from the beginning: a file that changes its nature later is seldom."""


class Config(BaseConfig):
    """RedPajama's rule for GitHub: 1.5 alphabetic characters a token, by the tokenizer of pythia-6.9b-deduped.

    `tokenizer` is a SentencePiece .model, a tokenizer.json or a folder with one of them.
    """

    kind: Literal["alphabetic-per-token"]
    tokenizer: str
    min_ratio: float = Field(default=1.5, ge=0)
    tokenizer_hash: str | None = Field(default=None, description="filled in when a build is planned")

    def settled(self, base: Path) -> Config:
        """The section with its tokenizer's whole path and hash, so that a changed tokenizer is a changed section.

        Raises InputError where there is none.
        """
        from llemma.core.text.tokenizers import tokenizer_file

        path = tokenizer_file(base / Path(self.tokenizer).expanduser())
        return self.model_copy(update={"tokenizer": str(path), "tokenizer_hash": sha256_file(path)})


def make(config: Config) -> Filter:
    """Reason: letters-per-token."""
    from llemma.core.text.tokenizers import load_for_counting

    encode = load_for_counting(config.tokenizer).encode_batch

    def judge(document: Document) -> Verdict:
        text = document.text[:MAX_CHARS]
        num_letters = sum(map(str.isalpha, text))
        return Drop("letters-per-token") if num_letters < config.min_ratio * len(encode([text])[0]) else Keep(document)

    return judge
