"""Runs each command of docs/cluster.md in small and prints what it prints: `cluster_page.py OUT --neox-dir CHECKOUT`.

Makes a Slurm of two nodes on this machine (root, Debian's slurm-wlm and munge), trains with an unmodified GPT-NeoX on
the CPU, changes one byte of the data before and kills one process on the way. Paths are shown relative to OUT.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # before tests/, which has folders of the same names

from build_runs import wait_until
from slurm_cluster import SlurmCluster, trainers, why_not

from neox_configs import config_path

PATIENCE_S = 1800.0
CLUSTER = """\
title: Slurm, two nodes of two processes
accelerator: CPU
nodes: 2
gpus_per_node: 2
backend: gloo
attention: global
tensor_parallel: 2
slurm:
  partition: main
  time: 0:10:00
  signal_before_end_s: 60
  cpus_per_node: 2
  exclusive: false
  setup: ["export MASTER_ADDR=127.0.0.1"]
"""
RECIPE = """\
title: Llemma, small
model: tiny
training: small_training.yml
cluster: two.yml
start: checkpoint
stages:
- name: proof-pile
  tokens: 131072            # 32 steps of 4,096
  learning_rate: {shape: cosine, peak: 0.002, final: 6.67e-5, warmup_iters: 4}
- name: decay
  tokens: 32768             # 8 steps
  learning_rate: {shape: linear, peak: 6.67e-5, final: 0}
"""
TRAINING = {  # of the shipped smoke_cpu
    "precision: fp32\n": "precision: bfloat16\nbf16: {enabled: true}\nfp32_allreduce: true\n"
    "zero_optimization: {stage: 1}\ndata_types: {grad_accum_dtype: fp32}\n",
    "_per_gpu: 16\n": "_per_gpu: 8\n",
    "checkpoint_factor: 50\n": "checkpoint_factor: 8\n",
    "eval_interval: 50\n": "eval_interval: 100\n",
    "eval_iters: 4\n": "eval_iters: 1\n",
}
MAKE_BASE = (
    "from pathlib import Path; from llemma.demo import make_base_model; "
    "make_base_model(Path('data/tokenizer'), Path('codellama'))"
)


def main() -> int:
    """Runs the page and returns the number of commands that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--neox-dir", type=Path, required=True)
    parser.add_argument("--neox-python", default=sys.executable)
    args = parser.parse_args()
    if reason := why_not():
        parser.error(f"no Slurm cluster here: {reason}")
    out: Path = args.out.resolve()
    out.mkdir(parents=True)
    write_files(out)
    with SlurmCluster(out / "slurm") as cluster:
        path = os.pathsep.join([str(Path(sys.executable).parent), cluster.environment["PATH"]])
        variables = {**os.environ, **cluster.environment, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "110"}
        variables |= {"NEOX_DIR": str(args.neox_dir.resolve()), "NEOX_PYTHON": args.neox_python}
        return run_page(out, cluster, lambda *words: shown(out, variables, *words))


def write_files(out: Path) -> None:
    """The cluster, the training overlay and the recipe of the page."""
    training = config_path("training", "smoke_cpu").read_text(encoding="utf-8")
    for old, new in TRAINING.items():
        if old not in training:
            raise RuntimeError(f"smoke_cpu has no {old!r} any more")
        training = training.replace(old, new)
    for name, text in (("two.yml", CLUSTER), ("small.yml", RECIPE), ("small_training.yml", training)):
        (out / name).write_text(text, encoding="utf-8")


def run_page(out: Path, cluster: SlurmCluster, show: Callable[..., int]) -> int:
    """The commands in the page's order; how many ended with another code than 0."""
    run, checkpoints = out / "run", out / "run/train/01-proof-pile/checkpoints"
    launch = ("llemma", "launch", "run", "--engine", "neox")
    failed = show("python", "-m", "proof_pile.build", "--out", "data")
    failed += show("python", "-c", MAKE_BASE)
    failed += show(*shlex.split("llemma convert codellama start --to neox --tensor-parallel 2 --rope-base 10000"))
    failed += show(*shlex.split("llemma plan small.yml --data data/mixture.json --init-from start --out run"))
    failed += show(*launch, "--min-nodes", "1", "--dry-run")
    print("# one byte of data/data/web/train.bin is changed", flush=True)
    flip_a_byte(out / "data/data/web/train.bin")
    failed += not show(*launch, "--preflight-only")
    print("# and changed back", flush=True)
    flip_a_byte(out / "data/data/web/train.bin")
    failed += show(*launch, "--preflight-only")
    failed += show(*launch, "--min-nodes", "1")
    if failed:
        return failed
    wait_until((checkpoints / "global_step8/manifest.json").exists, PATIENCE_S)
    show("llemma", "status", "run", "--lines", "3")
    victim = trainers(run)[-1]
    print("$ kill -9 PID   # of one of the processes that train", flush=True)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not cluster.call("squeue", "--noheader", "--states=PD,R,CG").stdout.strip(), PATIENCE_S)
    failed += show("llemma", "status", "run", "--lines", "3")
    failed += show("grep", "-hF", "[llemma ", *(str(path) for path in sorted((run / "launch/logs").glob("0*.log"))))
    failed += show(*shlex.split("llemma convert run/train/02-decay/checkpoints hf --hf-files start/hf"))
    failed += show(
        *shlex.split("llemma-eval run --model hf --tasks builtin --limit 4 --max-new-tokens 48"),
        "--out", "run/eval/after",
    )  # fmt: skip
    return failed + show("llemma", "report", "run")


def shown(out: Path, variables: Mapping[str, str], *words: str) -> int:
    """Runs a command in the folder, prints it with all that it prints, and returns 1 where it fails."""
    command = shlex.join(words).replace(f"{out}/", "")
    print(f"\n$ {command}", flush=True)
    done = subprocess.run(
        words, cwd=out, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    print(done.stdout.replace(f"{out}/", ""), flush=True)
    if done.returncode:
        print(f"(it ended with code {done.returncode})", flush=True)
    return int(done.returncode != 0)


def flip_a_byte(path: Path) -> None:
    """Changes the first byte of a file, or changes it back."""
    with open(path, "r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))


if __name__ == "__main__":
    sys.exit(main())
