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
    docstrings,
    html,
    jsonl,
    latex,
    metadata,
    notebook,
    parquet,
    synthetic,
    tree,
)
from proof_pile.sources.inputs import SourceFile

KINDS: dict[str, str] = {
    "docstrings": "proof_pile.sources.docstrings",
    "html": "proof_pile.sources.html",
    "jsonl": "proof_pile.sources.jsonl",
    "latex": "proof_pile.sources.latex",
    "metadata": "proof_pile.sources.metadata",
    "notebook": "proof_pile.sources.notebook",
    "parquet": "proof_pile.sources.parquet",
    "synthetic": "proof_pile.sources.synthetic",
    "tree": "proof_pile.sources.tree",
}

SourceConfig = Annotated[
    docstrings.Config
    | html.Config
    | jsonl.Config
    | latex.Config
    | metadata.Config
    | notebook.Config
    | parquet.Config
    | synthetic.Config
    | tree.Config,
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
