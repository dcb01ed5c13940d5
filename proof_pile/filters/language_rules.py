"""Rules by language: what a file of that language must and must not hold (AlgebraicStack's form of rules)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.digit_share import digit_share
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict


class Rule(BaseConfig):
    """The rule of one language.  Patterns are regular expressions with ^ and $ at line ends, unless `text`."""

    max_bytes: int | None = Field(default=None, ge=1)
    max_digit_share: float | None = Field(default=None, ge=0, le=1)
    digit_share_from_bytes: int = Field(default=0, ge=0, description="smaller files are not asked for their digits")
    contains_any: tuple[str, ...] = Field(default=(), description="plain substrings, one of which must occur")
    contains_none: tuple[str, ...] = Field(default=(), description="plain substrings, none of which may occur")
    matches_any: tuple[str, ...] = ()
    matches_none: tuple[str, ...] = ()
    starts_with_none: tuple[str, ...] = Field(default=(), description="beginnings, after white space, not allowed")
    path_contains_none: tuple[str, ...] = ()

    @field_validator("matches_any", "matches_none")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return patterns


class Config(BaseConfig):
    """Rules by the document's language; `others` says what happens to a language without one."""

    kind: Literal["language-rules"]
    rules: dict[str, Rule]
    others: Literal["keep", "drop"] = "keep"


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    wanted: re.Pattern[str] | None
    unwanted: re.Pattern[str] | None

    def fault(self, document: Document) -> str | None:
        rule, text = self.rule, document.text
        num_bytes = len(text.encode("utf-8"))
        if rule.max_bytes is not None and num_bytes > rule.max_bytes:
            return "too-large"
        if rule.starts_with_none and text.lstrip().startswith(rule.starts_with_none):
            return "not-this-language"
        if self.unwanted is not None and self.unwanted.search(text):
            return "unwanted-content"
        if self.wanted is not None and not self.wanted.search(text):
            return "not-mathematical"
        path = str(document.meta.get("path", document.name))
        if any(part in path for part in rule.path_contains_none):
            return "unwanted-path"
        if rule.max_digit_share is not None and num_bytes >= rule.digit_share_from_bytes:
            return "digit-share" if digit_share(text) > rule.max_digit_share else None
        return None


def _union(substrings: tuple[str, ...], patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    parts = [re.escape(s) for s in substrings] + [f"(?:{p})" for p in patterns]
    return re.compile("|".join(parts), re.MULTILINE) if parts else None


def make(config: Config) -> Filter:
    """Reasons: too-large, not-this-language, unwanted-content, not-mathematical, unwanted-path.

    Digit-share, language.
    """
    compiled = {
        language: _Compiled(
            rule, _union(rule.contains_any, rule.matches_any), _union(rule.contains_none, rule.matches_none)
        )
        for language, rule in config.rules.items()
    }

    def judge(document: Document) -> Verdict:
        rule = compiled.get(str(document.meta.get("language", "")))
        if rule is None:
            return Keep(document) if config.others == "keep" else Drop("language")
        fault = rule.fault(document)
        return Drop(fault) if fault else Keep(document)

    return judge
