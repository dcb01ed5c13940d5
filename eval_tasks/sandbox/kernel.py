"""The system calls that Python 3.11 does not wrap: namespaces, mounts, capabilities, prctl.

Each raises OSError with the call's name.  ctypes only, no foreign code.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

from eval_tasks.sandbox import syscalls

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAPABILITY_VERSION_3 = 0x20080522


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(name: str, returned: int) -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return returned


def call(name: str, *arguments: object) -> int:
    """Makes a system call by name.  Integers are passed as 64 bits."""
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _checked(name, _libc().syscall(ctypes.c_long(syscalls.numbers()[name]), *wide))


def prctl(option: int, value: int) -> None:
    """prctl(2) with one value."""
    zero = ctypes.c_ulong(0)
    _checked(f"prctl({option})", _libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def unshare(flags: int) -> None:
    """unshare(2): new namespaces for this process (the PID namespace: for its children)."""
    _checked("unshare", _libc().unshare(ctypes.c_int(flags)))


def setns(fd: int, flags: int) -> None:
    """setns(2)."""
    _checked("setns", _libc().setns(ctypes.c_int(fd), ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    kind_bytes = None if kind is None else kind.encode()
    returned = _libc().mount(
        os.fsencode(source), os.fsencode(target), kind_bytes, ctypes.c_ulong(flags), data.encode() or None
    )
    _checked(f"mount on {target}", returned)


def unmount_here() -> None:
    """Lets go of what is mounted on the working directory's root, at once and with all that lies below."""
    _checked("umount2", _libc().umount2(b".", ctypes.c_int(MNT_DETACH)))


def make_read_only(target: str, *, with_below: bool) -> None:
    """Makes a mount read-only, without set-uid programs and devices (mount_setattr(2), Linux 5.12)."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    attributes = Attributes(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)  # MOUNT_ATTR_* have these three values too
    flags = _AT_RECURSIVE if with_below else 0
    call("mount_setattr", _AT_FDCWD, os.fsencode(target), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def drop_capabilities() -> None:
    """Gives up every capability for good: without exec and set-uid programs there is no way back."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())
