"""The report tells, for each benchmark, part and source, how many items stand in how many documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.decontaminate.report import contamination_rows, measure_title


def as_input(path: Path) -> InputFile:
    return InputFile(path=str(path), sha256=sha256_file(path))


def test_items_of_several_files_are_joined_and_documents_added(run_step: Callable[..., Any], tmp_path: Path) -> None:
    items = {
        "benchmark": ["B"] * 3,
        "id": ["x", "y", "z"],
        "part": ["problem"] * 3,
        "rule": ["ngram", "whole", "ngram"],
    }
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    found = [
        [{"measure": "rule", "benchmark": "B", "part": "problem", "documents": 2, "items": [0, 1]}],
        [{"measure": "rule", "benchmark": "B", "part": "problem", "documents": 3, "items": [1]}],
        [{"measure": "whitespace-30", "benchmark": "B", "part": "problem", "documents": 1, "items": [2]}],
    ]
    paths = [tmp_path / "items.parquet"]
    for number, rows in enumerate(found):
        paths.append(tmp_path / f"found{number}.json")
        paths[-1].write_text(json.dumps(rows))
    args = {"sources": [{"name": "web", "files": 2, "documents": 70}, {"name": "code", "files": 1, "documents": 30}]}
    task = Task(inputs=tuple(as_input(path) for path in paths), args=args)
    [record] = run_step(tmp_path, "proof_pile.decontaminate.report:run", [task], overlap=[20, 30])
    report = json.loads(Path(record.output("contamination.json").path).read_text())
    rows = [(row.benchmark, row.part, row.source, row.items, dict(row.found)) for row in contamination_rows(report)]
    assert rows == [
        ("B", "problem", "all", 3, {"rule": (2, 5), "whitespace-20": (0, 0), "whitespace-30": (1, 1)}),
        ("B", "problem", "web", 3, {"rule": (2, 5), "whitespace-20": (0, 0), "whitespace-30": (0, 0)}),
        ("B", "problem", "code", 3, {"rule": (0, 0), "whitespace-20": (0, 0), "whitespace-30": (1, 1)}),
    ]
    assert [measure_title(name) for name in report["measures"]] == ["by the rule", "20 words", "30 words"]
    assert report["documents"] == {"web": 70, "code": 30}
    assert [hit["ids"] for hit in report["hits"]] == [["x", "y"], ["z"]]
    assert {(row["rule"], row["items"]) for row in report["items"]} == {("ngram", 2), ("whole", 1)}
