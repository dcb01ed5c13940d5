"""What a filter says of a document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proof_pile.documents import Document


@dataclass(frozen=True, slots=True)
class Keep:
    """The document goes on, perhaps with its text rewritten (its id stays)."""

    document: Document


@dataclass(frozen=True, slots=True)
class Drop:
    """The document leaves; `reason` is short and stable ("too-large"), for it is counted."""

    reason: str


Verdict = Keep | Drop
Filter = Callable[[Document], Verdict]
