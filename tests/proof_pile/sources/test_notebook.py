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


def test_printed_pieces_are_one_output_and_rich_ones_keep_their_form(tmp_path: Path) -> None:
    stream = {"output_type": "stream", "text": ["a\n"]}
    latex = {"output_type": "execute_result", "data": {"text/latex": "$x^2$", "text/plain": "x**2"}}
    old = {"output_type": "pyout", "latex": "$y$", "text": "y"}
    record = read_one(tmp_path, {"cells": [code("f()", stream, stream, latex, old)]})
    assert isinstance(record, Document)
    assert record.text == "```python\nf()\n```\n\n```\na\na\n```\n\n$x^2$\n\n$y$\n"


def test_code_that_holds_a_fence_gets_a_longer_one(tmp_path: Path) -> None:
    record = read_one(tmp_path, {"cells": [code('s = """\n```\nx\n```\n"""')]})
    assert isinstance(record, Document) and record.text.startswith("````python\n")


def test_images_of_any_length_go(tmp_path: Path) -> None:
    """The bound on an image's address was a million characters, and a longer one stayed in the text as base64."""
    source = "before ![](data:image/png;base64," + "A" * 1_500_000 + ") after"
    record = read_one(tmp_path, {"cells": [{"cell_type": "markdown", "source": source}]})
    assert isinstance(record, Document) and record.text == "before  after\n"


def test_json_is_searched_for_mathematics_before_outputs_go(tmp_path: Path) -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "AA", "text/latex": "\\begin{Equation}x\\end"}}
    record = read_one(tmp_path, {"cells": [code("show()", picture), code("From Sympy import *".lower())]})
    assert isinstance(record, Document)
    assert record.meta["raw_holds"] == ["\\begin{equation}", "from sympy"]
    assert "begin" not in record.text


def test_raw_cell_of_latex_stays_and_one_of_nothing_goes(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "raw", "source": "\\section{A}", "metadata": {"raw_mimetype": "text/latex"}},
        {"cell_type": "raw", "source": "---\ntitle: x\n---", "metadata": {}},
    ]
    record = read_one(tmp_path, {"cells": cells})
    assert isinstance(record, Document) and record.text == "\\section{A}\n"
