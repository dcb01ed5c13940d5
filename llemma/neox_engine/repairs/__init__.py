"""Repairs of GPT-NeoX at run time: one file each, named, and switched on one by one.

A repair is a module with `apply(context)`, listed in llemma.neox.repair_table. It checks first that what it mends is
still there (require_text), and raises RepairRefusedError where upstream has changed: nothing is ever mended by guess.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from llemma.core.errors import InputError, WorkError
from llemma.neox.repair_table import REPAIRS
from llemma.neox_engine.context import EngineContext


class RepairRefusedError(WorkError):
    """Raised when a repair's target is not what it was written for."""


def require_text(
    repair: str, folder: Path, wanted: Mapping[str, Sequence[str]], known: str = "GPT-NeoX at commit ea7aefd8"
) -> None:
    """Raises RepairRefusedError unless each file below a folder holds the pieces of text that the repair mends."""
    for name, pieces in wanted.items():
        path = folder / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        missing = [piece for piece in pieces if piece not in text]
        if missing:
            raise RepairRefusedError(
                f"the repair '{repair}' was written for {known}: {path} has no '{missing[0]}'. Use that version, or "
                f"leave it out with  --without-repair {repair}"
            )


def apply_repairs(names: list[str], context: EngineContext) -> None:
    """Applies the named repairs in the table's order. Raises InputError for an unknown name."""
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise InputError(f"there is no repair '{unknown[0]}'; there are: {', '.join(REPAIRS)}")
    for name, repair in REPAIRS.items():
        if name in names:
            importlib.import_module(repair.module).apply(context)
