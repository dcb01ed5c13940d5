"""Pages in a column of JSON lines and Parquet, and OpenWebMath's released Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import html_records, parquet
from proof_pile.sources.inputs import SourceFile

PAGE = "<html><body><p>" + "Some words of a page. " * 20 + r"so \(x^2\) holds</p></body></html>"


def read(path: Path, **settings: object) -> list[Document | Quarantined]:
    config = html_records.Config.model_validate({"kind": "html-records", "path": str(path.parent), **settings})
    file = SourceFile(name=path.name, paths=(str(path),), size=path.stat().st_size)
    return list(html_records.read(config, file, "web"))


def test_rows_of_json_lines_become_pages_and_a_bad_row_is_quarantined_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"url": "https://e.org/1", "html": PAGE, "year": 2020}), "{", json.dumps({"html": "<a href='x"})]
    path.write_text("\n".join(rows))
    first, second, third = read(path)
    assert isinstance(first, Document) and first.name == "https://e.org/1" and "so $x^2$ holds" in first.text
    assert first.meta["year"] == 2020 and "html" not in first.meta
    assert isinstance(second, Quarantined) and second.line == 2
    assert isinstance(third, Quarantined) and third.reason == "page is cut off inside a tag"


def test_rows_of_parquet_become_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"url": ["https://e.org/1", "https://e.org/2"], "page": [PAGE, "<p>no formula</p>"]}), path)
    first, second = read(path, html_key="page", prefilter=False)
    assert isinstance(first, Document) and "so $x^2$ holds" in first.text
    assert isinstance(second, Document) and second.text == "no formula\n"


def test_released_openwebmath_is_read_by_the_parquet_reader(tmp_path: Path) -> None:
    """Columns as on huggingface.co/datasets/open-web-math/open-web-math: url, text, date, metadata (JSON in a string)."""
    path = tmp_path / "a.parquet"
    metadata = json.dumps({"extraction_info": {"found_math": True, "math_score": 0.9}})
    row = {"url": ["https://e.org/1"], "text": ["Let $x$ be."], "date": ["2020-01-01 00:00:00"], "metadata": [metadata]}
    pq.write_table(pa.table(row), path)
    config = parquet.Config(kind="parquet", path=str(path), name_keys=("url",))
    (document,) = parquet.read(config, SourceFile(name="a", paths=(str(path),), size=1), "web")
    assert isinstance(document, Document) and document.name == "https://e.org/1" and document.text == "Let $x$ be."
    assert document.meta["date"] == "2020-01-01 00:00:00" and document.meta["metadata"] == metadata
