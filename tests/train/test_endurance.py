"""The endurance benchmark: what it makes of looks at a process, and that it sees memory that grows."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@pytest.fixture
def endurance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the benchmark, which is no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import endurance

    yield endurance
    sys.modules.pop("endurance", None)


def test_endurance_windows_of_a_process_that_grows_tell_its_slope_and_not_that_of_its_first_window(
    endurance: Any,
) -> None:
    looks = [
        endurance.Look(
            step=step,
            anonymous_mb=100 + step / 1000 + (40 if step < 100 else 0),  # and a cache that is given back
            file_mb=7.0,
            cpu_s=step * 0.004,
        )
        for step in range(10, 2001, 10)
    ]
    step_ms = [3.0 if number % 10 else 90.0 for number in range(2000)]  # a validation now and then
    found = endurance.windows(looks, step_ms, 2000)
    assert [(window.first, window.last) for window in found[:2]] == [(1, 200), (201, 400)] and len(found) == 10
    assert found[0].anonymous_mb == pytest.approx(140.09) and found[1].anonymous_mb == pytest.approx(100.4)
    assert all(window.step_ms == 3.0 and window.cpu_ms == pytest.approx(4.0) for window in found)
    assert endurance.slope(found, [window.anonymous_mb for window in found]) == pytest.approx(10.0)
    last = endurance.table(found).splitlines()[-1]
    assert last == "| growth in 10,000 steps | +10.00 | +0.00 | +0.00 | +0.00 |"


def test_endurance_look_counts_memory_that_is_held_and_not_pages_of_a_mapped_file(
    endurance: Any, tmp_path: Path
) -> None:
    np = pytest.importorskip("numpy")
    (tmp_path / "file").write_bytes(bytes(32_000_000))
    before = endurance.look(os.getpid(), 1)
    mapped = np.memmap(tmp_path / "file", mode="r")
    assert mapped[::4096].sum() == 0
    after_mapping = endurance.look(os.getpid(), 2)
    # Not from the heap, which may hold as much that earlier tests have freed.
    held = mmap.mmap(-1, 32_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.write(bytes([1]) * 32_000_000)
    after_holding = endurance.look(os.getpid(), 3)
    held.close()
    assert after_mapping.anonymous_mb - before.anonymous_mb < 5 < after_mapping.file_mb - before.file_mb
    assert after_holding.anonymous_mb - after_mapping.anonymous_mb > 25
