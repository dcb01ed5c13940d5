"""The embedded trainer in several processes beside itself in one: the same losses, and what the processes cost.

    python benchmarks/train_layouts.py [--data FOLDER] [--work FOLDER] [--steps 40] [--json FILE]

A Llama of 3.3 M parameters (neox_configs/models/tiny.yml, once with grouped queries) is trained on a build's shards
(the built-in sample, unless --data names another) from the same noise: alone, data parallel with ZeRO-1, tensor
parallel, both; and from a checkpoint in the middle that another layout has written. Everything by the user's commands,
over gloo on the processor, one thread a process. Differences are the largest relative ones of the losses over all
steps; of the norms of the gradients, too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import machine

ROOT = Path(__file__).resolve().parents[1]
MICRO_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many processes train, and in how many slices the model lies."""

    data: int = 1
    tensor: int = 1

    @property
    def words(self) -> list[str]:
        """Options of `llemma train`."""
        return ["--processes", str(self.data * self.tensor), "--tensor-parallel", str(self.tensor)]

    def __str__(self) -> str:
        if self.data * self.tensor == 1:
            return "one process"
        return f"DP {self.data} x TP {self.tensor}"


# At the rate of smoke_cpu.yml a step after noise is so unstable that it makes a thousandfold of any rounding.
_CALM = {
    "optimizer": {"type": "Adam", "params": {"lr": 0.0005, "betas": [0.9, 0.95], "eps": 1e-8}},
    "min_lr": 0.00005,
    "warmup": 0.5,
}
_BF16 = {"precision": "bfloat16", "bf16": {"enabled": True}, "zero_optimization": {"stage": 1}}
ALONE = Layout()
LAYOUTS = (Layout(data=2), Layout(tensor=2), Layout(data=2, tensor=2))
CHANGES = (
    (Layout(data=2), ALONE),
    (ALONE, Layout(data=2)),
    (Layout(data=2), Layout(tensor=2)),
    (Layout(tensor=2), Layout(data=4)),
)


class Bench:
    """The folders of one measurement."""

    def __init__(self, work: Path, data: Path | None, steps: int) -> None:
        self.work, self.steps = work, steps
        self.data = data or work / "data"
        if not (self.data / "mixture.json").exists():
            self.call("-m", "proof_pile.build", "--out", self.data)

    def call(self, *words: object) -> None:
        """Runs Python with these words. Raises SystemExit with what it said where it fails."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{words}: ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def plan(self, name: str, model: dict[str, Any], precision: str) -> Path:
        """A new run directory."""
        from llemma.core.config import load_yaml
        from llemma.core.schemas import Mixture
        from neox_configs import config_path

        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows = Mixture.read(self.data / "mixture.json").tokenizer.vocab_size
        changes = {
            "models": model | {"padded_vocab_size": rows},
            "training": {
                "train_iters": self.steps,
                "lr_decay_iters": self.steps,
                "train_micro_batch_size_per_gpu": MICRO_BATCH,
                "checkpoint_factor": self.steps // 2,
                "eval_interval": self.steps,
                **_CALM,
                **(_BF16 if precision == "bfloat16" else {}),
            },
        }
        for kind, stem in (("models", "tiny"), ("training", "smoke_cpu")):
            values = dict(load_yaml(config_path(kind, stem)).value) | changes[kind]
            (folder / f"{kind}.yml").write_text(json.dumps(values))
        (folder / "recipe.yml").write_text(
            "title: T\nmodel: models.yml\ntraining: training.yml\ncluster: cpu\nstart: noise\nmax_epochs: 64\n"
            "stages: [{name: one}]\n"
        )
        run = folder / "run"
        self.call("-m", "llemma", "plan", folder / "recipe.yml", "--data", self.data / "mixture.json", "--out", run)
        return run

    def train(self, run: Path, layout: Layout) -> float:
        """Trains a run; returns the wall seconds of all."""
        started = time.perf_counter()
        self.call("-m", "llemma", "train", run, "--device", "cpu", "--threads", 1, *layout.words)
        return time.perf_counter() - started


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    text = (run / "train/01-one/metrics.jsonl").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def largest(one: Path, two: Path, kind: str, key: str) -> float:
    """The largest relative difference of two runs. Raises SystemExit where they have other steps."""
    mine, wanted = ({line["iteration"]: line[key] for line in lines(run, kind)} for run in (one, two))
    if mine.keys() != wanted.keys():
        raise SystemExit(f"{one}, {two}: other steps")
    return max(abs(mine[step] - wanted[step]) / abs(wanted[step]) for step in wanted)


def measure(bench: Bench) -> list[dict[str, Any]]:
    """All rows."""
    rows = []
    for heads, model in (("multi-head", {}), ("grouped-query", {"num_kv_heads": 2})):
        for precision in ("fp32", "bfloat16"):
            alone = bench.plan(f"{heads}-{precision}-alone", model, precision)
            bench.train(alone, ALONE)
            cases: list[tuple[Layout, ...]] = [(layout,) for layout in LAYOUTS]
            if precision == "fp32":
                cases += CHANGES
            for number, case in enumerate(cases):
                run = bench.plan(f"{heads}-{precision}-{number}", model, precision)
                bench.train(run, case[0])
                if len(case) == 2:
                    latest = run / "train/01-one/checkpoints/latest"
                    latest.write_text(f"step_{bench.steps // 2:08d}\n")
                    bench.train(run, case[1])
                row = {
                    "model": f"{heads}, {precision}",
                    "layout": ", then ".join(map(str, case)),
                    "loss": largest(run, alone, "train", "loss"),
                    "norm of the gradients": largest(run, alone, "train", "grad_norm"),
                    "validation loss": largest(run, alone, "validation", "loss"),
                }
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--work", type=Path, metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(Bench(args.work or Path(temporary), args.data, args.steps))
    print(f"{machine()}\n")
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(f"{v:.1e}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
