"""A little corpus, and a build of it made once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from little_corpus import write_corpus

from proof_pile.build.cli import main


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe of a little corpus that a test may change."""
    return write_corpus(tmp_path / "corpus")


@pytest.fixture(scope="session")
def pristine_little_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus (`corpus/recipe.yml`) and its build (`out`), made in this process."""
    root = tmp_path_factory.mktemp("little")
    recipe = write_corpus(root / "corpus")
    assert main(["--recipe", str(recipe), "--out", str(root / "out"), "--workers", "1"]) == 0
    return root


@pytest.fixture
def little_build(pristine_little_build: Path, tmp_path: Path) -> Path:
    """A copy of the corpus and its build; the steps' records hold no path that the copy would break."""
    root = tmp_path / "little"
    shutil.copytree(pristine_little_build, root)
    return root
