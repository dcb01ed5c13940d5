"""Where installed packages and modules of the standard library lie, found without importing them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from llemma.core.errors import InputError
from proof_pile.sources.inputs import SourceFile, walk


def package_root(name: str) -> Path:
    """The folder of a package, or the file of a module.  Raises InputError where it is not installed."""
    if not name.replace("_", "").isalnum():
        raise InputError(f"'{name}' is not the name of a top-level package (wanted a name such as 'sympy')")
    # The path first: asked for 'pip', setuptools' own finder would take its distutils away from the whole process.
    spec = importlib.machinery.PathFinder.find_spec(name) or importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec is not None and spec.origin and Path(spec.origin).is_file():
        return Path(spec.origin)
    raise InputError(f"package '{name}' is not installed in this Python: install it with  pip install {name}")


def package_files(name: str, endings: tuple[str, ...]) -> Iterator[SourceFile]:
    """The files of a package by ending; their names begin with the package's ("sympy/core/add.py")."""
    root = package_root(name)
    if root.is_file():
        if root.name.endswith(endings):
            yield SourceFile(name=root.name, paths=(str(root),), size=root.stat().st_size)
        return
    for inner, path, size in walk(root, endings):
        yield SourceFile(name=f"{name}/{inner}", paths=(str(path),), size=size)
