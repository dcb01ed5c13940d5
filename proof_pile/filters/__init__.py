"""Filters of documents, one file a filter.

A filter is a module with two things:
    Config                    its section of a recipe (`kind: <name>` and its thresholds)
    make(config) -> Filter    a function from a document to Keep(document) (perhaps with another text) or Drop(reason)

To add a filter: write the module, add it to `KINDS` and to `FilterConfig` below.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from proof_pile.documents import Document
from proof_pile.filters import (
    alphabetic_per_token,
    characters,
    digit_share,
    generated,
    language,
    language_rules,
    licence,
    licence_header,
    line_lengths,
    math_score,
    meta,
    path_endings,
    perplexity,
    personal_data,
    quality_rules,
    secrets,
    size,
    theorems,
    web_address,
    web_text,
)
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

KINDS: dict[str, str] = {
    "alphabetic-per-token": "proof_pile.filters.alphabetic_per_token",
    "characters": "proof_pile.filters.characters",
    "digit-share": "proof_pile.filters.digit_share",
    "generated": "proof_pile.filters.generated",
    "language": "proof_pile.filters.language",
    "language-rules": "proof_pile.filters.language_rules",
    "licence": "proof_pile.filters.licence",
    "licence-header": "proof_pile.filters.licence_header",
    "line-lengths": "proof_pile.filters.line_lengths",
    "math-score": "proof_pile.filters.math_score",
    "meta": "proof_pile.filters.meta",
    "path-endings": "proof_pile.filters.path_endings",
    "perplexity": "proof_pile.filters.perplexity",
    "personal-data": "proof_pile.filters.personal_data",
    "quality-rules": "proof_pile.filters.quality_rules",
    "secrets": "proof_pile.filters.secrets",
    "size": "proof_pile.filters.size",
    "theorems": "proof_pile.filters.theorems",
    "web-address": "proof_pile.filters.web_address",
    "web-text": "proof_pile.filters.web_text",
}

FilterConfig = Annotated[
    alphabetic_per_token.Config
    | characters.Config
    | digit_share.Config
    | generated.Config
    | language.Config
    | language_rules.Config
    | licence.Config
    | licence_header.Config
    | line_lengths.Config
    | math_score.Config
    | meta.Config
    | path_endings.Config
    | perplexity.Config
    | personal_data.Config
    | quality_rules.Config
    | secrets.Config
    | size.Config
    | theorems.Config
    | web_address.Config
    | web_text.Config,
    Field(discriminator="kind"),
]


def make_filter(config: Any) -> Filter:
    """The filter that a section of a recipe describes."""
    built: Filter = importlib.import_module(KINDS[config.kind]).make(config)
    return built


def make_chain(configs: Sequence[Any]) -> Filter:
    """One filter that asks each in turn and stops at the first Drop."""
    filters = [make_filter(config) for config in configs]

    def judge(document: Document) -> Verdict:
        for ask in filters:
            verdict = ask(document)
            if isinstance(verdict, Drop):
                return verdict
            document = verdict.document
        return Keep(document)

    return judge


__all__ = ["KINDS", "Drop", "Filter", "FilterConfig", "Keep", "Verdict", "make_chain", "make_filter"]
