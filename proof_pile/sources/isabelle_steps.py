"""Isabelle proof steps: PISA's extractions of the Archive of Formal Proofs and of the standard library.

Input: JSON files {"translations": [[state, step], ...]}, one a theory; a step with an empty state begins something new.
One document for each lemma or theorem:
    [STATEMENT]
    <lemma ...>
    [PROOF STATE]
    <state>
    [PROOF STEP]
    <step>
    ...
meta: language isabelle, format isabelle-proof-steps, file (the theory), length (steps).  The schema is text and meta as
everywhere: the published script wrote proof and metadata, which no loader of the rest of AlgebraicStack reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.inputs import SourceFile, list_inputs, read_text

_KINDS = ("lemma ", "theorem ", "lemma\n", "theorem\n", "lemma(", "theorem(")


class Config(BaseConfig):
    """A file or folder of extractions; `min_steps` leaves out statements without a proof."""

    kind: Literal["isabelle-proof-steps"]
    path: str
    min_steps: int = Field(default=1, ge=0)
    max_file_bytes: int = Field(default=256 << 20, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The extractions that the section names."""
    return list_inputs(config.path, base, (".json",), wanted="PISA extractions (.json)")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The lemmas of one theory; a step that is none takes only its lemma with it."""
    import orjson

    text = read_text(file, config.max_file_bytes)
    if isinstance(text, Quarantined):
        yield text
        return
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        yield Quarantined(path=file.name, reason=f"invalid JSON: {error}", excerpt=excerpt(text))
        return
    steps = value.get("translations") if isinstance(value, dict) else None
    if not isinstance(steps, list):
        reason = "no list under the key 'translations'"
        yield Quarantined(path=file.name, reason=reason, excerpt=excerpt(text))
        return
    theory = theory_name(file.name)
    seen: dict[str, int] = {}
    for number, lemma in enumerate(_lemmas(steps)):
        if not all(isinstance(s, list) and len(s) >= 2 and all(isinstance(x, str) for x in s[:2]) for s in lemma):
            yield Quarantined(path=file.name, member=f"statement {number + 1}", reason="a step is no pair of texts")
            continue
        statement = lemma[0][1]
        if not statement.startswith(_KINDS) or len(lemma) - 1 < config.min_steps:
            continue
        heading = " ".join(statement.split())[:120]
        seen[heading] = seen.get(heading, 0) + 1
        name = f"{theory}:{heading}" + (f"#{seen[heading]}" if seen[heading] > 1 else "")
        meta: dict[str, Any] = {
            "language": "isabelle", "format": "isabelle-proof-steps", "file": theory, "length": len(lemma) - 1,
        }  # fmt: skip
        yield make_document(source, name, lemma_text(lemma), {**meta, **config.meta})


def theory_name(file_name: str) -> str:
    """The theory of an extraction ("2022-12-06_thys_Abc_Def.thy_output.json" is Abc_Def)."""
    base = file_name[file_name.rfind("/") + 1 :]
    return re.sub(r"^\d{4}-\d\d-\d\d_thys_|(?:\.thy)?(?:_output)?\.json$", "", base)


def _lemmas(steps: list[Any]) -> Iterator[list[Any]]:
    """The steps in groups, each of which begins with one whose state is empty."""
    group: list[Any] = []
    for step in steps:
        if isinstance(step, list) and step and step[0] == "" and group:
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def lemma_text(lemma: list[Any]) -> str:
    """The document of one lemma."""
    parts = [f"[STATEMENT]\n{lemma[0][1]}"]
    parts += [f"[PROOF STATE]\n{state}\n[PROOF STEP]\n{step}" for state, step, *_ in lemma[1:]]
    return "\n".join(parts) + "\n"
