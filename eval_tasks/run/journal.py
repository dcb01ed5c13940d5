"""What the model has said so far in one pass, kept so that a run can be killed at any time and goes on.

JSON lines, one a batch: {"batch": number, "completions": [text, ...]}. A line that was cut off by a kill is dropped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


class Journal:
    """The batches of one pass that are done. Open it with the pass's own path; nothing else may write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[int, list[str]] = {}
        whole = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if not self._take(line):
                        break
                    whole += len(line)
            if whole < path.stat().st_size:
                os.truncate(path, whole)

    def get(self, batch: int) -> list[str] | None:
        """The completions of a batch, or None where it is still to be done."""
        return self._done.get(batch)

    def add(self, batch: int, completions: list[str]) -> None:
        """Keeps the completions of a batch; they are on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"batch": batch, "completions": completions}, ensure_ascii=True) + "\n"
        with self.path.open("a", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._done[batch] = completions

    def _take(self, line: bytes) -> bool:
        try:
            value = json.loads(line)
            self._done[int(value["batch"])] = [str(text) for text in value["completions"]]
        except (ValueError, KeyError, TypeError):
            return False
        return line.endswith(b"\n")
