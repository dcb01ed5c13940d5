"""metrics.jsonl and samples.jsonl: lines by iteration, so that a kill and a resume leave no line twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from llemma.core.files import write_bytes
from llemma.core.schemas import GeneratedText, MetricLine, json_line


class LinesFile:
    """An open file of a stage. Every line is handed to the system when it is written."""

    def __init__(self, path: Path | None, resumed_at: int | None) -> None:
        """Opens the file after cutting off what comes after the step that is gone on from (None: all of it).

        Made without a path it keeps nothing: of several processes one writes. There is no file before the first line.
        """
        self._path = path
        self._file: IO[str] | None = None
        if path is not None:
            cut_after(path, resumed_at)

    def cut_after(self, iteration: int) -> None:
        """Takes back the lines after an iteration that the run goes back to."""
        self.close()
        if self._path is not None:
            cut_after(self._path, iteration)

    def write(self, *lines: MetricLine | GeneratedText) -> None:
        """Adds lines."""
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - held open until close()
        try:
            self._file.write("".join(json_line(line) for line in lines))
            self._file.flush()
        except OSError as error:  # a full disk: the system does not say of which file
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def cut_after(path: Path, iteration: int | None) -> None:
    """Keeps the lines up to an iteration (None: no line), and never half a line that a kill left behind."""
    if path.exists():
        write_bytes(path, b"".join(line for at, line in _lines(path) if iteration is not None and at <= iteration))


def last_iteration(path: Path) -> int:
    """The highest iteration that has a line, 0 where there is none."""
    return max((at for at, _ in _lines(path)), default=0) if path.exists() else 0


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The iteration and the bytes of each whole line that can be read."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield int(json.loads(line)["iteration"]), line + b"\n"
        except (ValueError, KeyError, TypeError):
            continue
