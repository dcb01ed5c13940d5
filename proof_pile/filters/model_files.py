"""Model files that filters name: where they lie and what they hold, settled when a build is planned."""

from __future__ import annotations

from pathlib import Path

from llemma.core.errors import InputError
from llemma.core.files import sha256_file


def settled_model(base: Path, model: str) -> dict[str, str]:
    """The whole path and the hash of a model file; a relative path is taken from the recipe's folder.

    Raises InputError where there is no such file.
    """
    path = base / Path(model).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: there is no such model file (named by a filter's 'model')")
    return {"model": str(path), "model_hash": sha256_file(path)}
