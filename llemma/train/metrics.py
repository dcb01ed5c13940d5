"""metrics.jsonl: one line a step, a validation or an event, so that a kill and a resume leave no line twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from llemma.core.files import write_bytes
from llemma.core.schemas import MetricLine, json_line


class MetricsFile:
    """The open metrics file of a stage. Every line is handed to the system when it is written."""

    def __init__(self, path: Path, resumed_at: int | None) -> None:
        """Opens the file after cutting off what comes after the step that is gone on from (None: all of it)."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_after(path, resumed_at)
        self._file: IO[str] = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held open until close()

    def cut_after(self, iteration: int) -> None:
        """Takes back the lines after an iteration that the run goes back to."""
        self._file.close()
        cut_after(self._path, iteration)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - held open until close()

    def write(self, line: MetricLine) -> None:
        """Adds one line."""
        self._file.write(json_line(line))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def cut_after(path: Path, iteration: int | None) -> None:
    """Keeps the lines up to an iteration (None: no line), and never half a line that a kill left behind."""
    if not path.exists():
        return
    kept = []
    if iteration is not None:
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                if int(json.loads(line)["iteration"]) <= iteration:
                    kept.append(line + b"\n")
            except (ValueError, KeyError, TypeError):
                continue
    write_bytes(path, b"".join(kept))
