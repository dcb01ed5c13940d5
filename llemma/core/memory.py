"""Memory of this machine and of processes, in bytes, as Linux tells it; 0 where it is not told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUP_FILES = (  # (limit, use) of a container: version 2, version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes() -> int:
    """Memory that programs started now may take: what the machine has free, or a container's limit leaves."""
    free = _status_bytes("/proc/meminfo", "MemAvailable")
    for limit_file, use_file in _CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            free = min(free, max(0, int(Path(limit_file).read_text()) - int(Path(use_file).read_text())))
    return free


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
