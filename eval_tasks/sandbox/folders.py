"""The folders that a program must read to import anything: the standard library, packages, shared libraries."""

from __future__ import annotations

import importlib.util
import os
import stat
import sysconfig
from collections.abc import Sequence
from pathlib import PurePath

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")
_PACKAGES = ("numpy", "sympy", "mpmath")


def readable_folders() -> tuple[str, ...]:
    """Those of this Python that exist, none inside another."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found.add(os.path.dirname(os.path.dirname(spec.origin)))
    existing = sorted(os.path.abspath(path) for path in {*found, *_SYSTEM} if os.path.isdir(path))
    return tuple(path for path in existing if not any(PurePath(path).is_relative_to(o) for o in existing if o != path))


def is_open_to_all(folders: Sequence[str]) -> bool:
    """Whether every user can walk into each of these folders."""
    every = {str(parent) for folder in folders for parent in (PurePath(folder), *PurePath(folder).parents)}
    return all(os.stat(folder).st_mode & stat.S_IXOTH for folder in every)
