"""Does a long training grow? Memory and time of 10,000 steps of the embedded trainer.

    python benchmarks/endurance.py [--steps 10000] [--work FOLDER] [--json FILE]

Data are generated exercises, built by `python -m proof_pile.build`; the model has 2 layers of width 64.  `llemma train`
runs with a validation every 250 steps and a checkpoint every 500, of which three are kept.  While it runs, its process
is looked at twice a second: anonymous memory (RssAnon of /proc/PID/status: what it holds itself; pages of mapped files,
which the system may take back at any time, are RssFile and shown apart), CPU time, and the last line of metrics.jsonl.
A window is a tenth of the run.  Its step time is the median of its steps as the trainer wrote them down; its CPU time a
step counts validations and checkpoints too, and hardly depends on what else the machine does.  Slopes are fitted by
least squares over the windows but the first, in which caches fill.

What its steps waited for their data is the trainer's own figure; benchmarks/train_loading.py draws without a model.
Linux only.  Printed: a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from peers import machine

from llemma.core.files import read_json, write_json, write_text
from neox_configs import config_path

NUM_WINDOWS = 10
SEQ_LENGTH, BATCH, VOCAB = 64, 8, 1024
LOOK_EVERY_S = 0.5
KIB_A_MB = 1e6 / 1024


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a process held and had done at a moment: memory in MB, CPU seconds, and the step it had come to."""

    step: int
    anonymous_mb: float
    file_mb: float
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a run, its steps counted from 1: largest memory, and time a step (None: not known)."""

    first: int
    last: int
    anonymous_mb: float
    file_mb: float
    step_ms: float | None
    cpu_ms: float | None


def look(pid: int, step: int) -> Look | None:
    """A process now, or None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    held = {line.partition(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Rss")}
    if "RssAnon" not in held:
        return None  # it has ended, and waits for its exit code to be read
    ticks = int(stat[11]) + int(stat[12])
    return Look(
        step=step,
        anonymous_mb=int(held["RssAnon"]) / KIB_A_MB,
        file_mb=int(held["RssFile"]) / KIB_A_MB,
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
    )


def windows(looks: Sequence[Look], step_ms: Sequence[float], num_steps: int) -> list[Window]:
    """Tenths of a run. `step_ms` has the time of every step, or is empty where it is not known."""
    size = num_steps // NUM_WINDOWS
    found = []
    for first in range(1, size * NUM_WINDOWS + 1, size):
        last = first + size - 1
        here = [one for one in looks if first <= one.step <= last]
        if not here:
            raise SystemExit(f"steps {first} to {last} were over before they could be looked at: take more --steps")
        steps = here[-1].step - here[0].step
        found.append(
            Window(
                first=first,
                last=last,
                anonymous_mb=max(one.anonymous_mb for one in here),
                file_mb=max(one.file_mb for one in here),
                step_ms=statistics.median(step_ms[first - 1 : last]) if step_ms else None,
                cpu_ms=1000 * (here[-1].cpu_s - here[0].cpu_s) / steps if steps else None,
            )
        )
    return found


def slope(found: Sequence[Window], values: Sequence[float]) -> float:
    """Growth of a value over 10,000 steps, by least squares over the middles of all windows but the first."""
    middles = [(window.first + window.last) / 2 for window in found]
    return 10_000 * statistics.linear_regression(middles[1:], values[1:]).slope


def table(found: Sequence[Window]) -> str:
    """The windows, and the slope of each column, in Markdown."""
    columns = ("anonymous_mb", "file_mb", "step_ms", "cpu_ms")
    names = ("anonymous memory, MB", "mapped files, MB", "step, ms", "CPU a step, ms")
    known = [
        (column, name)
        for column, name in zip(columns, names, strict=True)
        if all(getattr(window, column) is not None for window in found)
    ]
    rows = [["steps", *(name for _, name in known)], ["---"] * (len(known) + 1)]
    for window in found:
        cells = [f"{getattr(window, column):.2f}" for column, _ in known]
        rows.append([f"{window.first:,} to {window.last:,}", *cells])
    slopes = [slope(found, [getattr(window, column) for window in found]) for column, _ in known]
    rows.append(["growth in 10,000 steps", *(f"{value:+.2f}" for value in slopes)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# ----------------------------------------------------------------------------------------------- the long training


def write_configs(work: Path, name: str, num_steps: int) -> Path:
    """A recipe of so many steps of a micro model; returns its path."""
    model = yaml.safe_load(config_path("models", "tiny").read_text(encoding="utf-8"))
    model |= {"num_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 768}
    model |= {"seq_length": SEQ_LENGTH, "max_position_embeddings": SEQ_LENGTH, "padded_vocab_size": VOCAB}
    training = yaml.safe_load(config_path("training", "smoke_cpu").read_text(encoding="utf-8"))
    training |= {"train_batch_size": BATCH, "train_micro_batch_size_per_gpu": BATCH}
    training |= {"eval_interval": 250, "eval_iters": 4, "checkpoint_factor": 500, "keep_last_n_checkpoints": 3}
    write_text(work / f"{name}-model.yml", yaml.safe_dump(model))
    write_text(work / f"{name}-training.yml", yaml.safe_dump(training))
    rate = {"shape": "cosine", "peak": 0.002, "final": 0.0002, "warmup_iters": 100}
    recipe = {
        "title": "Endurance",
        "model": str(work / f"{name}-model.yml"),
        "training": str(work / f"{name}-training.yml"),
        "cluster": "cpu",
        "start": "noise",
        "max_epochs": 10_000,
        "stages": [{"name": name, "tokens": num_steps * SEQ_LENGTH * BATCH, "learning_rate": rate}],
    }
    write_text(work / f"{name}.yml", yaml.safe_dump(recipe))
    return work / f"{name}.yml"


def build_data(work: Path) -> Path:
    """Two sources of generated documents; returns the mixture."""
    forms = {"sheets": ("latex", 1500), "answers": ("answered", 3000)}
    recipe = {
        "name": "endurance",
        "sources": [
            {"name": name, "inputs": [{"kind": "synthetic", "form": form, "num_documents": count, "seed": 1}]}
            for name, (form, count) in forms.items()
        ],
        "tokenizer": {"train": {"vocab_size": VOCAB, "max_bytes": 1_000_000}},
        "split": {"validation": 0.05, "test": 0},
        "mixture": {"groups": {"all": {"share": 1, "sources": {"sheets": 3, "answers": 1}}}},
    }
    write_text(work / "data.yml", yaml.safe_dump(recipe))
    _call("proof_pile.build", "run", "--recipe", work / "data.yml", "--out", work / "data", "--workers", 1)
    return work / "data/mixture.json"


def plan(work: Path, name: str, num_steps: int, mixture: Path) -> Path:
    """A run directory of so many steps."""
    run = work / f"{name}-run"
    _call("llemma", "plan", write_configs(work, name, num_steps), "--data", mixture, "--out", run)
    return run


def train(run: Path) -> tuple[list[Look], list[float], dict[str, Any]]:
    """Trains a run: looks at its process, milliseconds of every step, and the trainer's record."""
    (stage,) = sorted(path.name for path in (run / "stages").iterdir())
    metrics = run / "train" / stage / "metrics.jsonl"
    words = ["-m", "llemma", "train", str(run), "--threads", "1", "--device", "cpu"]
    looks = []
    with open(run.parent / "train.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        while process.poll() is None:
            found = look(process.pid, _last_step(metrics))
            if found is not None and found.step:
                looks.append(found)
            time.sleep(LOOK_EVERY_S)
    if process.returncode:
        raise SystemExit(f"llemma train ended with {process.returncode}:\n{(run.parent / 'train.log').read_text()}")
    lines = map(json.loads, metrics.read_text(encoding="utf-8").splitlines())
    step_ms = [1000 * SEQ_LENGTH * BATCH / line["tokens_per_s"] for line in lines if line["kind"] == "train"]
    return looks, step_ms, read_json(metrics.with_name("record.json"))


def _last_step(metrics: Path) -> int:
    """The step of the last whole line of a file, 0 where there is none."""
    try:
        with open(metrics, "rb") as file:
            file.seek(max(0, metrics.stat().st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return 0
    return int(json.loads(lines[-1])["iteration"]) if len(lines) > 1 else 0


def _call(module: str, *words: object) -> None:
    subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def main() -> int:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000, help="of the training (%(default)s)")
    parser.add_argument("--work", type=Path, help="an empty folder that is kept (default: one that is removed)")
    parser.add_argument("--json", type=Path, help="the windows, and every look")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (args.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        mixture = build_data(work)
        looks, step_ms, record = train(plan(work, "training", args.steps, mixture))
    trained = windows(looks, step_ms, args.steps)
    waited = record["goodput"]["data_wait_seconds"] / (sum(step_ms) / 1000)
    print(f"{machine()}\n\n{args.steps:,} steps of llemma train:\n\n{table(trained)}\n")
    print(f"waited for data: {100 * waited:.3f} % of the time of all steps\n")
    if args.json:
        facts: dict[str, Any] = {"machine": machine(), "waited_share": waited}
        facts |= {"windows": [asdict(one) for one in trained], "looks": [asdict(one) for one in looks]}
        write_json(args.json, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
