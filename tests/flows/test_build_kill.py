"""A build whose workers and drivers are killed has the same bytes as one that was left alone."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build_runs import contents, num_records, run_build, write_corpus
from kill_build import LocalFire, build_under_fire, differences


def test_build_killed_at_random_moments_has_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    recipe = write_corpus(tmp_path / "corpus", num_files=2, per_file=12)
    out = tmp_path / "out"
    run_build(recipe, out, "--workers", "1")
    expected, total = contents(out), num_records(out)
    out.rename(tmp_path / "undisturbed")  # built again in the same place: the NeoX overlay names it

    killed = build_under_fire(recipe, out, LocalFire(), 4, total, random.Random())
    assert killed
    assert differences(expected, contents(out)) == [], killed
    assert not list(out.rglob(".partial-*"))
