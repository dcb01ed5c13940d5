"""Drops documents that a language model finds too surprising: word lists, broken extraction, other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.model_files import settled_model
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict


class Config(BaseConfig):
    """OpenWebMath: 30,000 while extracting, 15,000 at the end, under a KenLM model of Proof-Pile that was not released.

    `model` is a KenLM file (.arpa or .binary); the package kenlm is needed.
    """

    kind: Literal["perplexity"]
    model: str
    max_perplexity: float = Field(default=15_000.0, gt=1)
    note: bool = Field(default=False, description="write it into the document's meta as 'perplexity'")
    model_hash: str | None = Field(default=None, description="filled in when a build is planned")

    def settled(self, base: Path) -> Config:
        """The section with its model's whole path and hash, so that a changed model is a changed section.

        Raises InputError where the model is not there.
        """
        return self.model_copy(update=settled_model(base, self.model))


def make(config: Config) -> Filter:
    """Reason: perplexity."""
    from proof_pile.quality.perplexity import load_language_model

    perplexity_of = load_language_model(config.model)

    def judge(document: Document) -> Verdict:
        found = perplexity_of(document.text)
        if found > config.max_perplexity:
            return Drop("perplexity")
        return Keep(_noted(document, found) if config.note else document)

    return judge


def _noted(document: Document, perplexity: float) -> Document:
    from dataclasses import replace

    return replace(document, meta={**document.meta, "perplexity": round(perplexity, 1)})
