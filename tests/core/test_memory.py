"""How much memory a limit on this process leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from llemma.core.memory import available_bytes, room_in_groups

NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def make_group(folder: Path, version: int, limit: int | str, use: int, cache: int = 0) -> None:
    limit_name, use_name, cache_name = NAMES[version]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / use_name).write_text(f"{use}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{cache_name} {cache}\nactive_file 7\n")


@pytest.mark.parametrize(("version", "line"), [(1, "4:cpu,memory:/slurm/job_7"), (2, "0::/slurm/job_7")])
def test_limit_of_a_slurm_job_is_seen_though_its_group_lies_deep(tmp_path: Path, version: int, line: str) -> None:
    """Only the topmost group was looked at: on a node of 512 GB a job of 8 GB took itself to have 460 GB."""
    top = tmp_path / "memory" if version == 1 else tmp_path
    make_group(top / "slurm/job_7", version, 8000, 1000)
    make_group(top / "slurm", version, 9000, 2500)
    make_group(top, version, "max" if version == 2 else 2**63 - 4096, 0)
    assert room_in_groups(f"7:pids:/\n{line}\n", tmp_path) == 6500


def test_files_that_the_kernel_remembers_are_no_use_of_memory(tmp_path: Path) -> None:
    """In a container a build that had read more than the limit's size of input took itself to have no memory left."""
    make_group(tmp_path, 2, limit=8000, use=7900, cache=6000)
    assert room_in_groups("0::/", tmp_path) == 6100


def test_group_that_is_named_as_seen_from_outside_of_the_container_is_the_topmost_here(tmp_path: Path) -> None:
    make_group(tmp_path / "memory", 1, 500, 100)
    assert room_in_groups("4:memory:/docker/0123abc\n", tmp_path) == 400


@pytest.mark.parametrize("membership", ["", "0::/\n", "4:memory:/x\n1:name=systemd:/\n"])
def test_no_limit_is_none(tmp_path: Path, membership: str) -> None:
    assert room_in_groups(membership, tmp_path) is None


def test_some_memory_is_free_here() -> None:
    assert available_bytes() > 1 << 20
