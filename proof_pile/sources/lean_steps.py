"""Lean proof steps: what lean-training-data's `training_data` printed for each file of mathlib.

Its two forms are read: goals and tactics alone (`--proofstep`), the one that Proof-Pile-2 has:
    [GOAL]
    <goals>
    [PROOFSTEP]
    <tactic>
and the verbose one, whose blocks (===, module, ---, line, ---, declaration so far, ---, goals, ---, place, ---, tactic,
---, goals after, ---) name the theorem, and which becomes the first.

Input: one file a module, named by it (Mathlib.Logic.Hydra.train), or JSON lines {text, meta: {mathlib_filename}}.
meta of a document: language lean, format lean-proof-steps, mathlib_filename, num_steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources import jsonl
from proof_pile.sources.inputs import SourceFile, list_inputs, read_text

SUFFIXES = (".train", ".steps", ".txt", ".out", *jsonl.SUFFIXES)
_NO_STEPS = "holds no proof steps: wanted what `lake exe training_data` printed, with or without --proofstep"
_DECLARED = re.compile(r"\b(?:theorem|lemma)[ \t\n]+([^\s:({\[⦃]+)")


class Config(BaseConfig):
    """A file or folder.  Steps of a `without` theorem (its name as declared, or the end of its full name) are left out.

    Only the verbose form names theorems.
    """

    kind: Literal["lean-proof-steps"]
    path: str
    without: tuple[str, ...] = ()
    max_file_bytes: int = Field(default=64 << 20, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


class _Lines(BaseConfig):
    """How JSON lines of proof steps are laid out."""

    text_key: str = "text"
    name_keys: tuple[str, ...] = ("meta.mathlib_filename", "mathlib_filename", "name")
    layout: Literal["plain"] = "plain"
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)
    max_line_bytes: int = 64 << 20


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The files of proof steps that the section names."""
    return list_inputs(config.path, base, SUFFIXES, wanted=f"proof steps of Lean ({', '.join(SUFFIXES[:4])}, .jsonl)")


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """One document a module."""
    if file.name.lower().endswith(jsonl.SUFFIXES):
        lines = _Lines(max_line_bytes=max(config.max_file_bytes, 1024))
        for record in jsonl.read_records(lines, file.paths[0], file.name, source):
            if isinstance(record, Quarantined):
                yield record
            else:
                yield from _document(config, record.name or file.name, record.text, record.meta, source, record)
        return
    text = read_text(file, config.max_file_bytes)
    if isinstance(text, Quarantined):
        yield text
    elif text.strip():  # a module without a tactic prints nothing
        module = re.sub(r"\.(?:train|steps|txt|out)$", "", file.name[file.name.rfind("/") + 1 :])
        yield from _document(config, module, text, {}, source, None)


def _document(
    config: Config, module: str, text: str, known: dict[str, object], source: str, record: Document | None
) -> Iterator[Document | Quarantined]:
    steps = proof_steps(text, config.without)
    if steps is None:
        yield Quarantined(path=module, reason=_NO_STEPS, excerpt=excerpt(text))
        return
    if not steps:
        return
    meta = {
        **known,
        "language": "lean",
        "format": "lean-proof-steps",
        "mathlib_filename": module,
        "num_steps": len(steps),
        **config.meta,
    }
    whole = "\n".join(steps) + "\n"
    if record is not None:
        yield replace(record, text=whole, meta=meta)
    else:
        yield make_document(source, module, whole, meta)


def proof_steps(text: str, without: tuple[str, ...] = ()) -> list[str] | None:
    """Each step as "[GOAL]...[PROOFSTEP]...", without those that some theorem of a list has; None where it has none."""
    text = text.replace("\r\n", "\n")
    if text.startswith("===\n") or "\n===\n" in text[:100_000]:
        return _verbose_steps(text, without)
    if not text.lstrip().startswith("[GOAL]"):
        return None
    steps = []
    for block in re.split(r"^\[GOAL\]\n", text, flags=re.MULTILINE)[1:]:
        goal, mark, tactic = block.partition("\n[PROOFSTEP]\n")
        if mark and tactic.strip():
            steps.append(f"[GOAL]\n{goal.rstrip()}\n[PROOFSTEP]\n{tactic.rstrip()}")
    return steps


def _verbose_steps(text: str, without: tuple[str, ...]) -> list[str]:
    steps = []
    for block in re.split(r"^===\n", text, flags=re.MULTILINE)[1:]:
        fields = block.split("\n---\n")
        if len(fields) < 6:
            continue
        declared, goal, tactic = fields[2], fields[3], fields[5]
        name = next(iter(_DECLARED.findall(declared)), "")
        if name and any(test == name or test.endswith("." + name) for test in without):
            continue
        if tactic.strip():
            steps.append(f"[GOAL]\n{goal.rstrip()}\n[PROOFSTEP]\n{tactic.rstrip()}")
    return steps
