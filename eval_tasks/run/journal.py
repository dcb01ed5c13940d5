"""What the model has said so far in one pass, kept so that a run can be killed at any time and goes on.

JSON lines. The first: {"examples": n, "cut": n} (worked examples in the prompt, and problems whose prompt was too long
even so).  Then one for each answer: {"doc": id, "sample": number, "said": text or log-probability, "seconds": s}.
lm-eval's own cache skips sampled answers.  A line that was cut off by a kill is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

Key = tuple[str, int]


class Journal:
    """The answers of one pass by (document, sample). Open it with the pass's own path; nothing else may write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_examples: int | None = None
        self.num_cut = 0
        self.seconds = 0.0
        self._said: dict[Key, str | float] = {}
        whole = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if not self._take(line):
                        break
                    whole += len(line)
            if whole < path.stat().st_size:
                os.truncate(path, whole)

    def __getitem__(self, key: Key) -> str | float:
        return self._said[key]

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of the keys that have no answer yet, in their order."""
        return [key for key in keys if key not in self._said]

    def begin(self, num_examples: int, num_cut: int) -> None:
        """Notes how the problems are asked; once, before the first answer."""
        if self.num_examples is None:
            self._append([{"examples": num_examples, "cut": num_cut}])
            self.num_examples, self.num_cut = num_examples, num_cut

    def add(self, keys: Sequence[Key], said: Sequence[str] | Sequence[float], seconds: float) -> None:
        """Keeps the answers of one batch; they are on the disk when this returns."""
        share = round(seconds / len(keys), 6)
        self._append(
            {"doc": doc, "sample": sample, "said": text, "seconds": share}
            for (doc, sample), text in zip(keys, said, strict=True)
        )
        self._said.update(zip(keys, said, strict=True))
        self.seconds += share * len(keys)

    def _append(self, rows: Iterable[dict[str, object]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="ascii") as file:
            file.write("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def _take(self, line: bytes) -> bool:
        if not line.endswith(b"\n"):
            return False
        try:
            row = json.loads(line)
            if self.num_examples is None:
                self.num_examples, self.num_cut = int(row["examples"]), int(row["cut"])
                return True
            said = row["said"]
            self._said[str(row["doc"]), int(row["sample"])] = said if isinstance(said, str) else float(said)
            self.seconds += float(row["seconds"])
        except (ValueError, KeyError, TypeError):
            return False
        return True
