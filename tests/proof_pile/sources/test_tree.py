"""Source trees and installed packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import tree


def read_all(base: Path, **settings: object) -> list[Document | Quarantined]:
    config = tree.Config(kind="tree", **settings)
    return [r for file in tree.list_files(config, base) for r in tree.read(config, file, "code")]


def test_tree_gives_one_document_a_file_with_its_language(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Main.lean").write_text("theorem t : 1 = 1 := rfl\n")
    (tmp_path / "notes.xyz").write_text("unknown ending")
    (tmp_path / ".hidden.py").write_text("x = 1")
    (document,) = read_all(tmp_path, path=".")
    assert isinstance(document, Document)
    assert (document.name, document.meta["language"]) == ("src/Main.lean", "lean")


def test_tree_with_undecodable_and_binary_files_quarantines_them_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.R").write_bytes(b"x <- 1 # \xe9\n")
    (tmp_path / "b.c").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "c.py").write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r\n")
    first, second, third = read_all(tmp_path, path=".")
    assert isinstance(first, Quarantined) and first.reason == "invalid UTF-8 at byte 9"
    assert isinstance(second, Quarantined) and second.reason == "binary data"
    assert isinstance(third, Document) and third.text == "x = 1\ny = 2\n"


def test_capped_tree_takes_the_same_part_whatever_the_order_of_creation(tmp_path: Path) -> None:
    parts = []
    for folder, numbers in (("one", range(60)), ("two", reversed(range(60)))):
        (tmp_path / folder).mkdir()
        for n in numbers:
            (tmp_path / folder / f"f{n}.py").write_text(f"# {n:02d}\n" * 20)
        config = tree.Config(kind="tree", path=folder, max_bytes=1300)
        parts.append(tree.list_files(config, tmp_path))
    assert [f.name for f in parts[0]] == [f.name for f in parts[1]]
    assert len(parts[0]) == 13  # of 100 bytes each
    assert [f.name for f in parts[0]] != [f"f{n}.py" for n in range(13)]


def test_link_that_leaves_the_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret = 1")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "inside.py").write_text("x = 1")
    (tmp_path / "tree" / "link.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    assert [r.name for r in read_all(tmp_path, path="tree") if isinstance(r, Document)] == ["inside.py"]


def test_package_is_found_without_being_imported(tmp_path: Path) -> None:
    package = tmp_path / "dangerous"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "core.py").write_text("VALUE = 1\n")
    code = (
        "from pathlib import Path; from proof_pile.sources import tree\n"
        "c = tree.Config(kind='tree', packages=['dangerous', 'fractions'])\n"
        "print([f.name for f in tree.list_files(c, Path('.'))])"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "['dangerous/__init__.py', 'dangerous/core.py', 'fractions.py']"


def test_absent_package_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip install no_such_package_here"):
        read_all(tmp_path, packages=["no_such_package_here"])


def test_tree_needs_exactly_one_of_path_and_packages() -> None:
    with pytest.raises(ValueError, match="either 'path' or 'packages'"):
        tree.Config(kind="tree")


def test_tree_with_names_that_are_no_utf8_keeps_them_apart(tmp_path: Path) -> None:
    """Both became "??.py", so that two documents had one id."""
    for name in (b"\xff.py", b"\xfe.py"):
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_text("a = 1\n")
    config = tree.Config(kind="tree", path=str(tmp_path))
    files = tree.list_files(config, tmp_path)
    assert [file.name for file in files] == ["\\udcfe.py", "\\udcff.py"]
    assert [document.text for file in files for document in tree.read(config, file, "code")] == ["a = 1\n"] * 2


def test_notebook_in_a_tree_becomes_markdown_and_an_lfs_pointer_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text('{"cells": [{"cell_type": "markdown", "source": "# T"}]}')
    (tmp_path / "big.lean").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "A.lagda.md").write_text("# Agda\n")
    agda, pointer, page = read_all(tmp_path, path=".")
    assert isinstance(agda, Document) and agda.meta["language"] == "agda"
    assert isinstance(pointer, Quarantined) and pointer.reason.startswith("Git LFS pointer")
    assert isinstance(page, Document) and (page.text, page.meta["language"]) == ("# T\n", "jupyter")
