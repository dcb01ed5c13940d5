"""Landlock: this process and its children see and touch only the named folders, whoever they run as.

Source: Linux, Documentation/userspace-api/landlock.rst.  What it does not cover is left to seccomp: changes of mode,
owner and times of a file, and `truncate` by path before ABI 3.  That a path exists can still be asked.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from eval_tasks.sandbox import kernel

LEAST_ABI = 3  # below it a file that may only be read can be truncated; Linux 6.2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1, 2, 4, 8, 1 << 15
_READ_ONLY = _READ_FILE | _READ_DIR
_RIGHTS_BY_ABI = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, _IOCTL_DEV))
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_TCP_BIND_AND_CONNECT, _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("fs", "net", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """Landlock's version in this kernel, 0 where there is none or it is switched off."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(version: int, readable: Sequence[str], writable: Sequence[str]) -> None:
    """Leaves only reading below some paths, and everything but running programs and devices below others.

    Needs NO_NEW_PRIVS.  TCP is closed from ABI 4 on; abstract Unix sockets and signals to others from ABI 6 on.
    """
    handled = sum(rights for since, rights in _RIGHTS_BY_ABI if version >= since)
    attributes = _Ruleset(
        handled,
        _TCP_BIND_AND_CONNECT if version >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = kernel.call("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_ONLY)
        for path in writable:
            _allow(ruleset, path, handled & ~(_EXECUTE | _IOCTL_DEV))
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= _OF_A_FILE
        rule = _PathBeneath(rights, parent)
        kernel.call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
