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
from proof_pile.decontaminate.report import contamination_table


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
    [record] = run_step(tmp_path, "proof_pile.decontaminate.report:run", [task])
    report = json.loads(Path(record.output("contamination.json").path).read_text())
    assert contamination_table(report) == [
        ("rule", "B", "problem", "web", 2, 5),
        ("rule", "B", "problem", "all", 2, 5),
        ("whitespace-30", "B", "problem", "code", 1, 1),
        ("whitespace-30", "B", "problem", "all", 1, 1),
    ]
    assert report["documents"] == {"web": 70, "code": 30}
    assert [hit["ids"] for hit in report["hits"]] == [["x", "y"], ["z"]]
    assert {(row["rule"], row["items"]) for row in report["items"]} == {("ngram", 2), ("whole", 1)}
