"""Drops pages whose words, without their LaTeX, do not look like mathematics (OpenWebMath's MathScore)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.model_files import settled_model
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict
from proof_pile.quality.math_score import SHIPPED


class Config(BaseConfig):
    """OpenWebMath's thresholds: a page with LaTeX stays above 0.15, one without above 0.8; at the end all above 0.17.

    They belong to OpenWebMath's unreleased model: look at the scores of another one before trusting them.
    `model` is a fastText file with a label "math" or "positive"; without it the small model of this package is asked.
    """

    kind: Literal["math-score"]
    min_score: float = Field(default=0.17, ge=0, le=1)
    min_score_without_latex: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="for pages without a formula or a LaTeX command; as 'min_score' if not given",
    )
    min_chars_without_latex: int = Field(default=0, ge=0, description="shorter pages without LaTeX go (prefilter: 500)")
    model: str | None = Field(default=None, description="path of a fastText model")
    note: bool = Field(default=False, description="write the score into the document's meta as 'math_score'")
    model_hash: str | None = Field(default=None, description="filled in when a build is planned")

    def settled(self, base: Path) -> Config:
        """The section with its model's whole path and hash, so that a changed model is a changed section.

        Raises InputError where the model is not there.
        """
        if self.model is None:
            return self.model_copy(update={"model_hash": settled_model(base, str(SHIPPED))["model_hash"]})
        return self.model_copy(update=settled_model(base, self.model))


def make(config: Config) -> Filter:
    """Reasons: math-score, math-score-without-latex, short-without-latex."""
    from proof_pile.quality.latex_commands import has_latex
    from proof_pile.quality.math_score import load_math_score

    score_of = load_math_score(config.model)

    def judge(document: Document) -> Verdict:
        threshold, reason = config.min_score, "math-score"
        asks_latex = config.min_score_without_latex is not None or config.min_chars_without_latex
        if asks_latex and not has_latex(document.text):
            if len(document.text) < config.min_chars_without_latex:
                return Drop("short-without-latex")
            if config.min_score_without_latex is not None:
                threshold, reason = config.min_score_without_latex, "math-score-without-latex"
        score = score_of(document.text)
        if score <= threshold:
            return Drop(reason)
        return Keep(_noted(document, score) if config.note else document)

    return judge


def _noted(document: Document, score: float) -> Document:
    from dataclasses import replace

    return replace(document, meta={**document.meta, "math_score": round(score, 4)})
