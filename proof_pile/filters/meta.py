"""Keeps or drops documents by what their metadata say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

Value = str | int | float | bool


class Config(BaseConfig):
    """A key of the metadata (a dotted path into it) and its values that are kept, or those that are dropped.

    Numbers may be bounded instead: `min`, `max`.  `missing` is for documents that have no such key.  Of a list each
    member counts: one that is dropped drops the document, one that is kept keeps it.
    """

    kind: Literal["meta"]
    key: str = Field(min_length=1)
    keep: tuple[Value, ...] = ()
    drop: tuple[Value, ...] = ()
    min: float | None = None
    max: float | None = None
    missing: Literal["keep", "drop"] = "keep"

    @model_validator(mode="after")
    def _says_something(self) -> Config:
        if not self.keep and not self.drop and self.min is None and self.max is None:
            raise ValueError("give values to 'keep' or to 'drop', or a 'min' or a 'max'")
        return self


def make(config: Config) -> Filter:
    """Reason: meta-<key>."""
    reason = Drop(f"meta-{config.key}")

    def judge(document: Document) -> Verdict:
        found = _look_up(document.meta, config.key)
        if found is None:
            return Keep(document) if config.missing == "keep" else reason
        values = [value for value in (found if isinstance(found, list) else [found]) if isinstance(value, Value)]
        if any(_same(value, other) for value in values for other in config.drop):
            return reason
        if config.keep and not any(_same(value, other) for value in values for other in config.keep):
            return reason
        if (config.min is not None or config.max is not None) and not any(_between(config, value) for value in values):
            return reason
        return Keep(document)

    return judge


def _look_up(meta: dict[str, Any], key: str) -> Any:
    if key in meta:
        return meta[key]
    found: Any = meta
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _same(value: Value, other: Value) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _between(config: Config, value: Value) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return (config.min is None or number >= config.min) and (config.max is None or number <= config.max)
