"""A build that is killed and run again has the same bytes as one that was left alone."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from llemma.core.files import sha256_file

CORPUS = Path(__file__).parents[1] / "proof_pile/build/little_corpus.py"
# They hold times, process numbers, or times of change of the input.
LEFT_OUT = {"record.json", "mixture.record.json", ".lock", "input-hashes.json"}


def little_corpus() -> ModuleType:
    spec = importlib.util.spec_from_file_location("little_corpus_for_kills", CORPUS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "proof_pile.build", "--recipe", str(recipe), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def contents(out: Path) -> dict[str, str]:
    """Hashes of all files but for task records (they hold times) and LEFT_OUT."""
    found = {}
    for path in sorted(out.rglob("*")):
        is_record = path.parent.parent.name == "steps" and path.suffix == ".json" and len(path.stem) == 16
        if path.is_file() and not is_record and path.name not in LEFT_OUT:
            found[str(path.relative_to(out))] = sha256_file(path)
    return found


def num_records(out: Path) -> int:
    return len(list(out.glob("steps/*/????????????????.json")))


def test_build_killed_twice_at_random_moments_has_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    recipe = little_corpus().write_corpus(tmp_path / "corpus")
    out = tmp_path / "out"
    undisturbed = start(recipe, out)
    assert undisturbed.communicate(timeout=300) and undisturbed.returncode == 0
    expected, total = contents(out), num_records(out)
    out.rename(tmp_path / "undisturbed")  # built again in the same place: the NeoX overlay names it

    draw = random.Random()
    moments = sorted(draw.sample(range(1, total), 2))
    kills = 0
    for moment in moments:
        build = start(recipe, out)
        while build.poll() is None and num_records(out) < moment:
            signal.sigtimedwait([], 0.002)
        signal.sigtimedwait([], draw.random() * 0.05)
        kills += build.poll() is None
        build.kill()
        build.communicate()
    last = start(recipe, out)
    shown, _ = last.communicate(timeout=300)
    assert last.returncode == 0, shown
    assert kills == 2, moments
    assert contents(out) == expected, moments
    assert not list(out.rglob(".partial-*"))
