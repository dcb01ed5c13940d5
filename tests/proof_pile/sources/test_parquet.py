"""Parquet sources."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import parquet


def read_all(path: Path, **settings: object) -> list[Document | Quarantined]:
    config = parquet.Config(kind="parquet", path=str(path), **settings)
    return [r for file in parquet.list_files(config, path.parent) for r in parquet.read(config, file, "web")]


def test_parquet_rows_become_documents_over_all_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    table = pa.table({"text": [f"text {n}" for n in range(1000)], "url": [f"http://{n}" for n in range(1000)]})
    pq.write_table(table, path, row_group_size=300)
    records = read_all(path)
    assert [r.name for r in records if isinstance(r, Document)] == [f"http://{n}" for n in range(1000)]


def test_parquet_row_without_text_is_quarantined_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"text": ["a", None, "c"], "id": ["1", "2", "3"]}), path)
    records = read_all(path)
    assert [type(r).__name__ for r in records] == ["Document", "Quarantined", "Document"]
    assert isinstance(records[1], Quarantined) and records[1].line == 2


def test_parquet_without_the_text_column_names_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"content": ["a"]}), path)
    (record,) = read_all(path)
    assert isinstance(record, Quarantined) and "found content" in record.reason
    (document,) = read_all(path, text_key="content")
    assert isinstance(document, Document) and document.text == "a"


def test_damaged_parquet_is_quarantined_and_raises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"text": [f"some text {n}" * 50 for n in range(2000)]}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[500:3000] = bytes(2500)
    path.write_bytes(bytes(data))
    assert any(isinstance(r, Quarantined) and "damaged row group" in r.reason for r in read_all(path))
    path.write_bytes(b"PAR1 not really")
    (record,) = read_all(path)
    assert isinstance(record, Quarantined) and record.reason.startswith("not a Parquet file")


def test_text_longer_than_is_allowed_costs_its_own_row(tmp_path: Path) -> None:
    """Bytes are bounded, as the setting says; characters were."""
    texts = ["one", "é" * 1024, "é" * 1025, "two"]
    pq.write_table(pa.table({"text": texts, "id": ["0", "1", "2", "3"]}), tmp_path / "part.parquet")
    records = read_all(tmp_path, max_text_bytes=2048)
    assert [r.name for r in records if isinstance(r, Document)] == ["0", "1", "3"]
    [bad] = [r for r in records if isinstance(r, Quarantined)]
    assert (bad.line, bad.reason) == (3, "text longer than 2048 bytes")
