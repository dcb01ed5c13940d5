"""Kills `llemma demo` at random moments and compares what it ends with to an undisturbed run.

    python tests/flows/kill_demo.py OUT [--kills 10] [--seed 1] [-- options of llemma demo]

Both runs use the folder OUT/demo, one after the other, because GPT-NeoX's data keys hold absolute paths. Compared are
the shards, the tokenizer, the mixture, the metrics' losses and the final weights; records hold times and are left out.
Exit code 0: all bytes are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llemma.core.files import sha256_file

COMPARED = (
    "data/data/*/*",
    "data/tokenizer/*",
    "data/mixture.json",
    "data/manifest.json",
    "data/removed.parquet",
    "data/quarantine.jsonl",
    "data/neox/*",
    "start/model.safetensors",
    "run/export/*/model.safetensors",
)


def start_demo(out: Path, options: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """The demo as a process group of its own, so that a kill takes its children too, as a power cut would."""
    command = [sys.executable, "-m", "llemma", "demo", "--out", str(out), *options]
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def run_demo(out: Path, options: Sequence[str], log: Path, moments: Sequence[Callable[[], bool]] = ()) -> int:
    """Runs the demo to its end, killing it (signal 9) when each of the moments has come. Returns how often it hit."""
    hits = 0
    for has_come in moments:
        process = start_demo(out, options, log)
        while process.poll() is None and not has_come():
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hits += 1
            print(f"killed at: {last_line(log)}", flush=True)
    process = start_demo(out, options, log)
    if process.wait() != 0:
        raise SystemExit(f"the demo ended with exit code {process.returncode}:\n{log.read_text()[-3000:]}")
    return hits


def after(delay_s: float) -> Callable[[], bool]:
    """The moment so many seconds after it is first asked for."""
    asked: list[float] = []

    def has_come() -> bool:
        asked.append(time.monotonic())
        return asked[-1] - asked[0] >= delay_s

    return has_come


def exists(folder: Path, pattern: str) -> Callable[[], bool]:
    """The moment at which a file of that pattern appears."""
    return lambda: any(folder.glob(pattern))


def last_line(log: Path) -> str:
    """The last line that the demo printed."""
    return log.read_text(errors="replace").strip().rsplit("\n", 1)[-1][:100]


def result_of(out: Path) -> dict[str, str]:
    """Hash of each file that must not depend on kills, and the losses of the training."""
    files = sorted(path for pattern in COMPARED for path in out.glob(pattern) if path.is_file())
    result = {path.relative_to(out).as_posix(): sha256_file(path) for path in files}
    for metrics in sorted(out.glob("run/train/*/metrics.jsonl")):
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        losses = [(line["kind"], line["iteration"], line.get("loss")) for line in lines if line["kind"] != "event"]
        result[metrics.relative_to(out).as_posix()] = json.dumps(losses)
    return result


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("options", nargs="*", help="options of llemma demo, after --")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    demo, log = args.out / "demo", args.out / "demo.log"
    shutil.rmtree(demo, ignore_errors=True)
    log.unlink(missing_ok=True)
    started = time.monotonic()
    run_demo(demo, args.options, log)
    print(f"undisturbed: {time.monotonic() - started:.0f} s")
    stages = {item["name"]: item["seconds"] for item in json.loads((demo / "demo.json").read_text())["stages"]}
    wanted = result_of(demo)
    shutil.rmtree(demo)
    rng = random.Random(args.seed)
    # The first half falls into the build, the rest into the training (an attempt begins where the last one stopped).
    in_build = [rng.uniform(0.3, stages["build the data"]) for _ in range(args.kills // 2)]
    in_training = [rng.uniform(6, stages["continue pretraining"] / 2) for _ in range(args.kills - args.kills // 2)]
    hits = run_demo(demo, args.options, log, [after(delay) for delay in (*in_build, *in_training)])
    found = result_of(demo)
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    print(f"{hits} kills; {len(wanted)} files and losses compared, {len(wrong)} differ")
    for name in wrong:
        print(f"  {name}")
    return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    raise SystemExit(main())
