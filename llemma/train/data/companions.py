"""Shards that go with a source's tokens, document by document: labels, rewards, the answers that lost.

labels            a number for each token: the token itself, or a negative one where the loss does not count
rewards           KTO: a number a document, above 0 for a wanted answer, below for an unwanted one
rejected          DPO: the answer that lost against the document of the same number, with labels of its own
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from llemma.core.errors import DamagedFileError
from llemma.core.indexed.reader import IndexedReader
from llemma.train.settings import WeightedPath


@dataclass(frozen=True, kw_only=True)
class Companions:
    """The open shards beside a source's tokens; None for those that it has not."""

    labels: IndexedReader | None = None
    rewards: IndexedReader | None = None
    rejected: IndexedReader | None = None
    rejected_labels: IndexedReader | None = None

    @classmethod
    def open(cls, source: WeightedPath) -> Companions:
        """Those that a source names. Raises what IndexedReader raises where one is missing or damaged."""
        named = {field.name: getattr(source, field.name) for field in fields(cls)}
        return cls(**{name: IndexedReader(prefix) for name, prefix in named.items() if prefix})

    def readers(self) -> Iterator[IndexedReader]:
        """All that there are."""
        for field in fields(self):
            reader = getattr(self, field.name)
            if reader is not None:
                yield reader


def check_companions(source: WeightedPath) -> None:
    """Raises DamagedFileError where what lies beside a source's tokens does not go with them, document by document."""
    tokens, beside = IndexedReader(source.prefix), Companions.open(source)
    _check_sizes("labels", beside.labels, tokens.sizes, source.prefix)
    _check_sizes("rewards", beside.rewards, np.ones_like(tokens.sizes), source.prefix)
    if beside.rejected is None:
        return
    if len(beside.rejected) != len(tokens):
        raise DamagedFileError(
            f"{source.rejected}: holds {len(beside.rejected)} rejected answers, but {source.prefix} has "
            f"{len(tokens)} documents: build the data again"
        )
    _check_sizes("labels", beside.rejected_labels, beside.rejected.sizes, source.rejected)


def _check_sizes(what: str, reader: IndexedReader | None, sizes: np.ndarray, prefix: str | None) -> None:
    if reader is not None and not np.array_equal(reader.sizes, sizes):
        raise DamagedFileError(
            f"{reader.prefix}: these {what} do not go, document by document, with the tokens of {prefix}: "
            "build the data again"
        )
