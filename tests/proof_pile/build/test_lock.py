"""One build at a time in a folder, also where the file system has no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from llemma.core.errors import WorkError
from proof_pile.build.lock import LOCK, build_lock, lock_holder


def test_second_build_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with build_lock(tmp_path):
        assert lock_holder(tmp_path) == {"pid": os.getpid(), "host": socket.gethostname()}
        with pytest.raises(WorkError, match=rf"another build is at work here \(process {os.getpid()} on "):
            build_lock(tmp_path).__enter__()
    assert lock_holder(tmp_path) is None
    with build_lock(tmp_path):
        pass


def test_build_that_begins_while_status_looks_is_not_refused(tmp_path: Path) -> None:
    """`status --watch` takes the lock for a moment to see who has it: a build begun just then named a dead process."""
    (tmp_path / LOCK).touch()
    with open(tmp_path / LOCK) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        timer = threading.Timer(0.1, fcntl.flock, (handle, fcntl.LOCK_UN))
        timer.start()
        with build_lock(tmp_path):
            pass
        timer.join()


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
def test_folder_without_locks_is_built_in_and_a_build_on_this_machine_is_noticed(tmp_path: Path) -> None:
    """On Lustre mounted without locks every build ended with "Function not implemented"."""
    with build_lock(tmp_path):
        assert (tmp_path / LOCK).read_bytes()
    assert lock_holder(tmp_path) is None
    here = {"pid": os.getppid(), "host": socket.gethostname()}
    (tmp_path / LOCK).write_text(json.dumps(here))
    assert lock_holder(tmp_path) == here
    with pytest.raises(WorkError, match="another build is at work here"):
        build_lock(tmp_path).__enter__()
    for gone in ({"pid": 2**22 + 1, "host": socket.gethostname()}, {"pid": os.getppid(), "host": "elsewhere"}, {}):
        (tmp_path / LOCK).write_text(json.dumps(gone))
        with build_lock(tmp_path):
            pass
