"""A folder of checkpoints of which each is whole or not there, and the way back to the newest sound one.

    ROOT/step_00000100/{…, manifest.json}   written as ROOT/.partial-…, then renamed
    ROOT/global_step100/{…, manifest.json}  GPT-NeoX's (NEOX_NAMES): the manifest written last makes it whole
    ROOT/latest                             the name of the newest one, renamed into place after it

`latest` leads: a person who writes an older name into it rolls the run back. Where it is missing or names
nothing, the highest step counts. A damaged checkpoint is passed over for the one before.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.files import atomic_folder, remove_folder, remove_leftovers, write_text
from llemma.core.logging import get_logger
from llemma.guard.manifest import check_manifest, write_manifest

LATEST_NAME = "latest"
EMBEDDED_NAMES = re.compile(r"step_(\d{8,12})\Z")
NEOX_NAMES = re.compile(r"global_step(\d{1,12})\Z")
_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoundCheckpoint:
    """A checkpoint whose files are as its manifest says, and what was wrong with newer ones."""

    step: int
    path: Path
    passed_over: tuple[str, ...] = ()


def checkpoint_name(step: int) -> str:
    """Name of the folder of a step's checkpoint."""
    return f"step_{step:08d}"


def list_checkpoints(root: Path, names: re.Pattern[str] = EMBEDDED_NAMES) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint that was renamed into place, oldest first, whole or damaged."""
    if not root.is_dir():
        return []
    matches = ((names.match(path.name), path) for path in root.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in matches if match)


@contextlib.contextmanager
def new_checkpoint(root: Path, step: int) -> Iterator[Path]:
    """Yields an empty folder to write into; when the block ends without an error it is the checkpoint of `step`.

    Every byte is on the disk before the folder gets its name, and the name stands before `latest` says so.
    A checkpoint of the same step that is already there (left by a run that went back before it) is replaced.
    """
    target = root / checkpoint_name(step)
    with atomic_folder(target, replace=True) as partial:
        yield partial
        write_manifest(partial)
    write_text(root / LATEST_NAME, target.name + "\n")


def find_checkpoint(root: Path) -> FoundCheckpoint | None:
    """The newest sound checkpoint from `latest` downwards, or None where there is none to go on from.

    Raises WorkError where checkpoints are there but all of them are damaged: to start again must be said by a person.
    """
    checkpoints = list_checkpoints(root)
    if not checkpoints:
        return None
    faults: list[str] = []
    for step, path in candidates(root):
        try:
            check_manifest(path)
        except DamagedFileError as error:
            faults.append(str(error))
            continue
        return FoundCheckpoint(step=step, path=path, passed_over=tuple(faults))
    raise WorkError(
        "\n".join(faults) + f"\nno sound checkpoint is left in {root}: remove that folder to start from the beginning"
    )


def candidates(root: Path, names: re.Pattern[str] = EMBEDDED_NAMES) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints to go on from, best first: the one that `latest` names, then those before."""
    checkpoints = list_checkpoints(root, names)
    newest = _latest_step(root, dict(checkpoints), names)
    return [(step, path) for step, path in reversed(checkpoints) if newest is None or step <= newest]


def _latest_step(root: Path, steps: dict[int, Path], names: re.Pattern[str]) -> int | None:
    try:
        with open(root / LATEST_NAME, "rb") as file:
            match = names.match(file.read(64).decode("ascii", "replace").strip())
    except OSError:
        return None
    return int(match[1]) if match and int(match[1]) in steps else None


def retain(root: Path, keep_last: int | None) -> None:
    """Removes all but the newest `keep_last` checkpoints (None keeps all) and what killed writers left behind."""
    if keep_last is not None:
        if keep_last < 1:
            raise ValueError(f"keep_last is {keep_last}, but must be at least 1")
        for _, path in list_checkpoints(root)[:-keep_last]:
            remove_folder(path)
    remove_leftovers(root)


def remove_after(root: Path, step: int, names: re.Pattern[str] = EMBEDDED_NAMES) -> None:
    """Removes the checkpoints above a step: a run that went back to it will write them anew."""
    for found, path in list_checkpoints(root, names):
        if found > step:
            remove_folder(path)
    remove_leftovers(root)
