"""Where a plan's parts are found: recipes, overlays and clusters by name or path, and the data by mixture.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llemma.core.config import did_you_mean
from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from llemma.core.schemas import Mixture
from neox_configs import config_names, config_path


def find_config(kind: str, name: str, beside: Path | None = None) -> Path:
    """Path of a configuration: a shipped name, or a path (relative ones also beside the file that names it)."""
    if name in config_names(kind):
        return config_path(kind, name)
    candidates = [Path(name)] if beside is None else [beside.parent / name, Path(name)]
    for path in candidates:
        if path.is_file():
            return path
    singular = kind.removesuffix("s") if kind != "training" else "training overlay"
    known = config_names(kind)
    raise InputError(
        f"no {singular} '{name}'{did_you_mean(name, known)}: it is neither a file nor one of the shipped ones "
        f"({', '.join(known)})"
    )


@dataclass(frozen=True, kw_only=True)
class Data:
    """A mixture that has been read, and where."""

    mixture: Mixture
    path: Path
    sha256: str


def read_data(path: Path) -> Data:
    """A mixture.json (or the folder that holds one)."""
    path = path / "mixture.json" if path.is_dir() else path
    mixture = Mixture.read(path)
    return Data(mixture=mixture, path=path.resolve(), sha256=sha256_file(path))
