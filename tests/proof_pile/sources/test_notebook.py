"""Notebooks to Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import notebook


def read_one(tmp_path: Path, value: Any) -> Document | Quarantined:
    (tmp_path / "n.ipynb").write_text(value if isinstance(value, str) else json.dumps(value))
    config = notebook.Config(kind="notebook", path=".")
    (file,) = notebook.list_files(config, tmp_path)
    (record,) = notebook.read(config, file, "code")
    return record


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def test_cells_become_markdown_without_images_and_tracebacks(tmp_path: Path) -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}}
    error = {"output_type": "error", "traceback": ["Boom"]}
    printed = {"output_type": "stream", "text": ["4\n"]}
    cells = [
        {"cell_type": "markdown", "source": ["# T\n", "![x](attachment:a.png) <img src='b'> $x^2$"]},
        code("2 + 2", printed),
        code("plot()", printed, picture),
        code("fail()", error),
    ]
    record = read_one(tmp_path, {"cells": cells, "nbformat": 4, "metadata": {"kernelspec": {"language": "julia"}}})
    assert isinstance(record, Document)
    assert record.text == (
        "# T\n  $x^2$\n\n```julia\n2 + 2\n```\n\n```\n4\n```\n\n```julia\nplot()\n```\n\n```julia\nfail()\n```\n"
    )
    assert record.meta["language"] == "jupyter"


def test_notebook_of_format_3_is_read(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Title"},
        {"cell_type": "code", "input": "x = 1", "outputs": []},
    ]
    record = read_one(tmp_path, {"worksheets": [{"cells": cells}], "nbformat": 3})
    assert isinstance(record, Document) and record.text == "## Title\n\n```python\nx = 1\n```\n"


def test_broken_notebooks_are_quarantined(tmp_path: Path) -> None:
    for value, reason in (('{"cells": [', "invalid JSON"), ({"a": 1}, "not a notebook"), ([1], "not a notebook")):
        record = read_one(tmp_path, value)
        assert isinstance(record, Quarantined) and record.reason.startswith(reason)


def test_odd_cells_are_passed_over(tmp_path: Path) -> None:
    cells = [
        None,
        3,
        {"cell_type": "code", "source": 7},
        code("x", {"data": 5}),
        {"cell_type": "markdown", "source": "ok"},
    ]  # type: ignore[arg-type]
    record = read_one(tmp_path, {"cells": cells})
    assert isinstance(record, Document) and "ok" in record.text
