"""Memory of this machine and of processes, in bytes, as Linux tells it; 0 where it is not told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_FILES = {  # (limit, use, what of the use is a cache of files) by version of cgroups
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_bytes() -> int:
    """Memory that programs started now may take: what the machine has free, or a limit on us leaves, if that is less.

    Such limits are those of a container and of a Slurm job.
    """
    free = _status_bytes("/proc/meminfo", "MemAvailable")
    try:
        room = room_in_groups(Path("/proc/self/cgroup").read_text(), CGROUPS)
    except OSError:
        return free
    return free if room is None else min(free, room)


def room_in_groups(membership: str, root: Path) -> int | None:
    """What the limits on a process's control groups leave; None where there are none.

    `membership` is /proc/<pid>/cgroup, `root` the folder of all groups.  Limits of the groups above count too.  In a
    container the path may be the one outside of it: then only the topmost folder is there, and it is the container's.
    Files that the kernel keeps in memory are no use of it: they go when it is wanted.
    """
    left = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, top = (1, root / "memory") if controllers else (2, root)
        folder = top / path.strip("/")
        left += [_limit_left(place, version) for place in (folder, *folder.parents) if place.is_relative_to(top)]
    return min((room for room in left if room is not None), default=None)


def _limit_left(folder: Path, version: int) -> int | None:
    limit, use, cache = _CGROUP_FILES[version]
    try:
        used = int((folder / use).read_text())
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(f"{cache} "):
                used -= int(line.split()[1])
        return max(0, int((folder / limit).read_text()) - used)
    except (OSError, ValueError, IndexError):  # no such group, or its limit is "max"
        return None


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def forget_peak() -> None:
    """Has `peak_bytes` begin anew for this process, where the kernel lets it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process has held, since its start or since `forget_peak`."""
    return _status_bytes("/proc/self/status", "VmHWM")


def _status_bytes(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
