"""The recipe's `split` and `tokenizer` sections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from llemma.core.config import Config


class SplitConfig(Config):
    """Shares of the documents that are held out, chosen by a hash of their ids (0.005 each in AlgebraicStack)."""

    validation: float = Field(default=0.005, ge=0, lt=1)
    test: float = Field(default=0.005, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_left(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave a share for training")
        return self


class TrainTokenizerConfig(Config):
    """A Llama-style SentencePiece BPE tokenizer, trained on an even part of the training documents."""

    vocab_size: int = Field(default=32_000, ge=300)
    max_bytes: int = Field(default=8_000_000, ge=10_000)


class TokenizerConfig(Config):
    """A tokenizer that is there (`path`) or one that is to be trained (`train`); `eod` ends each document.

    `engine`: the fastest one whose ids pass the proof, or always the tokenizer's own library.
    """

    path: str | None = None
    train: TrainTokenizerConfig | None = None
    eod: str | int | None = None
    engine: Literal["fastest", "library"] = "fastest"

    @model_validator(mode="after")
    def _one_way(self) -> TokenizerConfig:
        if self.path is not None and self.train is not None:
            raise ValueError("give either 'path' or 'train', not both")
        return self
