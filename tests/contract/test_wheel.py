"""The wheel holds all that a user needs: code, configurations, prompts, the sample."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA_SUFFIXES = {".yml", ".yaml", ".json", ".jsonl", ".html", ".css"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, because a build writes into the tree that it builds.
    skip = shutil.ignore_patterns(
        ".venv", ".git", ".peers", "runs", "*.egg-info", "__pycache__", ".*_cache", "build.log"
    )
    shutil.copytree(ROOT, source, ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("llemma-*.whl"))


def test_wheel_ships_every_data_file_of_the_packages(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    data = {
        path.relative_to(ROOT).as_posix()
        for part in ("llemma", "neox_configs", "eval_tasks")
        for path in (ROOT / part).rglob("*")
        if path.suffix in DATA_SUFFIXES and "__pycache__" not in path.parts
    }
    data |= {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "proof_pile/sample").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(data) > 50
    assert sorted(data - shipped) == []
    assert not [name for name in shipped if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_wheel_alone_plans_a_build_and_a_run(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def call(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import llemma; print(llemma.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site), "the test must look at the wheel, not at the checkout"
    assert str(site / "proof_pile/sample/recipe.yml") in call("proof_pile.build", "plan", "--out", "data")
    assert "Built-in problems" in call("eval_tasks", "list")
    assert "6,738,546,688" in call("llemma", "plan", "llemma_7b")
