"""What the data build says of single documents: the side file `<prefix>.documents.parquet` beside a shard.

Row i tells of document i of the .bin; of its columns `id`, `source` and `name` are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MAX_NAME = 200  # characters shown of a text; chosen by us


@dataclass(frozen=True, kw_only=True)
class DocumentName:
    """How a person finds a document again."""

    id: str
    source: str
    name: str

    def __str__(self) -> str:
        # Names come from outside: quoted, so that no control character reaches the terminal.
        return f"id {shown(self.id)}, source {shown(self.source)}, name {shown(self.name)}"


def document_names(prefix: str | Path, numbers: Iterable[int]) -> dict[int, DocumentName]:
    """The names of documents of a shard, by number; empty where the side file is absent or cannot be read.

    Only the row groups that hold the documents are read: the side file of a whole corpus is long.
    """
    path = Path(f"{prefix}.documents.parquet")
    if not path.is_file():
        return {}
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return {}
    found: dict[int, DocumentName] = {}
    wanted = sorted(set(numbers))
    try:
        with pq.ParquetFile(path) as file:
            first = 0
            for group in range(file.metadata.num_row_groups):
                after = first + file.metadata.row_group(group).num_rows
                here = [number for number in wanted if first <= number < after]
                if here:
                    rows = file.read_row_group(group, columns=["id", "source", "name"])
                    for number, row in zip(here, rows.take([n - first for n in here]).to_pylist(), strict=True):
                        found[number] = DocumentName(**{key: str(row[key]) for key in ("id", "source", "name")})
                first = after
    except (OSError, KeyError, pa.ArrowException):
        # Whoever asks is telling of another fault, which a damaged side file must not hide.
        return {}
    return found


def shown(text: str) -> str:
    """A text from outside for a terminal: quoted, its control characters written out, cut where it is long."""
    return repr(text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…")
