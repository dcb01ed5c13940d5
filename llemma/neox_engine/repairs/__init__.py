"""Repairs of GPT-NeoX at run time: one file each, named, and switched on one by one.

A repair is a module with `apply(neox_dir)`, listed in llemma.neox.repair_table. It checks first that what it mends is
still there, and raises RepairRefusedError where upstream has changed: nothing is ever mended by guess.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from llemma.core.errors import InputError, WorkError
from llemma.neox.repair_table import REPAIRS


class RepairRefusedError(WorkError):
    """Raised when a repair's target is not what it was written for."""


def apply_repairs(names: list[str], neox_dir: Path) -> None:
    """Applies the named repairs in the table's order. Raises InputError for an unknown name."""
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise InputError(f"there is no repair '{unknown[0]}'; there are: {', '.join(REPAIRS)}")
    for name, repair in REPAIRS.items():
        if name in names:
            importlib.import_module(repair.module).apply(neox_dir)
