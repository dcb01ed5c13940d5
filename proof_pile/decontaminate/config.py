"""The recipe's `decontaminate` section."""

from __future__ import annotations

from pydantic import Field

from llemma.core.config import Config


class DecontaminateConfig(Config):
    """Benchmark texts (JSONL made by `python -m eval_tasks export`) that no document may hold.

    A document goes where it shares `ngram` words in a row with an item, or where it holds the whole of an item that is
    shorter than that and has at least `min_words` words and operators.
    """

    benchmarks: tuple[str, ...] = ()
    ngram: int = Field(default=13, ge=3, le=64)
    min_words: int = Field(default=5, ge=1)
