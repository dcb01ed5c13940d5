"""proof-pile clean: removes what no step of a finished build uses any more.

Left behind by changed recipes and inputs are whole step folders, and in folders still in use the files of tasks whose
inputs have changed or gone.  They are kept until someone cleans, for a recipe may be changed back.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError, WorkError
from proof_pile.build.arguments import add_out_option, out_folder
from proof_pile.build.tables import size_words

LARGEST_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """What of one step can go: its folder, or some of its files."""

    folder: Path
    files: tuple[Path, ...] | None  # None: the whole folder
    bytes: int

    @property
    def what(self) -> str:
        """In words."""
        return "the folder" if self.files is None else f"{len(self.files):,} files of earlier inputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --out and --yes."""
    add_out_option(parser)
    parser.add_argument("--yes", action="store_true", help="remove it; without this it is only shown")


def run(args: argparse.Namespace) -> int:
    """Shows what can go and how large it is; with --yes removes it."""
    from proof_pile.build.lock import build_lock
    from proof_pile.build.tables import print_table

    out = out_folder(args)
    with build_lock(out / "steps"):
        leftovers = find_leftovers(out)
        total = sum(item.bytes for item in leftovers)
        if not leftovers:
            print(f"{out}: nothing to remove, all of its steps are in use")
            return 0
        largest = sorted(leftovers, key=lambda item: (-item.bytes, item.folder.name))
        rows = [(item.folder.name, item.what, size_words(item.bytes)) for item in largest[:LARGEST_SHOWN]]
        if len(largest) > LARGEST_SHOWN:
            rest = sum(item.bytes for item in largest[LARGEST_SHOWN:])
            rows.append((f"{len(largest) - LARGEST_SHOWN:,} more", "", size_words(rest)))
        print_table("", ("step", "unused", "size"), [*rows, ("all", "", size_words(total))], num_text=2)
        if args.yes:
            for item in leftovers:
                remove(item)
            print(f"\n{size_words(total)} removed from {out / 'steps'}")
        else:
            print(f"\nnothing was removed: the same command with --yes removes {size_words(total)}")
    return 0


def find_leftovers(out: Path) -> list[Leftover]:
    """What no step of the build uses.  Raises InputError where the build is not finished: then nobody can tell."""
    from llemma.core.files import read_json
    from llemma.core.steps import LOGS, StepDirectory
    from proof_pile.build.status_command import CURRENT

    steps = out / "steps"
    if not (out / "manifest.json").exists() or not (steps / CURRENT).exists():
        raise InputError(f"{out}: this build is not finished, what it will use cannot be told: run it to its end first")
    try:
        used = {name for stage in read_json(steps / CURRENT)["stages"] for name in stage["directories"]}
    except (TypeError, KeyError):
        raise WorkError(f"{steps / CURRENT}: not what a build writes: run the build again") from None
    found = []
    for folder in sorted(path for path in steps.iterdir() if (path / "step.json").is_file()):
        if folder.name not in used:
            files = [path for path in folder.rglob("*") if path.is_file()]
            found.append(Leftover(folder=folder, files=None, bytes=_bytes(files)))
            continue
        logs = [path for path in (folder / LOGS).glob("*") if path.is_file()]
        stale = (*StepDirectory.open(folder).stale_files(), *logs)
        if stale:
            found.append(Leftover(folder=folder, files=stale, bytes=_bytes(stale)))
    return found


def remove(item: Leftover) -> None:
    """Removes it; a kill in the middle leaves nothing that looks whole."""
    from llemma.core.files import remove_folder

    if item.files is None:
        remove_folder(item.folder)
        return
    # Records first: a task whose record is gone is not complete, whatever else of it is still there.
    for path in sorted(item.files, key=lambda path: path.suffix != ".json"):
        path.unlink(missing_ok=True)


def _bytes(files: list[Path] | tuple[Path, ...]) -> int:
    return sum(path.stat().st_size for path in files if path.exists())
