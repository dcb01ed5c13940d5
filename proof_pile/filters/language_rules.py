"""Rules by language: what a file of that language must and must not hold (AlgebraicStack's form of rules).

Shipped tables of rules stand in proof_pile/filters/rules/<preset>.yml.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from llemma.core.config import Config as BaseConfig
from llemma.core.config import did_you_mean, load_yaml
from proof_pile.documents import Document
from proof_pile.filters.digit_share import digit_share
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

RULES_FOLDER = Path(__file__).with_name("rules")


class Rule(BaseConfig):
    """The rule of one language.  Patterns are regular expressions with ^ and $ at line ends; all else is plain text."""

    max_bytes: int | None = Field(default=None, ge=1)
    max_digit_share: float | None = Field(default=None, ge=0, le=1)
    digit_share_from_bytes: int = Field(default=0, ge=0, description="smaller files are not asked for their digits")
    contains_any: tuple[str, ...] = Field(default=(), description="plain substrings, one of which must occur")
    contains_none: tuple[str, ...] = Field(default=(), description="plain substrings, none of which may occur")
    whole_words: bool = Field(default=False, description="of contains_any: no letter or digit right before or after")
    matches_any: tuple[str, ...] = ()
    matches_none: tuple[str, ...] = ()
    raw_contains_any: tuple[str, ...] = Field(
        default=(), description="substrings in lower case of a notebook's JSON, or of the text where it is none"
    )
    starts_with_none: tuple[str, ...] = Field(default=(), description="beginnings, after white space, not allowed")
    path_contains_none: tuple[str, ...] = ()
    repo_matches_none: tuple[str, ...] = Field(default=(), description="of the repository's name, owner included")
    endings: tuple[str, ...] = Field(default=(), description="the endings that the path may have; all where not given")
    large_from_bytes: int | None = Field(default=None, ge=1, description="from here on large_marker has to occur")
    large_marker: str = ""
    large_min_marker_share: float = Field(default=0.0, ge=0, description="occurrences of large_marker per line")

    @field_validator("matches_any", "matches_none", "repo_matches_none")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return patterns


@cache
def preset_rules(name: str) -> dict[str, dict[str, Any]]:
    """The rules of a shipped table by language, as far as it sets them.  Raises ValueError for a name without one."""
    known = sorted(path.stem for path in RULES_FOLDER.glob("*.yml"))
    if name not in known:
        raise ValueError(f"there is no preset '{name}'{did_you_mean(name, known)}; there is {', '.join(known)}")
    return dict(load_yaml(RULES_FOLDER / f"{name}.yml").value)


class Config(BaseConfig):
    """Rules by the document's language, a shipped table of them (`preset`), or both; `others`: languages without one.

    Keys given in `rules` stand before the preset's.  The section that is hashed holds all rules, so that a changed
    table is a changed section.
    """

    kind: Literal["language-rules"]
    preset: str | None = None
    rules: dict[str, Rule] = Field(default_factory=dict, validate_default=True)
    others: Literal["keep", "drop"] = "keep"

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("preset"), str):
            return value
        given = value.get("rules") or {}
        if not isinstance(given, dict) or not all(isinstance(rule, dict) for rule in given.values()):
            return value  # the fault is reported where it stands
        table = preset_rules(value["preset"])
        merged = {name: {**table.get(name, {}), **given.get(name, {})} for name in [*table, *given]}
        # What leaves here is Python's, no longer the file's, and a strict check takes no list for a tuple.
        rules = {
            name: {key: tuple(item) if isinstance(item, list) else item for key, item in rule.items()}
            for name, rule in merged.items()
        }
        return {**value, "rules": rules}

    @model_validator(mode="after")
    def _some_rules(self) -> Config:
        if self.preset is None and "rules" not in self.model_fields_set:
            raise ValueError("give 'preset', 'rules' or both")
        return self


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    wanted: Callable[[str], bool] | None
    unwanted: Callable[[str], bool] | None
    repos: Callable[[str], bool] | None

    def fault(self, document: Document) -> str | None:
        rule, text, meta = self.rule, document.text, document.meta
        data = text.encode("utf-8", "replace")
        size = len(data)
        if rule.max_bytes is not None and size > rule.max_bytes:
            return "too-large"
        path = str(meta.get("path") or document.name)
        if rule.path_contains_none and any(part in path for part in rule.path_contains_none):
            return "unwanted-path"
        if rule.endings and not path.lower().endswith(rule.endings):
            return "unwanted-path"
        if self.repos is not None and self.repos(str(meta.get("repo") or "")):
            return "unwanted-repository"
        if rule.starts_with_none and text[:4096].lstrip().startswith(rule.starts_with_none):
            return "not-this-language"
        if self.unwanted is not None and self.unwanted(text):
            return "unwanted-content"
        if self.wanted is not None and not self.wanted(text):
            return "not-mathematical"
        if rule.raw_contains_any and not _raw_contains(rule.raw_contains_any, document):
            return "not-mathematical"
        if rule.large_from_bytes is not None and size >= rule.large_from_bytes:
            share = text.count(rule.large_marker) / (text.count("\n") + 1) if rule.large_marker else 1.0
            if share < rule.large_min_marker_share or rule.large_marker not in text:
                return "large-without-marker"
        if rule.max_digit_share is not None and size >= rule.digit_share_from_bytes:
            return "digit-share" if digit_share(data) > rule.max_digit_share else None
        return None


def _raw_contains(wanted: tuple[str, ...], document: Document) -> bool:
    """Whether the reader noted one of the substrings in the notebook's JSON, or the text itself holds one."""
    noted = document.meta.get("raw_holds")
    if isinstance(noted, list):
        return any(substring in noted for substring in wanted)
    lowered = document.text.lower()
    return any(substring in lowered for substring in wanted)


def _finder(substrings: tuple[str, ...], patterns: tuple[str, ...], *, whole: bool) -> Callable[[str], bool] | None:
    """A function that says whether a text holds one of them.

    Plain substrings are sought one after the other with `in`, which is many times faster than one expression of all.
    """
    if not substrings and not patterns:
        return None
    expressions = [re.compile(pattern, re.MULTILINE) for pattern in patterns]

    def holds(text: str) -> bool:
        for substring in substrings:
            if substring in text and (not whole or _holds_word(text, substring)):
                return True
        return any(expression.search(text) for expression in expressions)

    return holds


def _holds_word(text: str, word: str) -> bool:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        before, after = text[start - 1 : start], text[end : end + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            return True
        start = text.find(word, start + 1)
    return False


def make(config: Config) -> Filter:
    """Reasons: too-large, unwanted-path, unwanted-repository, not-this-language, unwanted-content.

    Not-mathematical, large-without-marker, digit-share, language.
    """
    compiled = {
        language: _Compiled(
            rule,
            _finder(rule.contains_any, rule.matches_any, whole=rule.whole_words),
            _finder(rule.contains_none, rule.matches_none, whole=False),
            _finder((), rule.repo_matches_none, whole=False),
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
