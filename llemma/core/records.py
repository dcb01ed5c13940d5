"""The record that stands beside every artefact.

JSON: kind, created (UTC, ISO 8601), seconds, config, versions {package: version}, inputs and outputs
[{path, bytes, sha256}], counts, and what the writer adds. Paths are relative to the record's folder.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llemma.core.files import sha256_file, write_json

_PACKAGES = (
    "llemma",
    "numpy",
    "pyarrow",
    "numba",
    "sentencepiece",
    "tokenizers",
    "torch",
    "transformers",
    "safetensors",
    "lm-eval",
    "sympy",
)


def installed_versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Versions of Python and of those packages that are installed, read without importing any of them."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def file_entry(path: str | Path, root: str | Path) -> dict[str, Any]:
    """Path relative to `root`, size in bytes and SHA-256 of one file."""
    path = Path(path)
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_file(path)}


def write_record(
    path: str | Path,
    *,
    kind: str,
    config: Any,
    inputs: Iterable[str | Path] = (),
    outputs: Iterable[str | Path | dict[str, Any]] = (),
    counts: Mapping[str, float] | None = None,
    seconds: float | None = None,
    **extra: Any,
) -> None:
    """Writes the record of one piece of work. Outputs must lie under the record's folder, inputs may lie anywhere.

    An output may be given as its entry (see file_entry), so that a large file is not hashed twice.
    """
    root = Path(path).parent
    write_json(
        path,
        {
            "kind": kind,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": seconds,
            "config": config,
            "versions": installed_versions(),
            "inputs": [_input_entry(Path(item), root) for item in inputs],
            "outputs": [item if isinstance(item, dict) else file_entry(item, root) for item in outputs],
            "counts": dict(counts or {}),
            **extra,
        },
    )


def _input_entry(path: Path, root: Path) -> dict[str, Any]:
    return file_entry(path, root if path.is_relative_to(root) else path.anchor or Path())
