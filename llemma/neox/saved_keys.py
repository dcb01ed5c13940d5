"""The keys that a NeoX checkpoint was made with, from the files beside its weights.

FOLDER/global_stepN/configs/*.yml    what NeoX saved with the step while training
FOLDER/neox_model.yml                what our converter wrote: older than what training saved
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llemma.core.config import load_yaml
from llemma.core.errors import InputError

MODEL_NAME = "neox_model.yml"


def saved_keys(folder: Path, step: Path) -> tuple[dict[str, Any], str] | None:
    """Keys (with underscores) of a step of a checkpoint folder and the place they stand at; None where it says none.

    Raises InputError where two files that NeoX saved contradict each other.
    """
    saved = sorted((step / "configs").glob("*.yml"))
    if not saved:
        path = folder / MODEL_NAME
        return (read_keys(path), str(path)) if path.is_file() else None
    merged: dict[str, Any] = {}
    for path in saved:
        for key, value in read_keys(path).items():
            if key in merged and merged[key] != value:
                raise InputError(
                    f"{path}: '{key}' is {value!r}, but another file in this folder says {merged[key]!r}: "
                    "one of them is of another run (llemma convert takes the right one with --config)"
                )
            merged[key] = value
    return merged, str(saved[0] if len(saved) == 1 else step / "configs")


def read_keys(path: Path) -> dict[str, Any]:
    """The keys of one NeoX file, with underscores."""
    return {str(key).replace("-", "_"): value for key, value in load_yaml(path).value.items()}
