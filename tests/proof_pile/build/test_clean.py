"""What `clean` removes: folders and files that no step of a finished build uses, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof_pile.build.cli import main
from proof_pile.build.tables import size_words


def build(root: Path) -> int:
    return main(["--recipe", str(root / "corpus/recipe.yml"), "--out", str(root / "out"), "--workers", "1"])


def step_folders(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("out/steps/*/step.json")}


def test_clean_shows_what_it_would_remove_and_removes_it_only_when_told(
    little_build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = step_folders(little_build)
    recipe = little_build / "corpus/recipe.yml"
    recipe.write_text(recipe.read_text().replace("validation: 0.1", "validation: 0.2"))
    (little_build / "corpus/beta/part-0.jsonl").unlink()
    assert build(little_build) == 0
    every = step_folders(little_build)
    capsys.readouterr()
    assert main(["clean", "--out", str(little_build / "out")]) == 0
    shown = capsys.readouterr().out
    assert "nothing was removed: the same command with --yes removes " in shown
    assert " files of earlier inputs" in shown
    assert step_folders(little_build) == every
    assert main(["clean", "--out", str(little_build / "out"), "--yes"]) == 0
    left = step_folders(little_build)
    assert len([name for name in before if name.startswith("consolidate-")]) == 1
    assert len([name for name in left if name.startswith("consolidate-")]) == 1
    assert left < every and not {name for name in before - left if name.startswith("read-")}
    capsys.readouterr()
    assert build(little_build) == 0
    assert "0 tasks done" in capsys.readouterr().out
    assert main(["clean", "--out", str(little_build / "out")]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_clean_of_an_unfinished_build_is_refused(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (little_build / "out/manifest.json").unlink()
    assert main(["clean", "--out", str(little_build / "out"), "--yes"]) == 2
    assert "not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_340_000_000, "2.3 GB"), (5e15, "5,000.0 TB")],
)
def test_size_is_told_in_words(size: float, words: str) -> None:
    assert size_words(size) == words
