"""Docstrings of packages as prose."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import docstrings, metadata
from proof_pile.sources.docstrings import prose
from proof_pile.sources.inputs import SourceFile


def test_roles_and_blocks_become_dollar_mathematics() -> None:
    text = prose(
        """Solve :math:`Ax = b`.

        The error is

        .. math::

            \\|x - y\\| \\le \\epsilon

        as in :func:`~scipy.linalg.solve`.

        .. versionadded:: 1.2
        """
    )
    assert (
        text == "Solve $Ax = b$.\n\nThe error is\n\n$$\n\\|x - y\\| \\le \\epsilon\n$$\n\nas in `scipy.linalg.solve`."
    )


def read_module(tmp_path: Path, code: str) -> list[Document | Quarantined]:
    path = tmp_path / "mod.py"
    path.write_text(code)
    config = docstrings.Config(kind="docstrings", packages=("x",), min_chars=10)
    return list(docstrings.read(config, SourceFile(name="pkg/mod.py", paths=(str(path),), size=1), "web"))


def test_module_gives_one_document_of_its_public_docstrings(tmp_path: Path) -> None:
    long = "words " * 20
    code = (
        f'"""Top {long}"""\nraise SystemExit\n'
        f'def f(a, *, b=1):\n    """Of f {long}"""\n'
        f'def _hidden():\n    """Hidden {long}"""\n'
        f'class C:\n    """Of C {long}"""\n    def m(self, x):\n        """Of m {long}"""\n'
    )
    (document,) = read_module(tmp_path, code)
    assert isinstance(document, Document)
    titles = [line for line in document.text.split("\n") if line.startswith("#")]
    assert titles == ["# pkg.mod", "## pkg.mod.f(a)", "## pkg.mod.C", "## pkg.mod.C.m(x)"]
    assert "Hidden" not in document.text


@pytest.mark.parametrize("code", ['"""a""" + (', '"""a"""\n' + "(" * 5000, '"""a"""\n' + "-" * 200_000 + "1"])
def test_module_that_is_no_python_is_quarantined(tmp_path: Path, code: str) -> None:
    (record,) = read_module(tmp_path, code)
    assert isinstance(record, Quarantined) and record.reason.startswith("not Python")


def test_descriptions_of_installed_distributions_lose_badges_and_tags(tmp_path: Path) -> None:
    body = (
        "Name: x\nVersion: 1\nLicense: MIT\n\n[![b](http://b)](http://c)\n<p align='center'>Hello</p>\n"
        + "Text. " * 100
    )
    (tmp_path / "METADATA").write_text(body)
    config = metadata.Config(kind="metadata", distributions=("x",))
    file = SourceFile(name="x/METADATA", paths=(str(tmp_path / "METADATA"),), size=1)
    (document,) = metadata.read(config, file, "text")
    assert isinstance(document, Document)
    assert document.text.startswith("Hello\nText.") and document.meta["licence"] == "MIT"


def test_absent_distributions_are_passed_over(tmp_path: Path) -> None:
    config = metadata.Config(kind="metadata", distributions=("numpy", "no-such-distribution-here"))
    assert [f.name for f in metadata.list_files(config, tmp_path)] == ["numpy/METADATA"]
