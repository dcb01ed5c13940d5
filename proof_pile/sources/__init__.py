"""Readers of raw input, one file a kind.

A kind is a module with three things:
    Config                                   its section of a recipe (`kind: <name>` and its settings)
    list_files(config, base) -> list         the pieces of input (`SourceFile`), in a stable order, cheap and pure;
                                             `base` is the folder of the recipe, from which relative paths are taken
    read(config, file, source) -> iterator   the documents of one piece (`Document`) and what could not be read
                                             (`Quarantined`); same bytes in, same documents out

To add a kind: write the module, add it to `KINDS` and to `SourceConfig` below.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import (
    arxiv,
    docstrings,
    git,
    html,
    html_records,
    hub,
    isabelle_steps,
    jsonl,
    latex,
    lean_steps,
    metadata,
    notebook,
    parquet,
    stackexchange,
    synthetic,
    tree,
    warc,
)
from proof_pile.sources.inputs import SourceFile

KINDS: dict[str, str] = {
    "arxiv": "proof_pile.sources.arxiv",
    "docstrings": "proof_pile.sources.docstrings",
    "git": "proof_pile.sources.git",
    "html": "proof_pile.sources.html",
    "html-records": "proof_pile.sources.html_records",
    "hub": "proof_pile.sources.hub",
    "isabelle-proof-steps": "proof_pile.sources.isabelle_steps",
    "jsonl": "proof_pile.sources.jsonl",
    "latex": "proof_pile.sources.latex",
    "lean-proof-steps": "proof_pile.sources.lean_steps",
    "metadata": "proof_pile.sources.metadata",
    "notebook": "proof_pile.sources.notebook",
    "parquet": "proof_pile.sources.parquet",
    "stackexchange": "proof_pile.sources.stackexchange",
    "synthetic": "proof_pile.sources.synthetic",
    "tree": "proof_pile.sources.tree",
    "warc": "proof_pile.sources.warc",
}

SourceConfig = Annotated[
    arxiv.Config
    | docstrings.Config
    | git.Config
    | html.Config
    | html_records.Config
    | hub.Config
    | isabelle_steps.Config
    | jsonl.Config
    | latex.Config
    | lean_steps.Config
    | metadata.Config
    | notebook.Config
    | parquet.Config
    | stackexchange.Config
    | synthetic.Config
    | tree.Config
    | warc.Config,
    Field(discriminator="kind"),
]


def list_files(config: Any, base: Path) -> list[SourceFile]:
    """The pieces of input that a source section names.  Raises InputError where there are none."""
    files: list[SourceFile] = importlib.import_module(KINDS[config.kind]).list_files(config, base)
    return files


def read(config: Any, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of one piece of input, and its records that could not be read."""
    records: Iterator[Document | Quarantined] = importlib.import_module(KINDS[config.kind]).read(config, file, source)
    return records


__all__ = ["KINDS", "Document", "Quarantined", "SourceConfig", "SourceFile", "list_files", "read"]
