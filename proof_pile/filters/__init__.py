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
    characters,
    digit_share,
    generated,
    language_rules,
    licence_header,
    line_lengths,
    size,
    web_text,
)
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

KINDS: dict[str, str] = {
    "characters": "proof_pile.filters.characters",
    "digit-share": "proof_pile.filters.digit_share",
    "generated": "proof_pile.filters.generated",
    "language-rules": "proof_pile.filters.language_rules",
    "licence-header": "proof_pile.filters.licence_header",
    "line-lengths": "proof_pile.filters.line_lengths",
    "size": "proof_pile.filters.size",
    "web-text": "proof_pile.filters.web_text",
}

FilterConfig = Annotated[
    characters.Config
    | digit_share.Config
    | generated.Config
    | language_rules.Config
    | licence_header.Config
    | line_lengths.Config
    | size.Config
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
