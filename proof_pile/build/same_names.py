"""Documents of one source with the same name: their ids would be one, and no bad training sample could be named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def same_names(source: str, paths: Sequence[str], *, copies_go: bool) -> str | None:
    """What to do where several documents of a source have one name; None where none have.

    `paths` are all its files of documents.  Copies of one text are no matter where they are removed (`copies_go`).
    """
    columns = [pq.read_table(path, columns=["id"]).column("id") for path in paths]
    ids = np.frombuffer(b"".join(b"".join(column.to_pylist()) for column in columns), "V16")
    found, counts = np.unique(ids.view(np.dtype("u8,u8")), return_counts=True)
    repeated = pa.array([value.tobytes() for value in found[counts > 1]], pa.binary(16))
    if not len(repeated):
        return None
    tables = [pq.read_table(path, columns=["id", "name", "text"]) for path in paths]
    several = pa.concat_tables([table.filter(pc.is_in(table.column("id"), repeated)) for table in tables])
    texts: dict[str, set[str]] = {}
    for name, text in zip(several.column("name").to_pylist(), several.column("text").to_pylist(), strict=True):
        texts.setdefault(name, set()).add(text)
    names = sorted(name for name, versions in texts.items() if len(versions) > 1 or not copies_go)
    if not names:
        return None
    shown = ", ".join(f"'{name}'" if name else "(a text without a name)" for name in names[:3])
    return (
        f"source '{source}': {len(names):,} names stand for several documents each ({shown}): give each input a source "
        "of its own, or name records by another key ('name_keys'; with [] the text names them)"
        f"{'' if copies_go else ', or let copies be removed (deduplicate: exact)'}"
    )
