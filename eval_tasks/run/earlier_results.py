"""Results of another run in the same folder: they are moved aside, never written over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llemma.core.errors import LlemmaError
from llemma.core.files import read_json
from llemma.core.logging import get_logger

logger = get_logger(__name__)


def run_key_of(path: Path) -> str:
    """The key (`settings.run_key`) of the run that wrote a results file; "unknown" where it has none."""
    try:
        return str(read_json(path)["settings"]["run_key"])
    except (LlemmaError, KeyError, TypeError):
        return "unknown"


def keep_earlier(paths: Iterable[Path], key: str) -> None:
    """Gives each of the files that exists a name with the beginning of its run's key, and says so."""
    for path in paths:
        if not path.exists():
            continue
        kept, number = path.with_stem(f"{path.stem}-{key[:8]}"), 1
        while kept.exists():
            number += 1
            kept = path.with_stem(f"{path.stem}-{key[:8]}-{number}")
        os.replace(path, kept)
        logger.warning("%s is of other settings or of another model: kept as %s", path, kept.name)
