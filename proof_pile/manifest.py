"""manifest.json: every file of a build with its hash, and what became of every document.

    {"schema": 1, "name", "versions": {package: version}, "warnings": [text],
     "sources": {name: SourceCounts}, "files": [{"path", "bytes", "sha256"}]}

Paths are relative to the manifest. It holds no times, hosts or worker counts: two builds of the same recipe and input
give the same bytes. Written last, so that a folder with a manifest is a finished build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pydantic

from llemma.core.config import Config
from llemma.core.files import sha256_file, write_json
from llemma.core.records import installed_versions
from llemma.core.schemas import read_model
from proof_pile.mixture import shard_prefixes

MANIFEST = "manifest.json"
ARTEFACT_FILES = (
    "recipe.yml",
    "mixture.json",
    "removed.parquet",
    "changed.parquet",
    "contamination.json",
    "quarantine.jsonl",
    "samples.jsonl",
    "DATASHEET.md",
    "README.md",
    "index.html",
)
ARTEFACT_FOLDERS = ("data", "fingerprints", "neox", "text", "tokenizer")
# Those that can change a byte of the output.
_PACKAGES = ("llemma", "numpy", "pyarrow", "numba", "sentencepiece", "tokenizers")


class SplitCounts(Config):
    """Documents and tokens of one split of a source."""

    documents: int
    tokens: int


class LanguageCounts(Config):
    """Documents, tokens and bytes of text in one language (of programming or of people) of a source."""

    documents: int
    tokens: int
    bytes: int


class SourceCounts(Config):
    """What became of a source's documents.

    read = filtered + same_names + exact_duplicates + near_duplicates + contaminated + kept. Records that could not be
    read at all are quarantined and not counted as read. `description`, `licence` and `origin` are the recipe's words.
    `languages` and `licences` are what the kept documents' metadata say ("" where they say nothing); `lengths` counts
    documents by n, the number of binary digits of their tokens.
    """

    read: int
    read_bytes: int = 0
    quarantined: int = 0
    filtered: dict[str, int] = pydantic.Field(default_factory=dict)
    same_names: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    contaminated: int = 0
    kept: int
    kept_bytes: int = 0
    splits: dict[str, SplitCounts] = pydantic.Field(default_factory=dict)
    languages: dict[str, LanguageCounts] = pydantic.Field(default_factory=dict)
    licences: dict[str, int] = pydantic.Field(default_factory=dict)
    lengths: dict[str, int] = pydantic.Field(default_factory=dict)
    description: str = ""
    licence: str = ""
    origin: str = ""

    @property
    def removed(self) -> int:
        """Documents that were read and are not in the corpus."""
        return (
            sum(self.filtered.values())
            + self.same_names
            + self.exact_duplicates
            + self.near_duplicates
            + self.contaminated
        )

    @property
    def tokens(self) -> int:
        """Tokens of all splits."""
        return sum(split.tokens for split in self.splits.values())


class FileEntry(Config):
    """One file of the build."""

    path: str
    bytes: int
    sha256: str


class Manifest(Config):
    """manifest.json."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    name: str
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
    sources: dict[str, SourceCounts]
    files: tuple[FileEntry, ...]

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, out: str | Path) -> Manifest:
        """The manifest of a build folder. Raises InputError, ConfigError or DamagedFileError."""
        return read_model(Path(out) / MANIFEST, cls)


def write_manifest(
    out: str | Path,
    *,
    name: str,
    sources: Mapping[str, SourceCounts],
    warnings: Sequence[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> Manifest:
    """Writes OUT/manifest.json over all that lies in OUT; `hashes` holds SHA-256 sums known already, by path."""
    out = Path(out)
    known = hashes or {}
    manifest = Manifest(
        name=name,
        versions=installed_versions(_PACKAGES),
        warnings=tuple(warnings),
        sources=with_split_counts(out, sources),
        files=tuple(_file_entry(path, out, known) for path in artefacts(out)),
    )
    write_json(out / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def artefacts(out: Path) -> Iterator[Path]:
    """Every file of the build that a manifest names, sorted by path; temporary and hidden ones left out."""
    paths = [out / name for name in ARTEFACT_FILES if (out / name).is_file()]
    for folder in ARTEFACT_FOLDERS:
        paths += [path for path in (out / folder).rglob("*") if path.is_file()]
    yield from sorted(
        (path for path in paths if not path.name.startswith(".") and not path.name.endswith(".record.json")),
        key=lambda path: path.relative_to(out).as_posix(),
    )


def with_split_counts(out: Path, sources: Mapping[str, SourceCounts]) -> dict[str, SourceCounts]:
    """The same counts, with `splits` read from the shards where it is empty."""
    from llemma.core.indexed import IndexedReader

    shards = shard_prefixes(out)
    filled = {}
    for name, counts in sources.items():
        readers = {} if counts.splits else {split: IndexedReader(path) for split, path in shards.get(name, {}).items()}
        splits = {
            split: SplitCounts(documents=reader.num_documents, tokens=reader.num_tokens)
            for split, reader in readers.items()
        }
        filled[name] = counts if counts.splits else counts.model_copy(update={"splits": splits})
    return filled


def _file_entry(path: Path, out: Path, known: Mapping[str, str]) -> FileEntry:
    name = path.relative_to(out).as_posix()
    return FileEntry(path=name, bytes=path.stat().st_size, sha256=known.get(name) or sha256_file(path))
