"""Source trees and installed packages: one file a document, its language told from its ending."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, read_bounded, take_until
from proof_pile.sources.languages import EXTENSIONS, language_of
from proof_pile.sources.packages import package_files
from proof_pile.sources.text_file import file_document


class Config(BaseConfig):
    """A folder (`path`) or installed packages (`packages`).

    `languages` keeps only these; `extensions` adds to the table of endings (".ml": "ocaml").  `max_bytes` takes an
    evenly spread part, the same on every machine; `exclude` holds patterns of names ("*/tests/*").
    """

    kind: Literal["tree"]
    path: str | None = None
    packages: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    extensions: dict[str, str] = Field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    max_bytes: int | None = Field(default=None, ge=1)
    max_file_bytes: int = Field(default=10_000_000, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_root(self) -> Config:
        if (self.path is None) == (not self.packages):
            raise ValueError("give either 'path' or 'packages'")
        return self


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The files of the tree in languages that are wanted, at most `max_bytes` of them."""
    table = {**EXTENSIONS, **config.extensions}
    endings = tuple(
        sorted(e for e, language in table.items() if config.languages is None or language in config.languages)
    )
    if not endings:
        raise InputError(f"tree: no file ending is known for the languages {', '.join(config.languages or ())}")
    if config.path is not None:
        found = list_inputs(config.path, base, endings, wanted=f"files ending in {', '.join(endings)}")
        if is_remote(config.path):
            found = [f for f in found if f.name.lower().endswith(endings)]
    else:
        found = [file for package in config.packages for file in package_files(package, endings)]
    kept = [f for f in found if not any(fnmatchcase(f.name, pattern) for pattern in config.exclude)]
    if not kept:
        raise InputError(f"tree: no file is left of {config.path or ', '.join(config.packages)} after 'exclude'")
    return take_until(kept, config.max_bytes)


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The one document of a file, or why it cannot be read (too long, binary, not UTF-8)."""
    try:
        data = read_bounded(file.paths[0], config.max_file_bytes)
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
        return
    if data is None:
        yield Quarantined(path=file.name, reason=f"file longer than {config.max_file_bytes} bytes")
        return
    language = language_of(file.name, {**EXTENSIONS, **config.extensions}) or "unknown"
    record = file_document(source, file.name, data, language, {"path": file.name, **config.meta})
    if record is not None:
        yield record
