"""One build at a time in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llemma.core.errors import WorkError

LOCK = ".lock"


@contextlib.contextmanager
def build_lock(steps: Path) -> Iterator[None]:
    """Holds the folder's lock while the block runs.  Raises WorkError where another build holds it.

    The lock is the kernel's (flock) and ends with its process, however that ends: one that a dead process left behind
    is simply taken.  The file says who holds it.
    """
    import fcntl

    steps.mkdir(parents=True, exist_ok=True)
    handle = os.open(steps / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(handle)
            raise WorkError(
                f"{steps.parent}: another build is at work here (process {holder.get('pid', '?')} on "
                f"{holder.get('host', 'another host')}): wait for it, or give this one another --out"
            ) from None
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(handle)


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
