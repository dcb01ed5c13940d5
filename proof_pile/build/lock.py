"""One build at a time in a folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llemma.core.errors import WorkError
from llemma.core.logging import get_logger

LOCK = ".lock"
GLANCE_S = 0.5  # `status` holds the lock for a moment to see whether anyone has it: that is no build
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
log = get_logger(__name__)


@contextlib.contextmanager
def build_lock(steps: Path) -> Iterator[None]:
    """Holds the folder's lock while the block runs.  Raises WorkError where another build holds it.

    The lock is the kernel's (flock) and ends with its process, however that ends: one that a dead process left behind
    is simply taken.  The file says who holds it.  On a file system without locks (Lustre may be mounted so) a warning
    is given, and only a build on this same machine is noticed.
    """
    steps.mkdir(parents=True, exist_ok=True)
    handle = os.open(steps / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _take(handle):
            raise _other_build(steps, _read(handle))
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        try:
            yield
        finally:
            os.truncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    """Takes the kernel's lock; False where another process has it."""
    import fcntl

    deadline = time.monotonic() + GLANCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(GLANCE_S / 20)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            log.warning("this file system has no locks: see to it yourself that no other build is at work here")
            holder = _read(handle)
            return not (holder.get("host") == socket.gethostname() and _is_alive(holder.get("pid")))
        else:
            return True


def _other_build(steps: Path, holder: dict[str, Any]) -> WorkError:
    return WorkError(
        f"{steps.parent}: another build is at work here (process {holder.get('pid', '?')} on "
        f"{holder.get('host', 'another host')}): wait for it, or give this one another --out"
    )


def _is_alive(pid: Any) -> bool:
    return isinstance(pid, int) and pid != os.getpid() and Path(f"/proc/{pid}").exists()


def lock_holder(steps: Path) -> dict[str, Any] | None:
    """Who builds in this folder now ({"pid", "host"}), None where nobody does."""
    import fcntl

    try:
        handle = os.open(steps / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        holder = _read(handle)
        return holder if holder.get("host") == socket.gethostname() and _is_alive(holder.get("pid")) else None
    else:
        return None
    finally:
        os.close(handle)


def _read(handle: int) -> dict[str, Any]:
    try:
        value = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
