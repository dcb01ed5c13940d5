"""What a conversion has finished so far, so that one that was killed goes on: OUT's .partial- folder, journal.jsonl.

JSON lines: first {"plan": hash of all that decides the bytes}, then {"room": true} when all files have their full size,
then {"done": {tensor: {"sha256", "averaged"}}} for tensors that are on the disk. A line cut off by a kill is ignored.
The file is locked while a conversion runs, and is not part of the result.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from llemma.core.errors import InputError

JOURNAL_NAME = "journal.jsonl"
FORMAT = 1


class Journal:
    """The journal of the conversion into one partial folder, which is emptied where it is another conversion's."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = open(folder / JOURNAL_NAME, "a+", encoding="utf-8")  # noqa: SIM115 (closed by finish)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(
                f"{folder}: another conversion is writing there now: wait for it, or choose another folder"
            ) from None
        self._file.seek(0)
        lines = _whole_lines(self._file.read())
        self.has_room = False
        self.done: dict[str, dict[str, Any]] = {}
        if lines and lines[0] == {"plan": plan}:
            for line in lines[1:]:
                self.has_room = self.has_room or line.get("room") is True
                self.done |= line.get("done", {})
        if not self.has_room:
            self.done = {}
            self._empty()
            self._add({"plan": plan})

    def room_is_made(self) -> None:
        """From here on the files are kept."""
        self.has_room = True
        self._add({"room": True})

    def add(self, done: dict[str, dict[str, Any]]) -> None:
        """Tensors that are on the disk."""
        if done:
            self.done |= done
            self._add({"done": done})

    def finish(self) -> None:
        """Removes the journal; the folder is whole."""
        (self.folder / JOURNAL_NAME).unlink()
        self._file.close()

    def abandon(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.name == JOURNAL_NAME:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self._file.truncate(0)

    def _add(self, line: dict[str, Any]) -> None:
        # A line that a kill has cut off would swallow this one: an empty line costs nothing.
        self._file.write("\n" + json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _whole_lines(text: str) -> list[dict[str, Any]]:
    lines = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines
