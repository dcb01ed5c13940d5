"""The recipes that come with the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof_pile.build.cli import main
from proof_pile.build.recipes_command import shipped_recipes


def test_recipes_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert {"algebraic-stack", "arxiv", "open-web-math", "proof-pile-2"} <= shipped_recipes().keys()
    assert all(name in printed for name in shipped_recipes())


def test_recipe_is_copied_once_and_nothing_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", "custom"]) == 0
    assert Path("custom.yml").read_bytes() == shipped_recipes()["custom"].read_bytes()
    Path("custom.yml").write_text("mine")
    assert main(["recipes", "custom"]) == 2
    assert Path("custom.yml").read_text() == "mine"
    assert "--to" in capsys.readouterr().err
    assert main(["recipes", "custom", "--to", "other.yml"]) == 0


def test_unknown_recipe_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "proof-pile-3"]) == 2
    assert "there are: algebraic-stack, arxiv" in capsys.readouterr().err


def test_build_of_a_shipped_name_says_to_copy_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", "arxiv", "--out", str(tmp_path / "out")]) == 2
    assert "recipes arxiv" in capsys.readouterr().err
