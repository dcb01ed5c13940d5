"""What a person or a log file sees of long work."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

PROGRAM = """
from llemma.core.progress import progress
with progress("reading [x]", total=3, unit="files") as bar:
    for n in range(3):
        bar.advance()
        bar.note(f"now [bold]{n}")
"""


def test_progress_outside_a_terminal_prints_plain_lines_on_standard_error() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout == ""
    assert re.fullmatch(r"reading \[x\]: 3/3 files in \d+\.\d s  now \[bold\]2\n", result.stderr)


def test_progress_on_a_terminal_draws_a_bar_and_shows_markup_as_text() -> None:
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    result = subprocess.run([sys.executable, "-c", PROGRAM], stderr=child, env=environment, check=False)
    os.close(child)
    shown = b""
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:  # the other end of a pseudo-terminal ends with EIO
            break
        if not chunk:
            break
        shown += chunk
    os.close(parent)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert result.returncode == 0
    assert "reading [x]" in text and "3/3 files" in text and "━" in text and "now [bold]2" in text
