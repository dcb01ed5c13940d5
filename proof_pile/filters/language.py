"""Drops documents that are not in a wanted language, judged by their prose alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import MissingPackageError
from proof_pile.documents import Document
from proof_pile.filters.model_files import settled_model
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

_NO_LANGUAGE = ("und", "zxx")  # undetermined; no linguistic content


class Config(BaseConfig):
    """OpenWebMath keeps a page that is English with probability 0.5 or more.  AlgebraicStack asks for the best label
    alone (`min_probability: 0`), of TeX alone (`only_for: [tex]`).

    `model` is a fastText file (lid.176.bin, .ftz); without it py3langid's packaged model is asked.  Formulas, LaTeX,
    code and addresses are not shown to it.
    """

    kind: Literal["language"]
    languages: tuple[str, ...] = Field(default=("en",), min_length=1, description="codes of the model (ISO 639-1)")
    min_probability: float = Field(default=0.5, ge=0, le=1)
    model: str | None = Field(default=None, description="path of a fastText model")
    only_for: tuple[str, ...] | None = Field(
        default=None, description="languages of documents ('language' in their meta) that are asked; all without it"
    )
    without_prose: Literal["keep", "drop"] = Field(
        default="keep", description="what becomes of a document with too little prose to tell (a list of formulas)"
    )
    note: bool = Field(default=False, description="write the label into the document's meta as 'natural_language'")
    model_hash: str | None = Field(default=None, description="filled in when a build is planned")

    def settled(self, base: Path) -> Config:
        """The section with its model's whole path and hash, so that a changed model is a changed section.

        Raises InputError where the model is not there.
        """
        if self.model is None:
            return self.model_copy(update={"model_hash": f"py3langid {_packaged_version()}"})
        return self.model_copy(update=settled_model(base, self.model))


def _packaged_version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("py3langid")
    except importlib.metadata.PackageNotFoundError:
        raise MissingPackageError("py3langid", "web") from None


def make(config: Config) -> Filter:
    """Reasons: language-<code found>, language-unsure, no-prose."""
    from proof_pile.quality.languages import load_identifier, prose_sample

    identify = load_identifier(config.model)
    wanted = frozenset(config.languages)

    def judge(document: Document) -> Verdict:
        kind = document.meta.get("language")
        if config.only_for is not None and kind not in config.only_for:
            return Keep(document)
        sample = prose_sample(document.text, comments=kind == "tex")
        label, probability = identify(sample) if sample else ("und", 0.0)
        if label in _NO_LANGUAGE:
            return Keep(document) if config.without_prose == "keep" else Drop("no-prose")
        if label not in wanted:
            return Drop(f"language-{label}")
        if probability < config.min_probability:
            return Drop("language-unsure")
        if config.note:
            return Keep(_noted(document, label))
        return Keep(document)

    return judge


def _noted(document: Document, label: str) -> Document:
    from dataclasses import replace

    return replace(document, meta={**document.meta, "natural_language": label})
