"""What the benchmarks share: peers in virtual environments of their own, and processes measured as wholes.

A peer's packages stand in a requirements file beside the benchmark and are installed into benchmarks/.peers/<name>, so
that its pins never meet ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

PEERS = Path(__file__).resolve().parent / ".peers"


def peer_python(requirements: Path) -> Path:
    """The Python of a virtual environment that holds a requirements file's packages; made where it is not there yet."""
    digest = hashlib.blake2b(requirements.read_bytes(), digest_size=4).hexdigest()
    folder = PEERS / f"{requirements.stem}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"installing the peers of {requirements.name} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        subprocess.run([*install, str(requirements)], check=True)
        (folder / "installed").touch()
    return python


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One or more runs of a command: medians of CPU and wall seconds, largest peak memory in MB, last output.

    CPU seconds are user and system time of the process and of all children that it waited for; the peak is that of the
    largest single process.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


# The command is started by a small process: what is started by a large one counts that one's memory as its own peak.
_LAUNCH = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.call(sys.argv[2:])
wall = time.perf_counter() - started
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
found = {"code": code, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}
open(sys.argv[1], "w").write(json.dumps(found))
"""


def measure(command: Sequence[str | Path], runs: int = 1, *, env: dict[str, str] | None = None) -> Measured:
    """Runs a command so many times, one after the other.  Raises SystemExit with its words where it fails."""
    cpu, wall, peak = [], [], []
    text = ""
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            measured = Path(folder) / "measured.json"
            process = subprocess.run(
                [sys.executable, "-S", "-c", _LAUNCH, str(measured), *map(str, command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                check=True,
            )
            found = json.loads(measured.read_text(encoding="utf-8"))
            text = process.stdout.decode("utf-8", "replace")
        if found["code"]:
            raise SystemExit(f"{' '.join(map(str, command))}: ended with {found['code']}\n{text[-4000:]}")
        wall.append(found["wall"])
        cpu.append(found["cpu"])
        peak.append(found["peak"])
    return Measured(cpu_s=statistics.median(cpu), wall_s=statistics.median(wall), peak_mb=max(peak), output=text)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in plain text: the first column aligned left, the others right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def machine() -> str:
    """Today's date and this machine in a line, for whoever keeps the figures."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{date.today().isoformat()}, {os.cpu_count()} x {model}, Python {platform.python_version()}"
