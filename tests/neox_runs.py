"""Running a planned stage in a real GPT-NeoX with planted faults, and reading what it left behind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llemma.launch.preflight import read_run
from llemma.launch.processes import neox_command
from llemma.neox.repair_table import REPAIRS

NEOX_DIR = os.environ.get("NEOX_DIR")
NEOX_PYTHON = os.environ.get("NEOX_PYTHON", sys.executable)
needs_neox = pytest.mark.skipif(NEOX_DIR is None, reason="NEOX_DIR is not set: no GPT-NeoX checkout to run")
PLANTED = Path(__file__).parent / "planted_faults.py"


def train(
    run: Path, plan: dict[str, Any] | None = None, without: Sequence[str] = (), start_from: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Trains a run's one stage in GPT-NeoX with every repair but those left out, and the plan's faults."""
    stage = read_run(run)[0]
    repairs = [name for name in REPAIRS if name not in without]
    command = neox_command(stage, Path(NEOX_DIR or ""), NEOX_PYTHON, repairs)
    words = list(command.words)
    at = words.index("-m", 3)  # behind  -m torch.distributed.run
    plan_file = run / "plan.json"
    plan_file.write_text(json.dumps(plan or {}))
    words[at : at + 2] = [str(PLANTED), str(plan_file)]
    if start_from is not None:
        words += ["--start-from", str(start_from)]
    return subprocess.run(
        words,
        cwd=NEOX_DIR,
        env={**os.environ, "OMP_NUM_THREADS": "1", **command.environment},
        capture_output=True,
        text=True,
        check=False,
    )


def call_inside(run: Path, body: str, repairs: Sequence[str] = (), *, stage_number: int = 1, **values: Any) -> Any:
    """What `body` puts into `found` inside GPT-NeoX's process on the CPU: one process, initialized, with repairs made.

    It sees neox_args (of one of the run's stages), training, mpu, torch and what `values` name. Nothing is trained.
    """
    stage = read_run(run)[stage_number - 1]
    code = f"""
import json, os, sys
from pathlib import Path
from llemma.neox_engine.entry import read_context
from llemma.neox_engine.repairs import apply_repairs
sys.path.append({NEOX_DIR!r}); os.chdir({NEOX_DIR!r})
values, found = json.loads({json.dumps(values)!r}), {{}}
context = read_context(Path({NEOX_DIR!r}), Path({str(stage.config_path)!r}), {["cpu-stand-in", *repairs]!r})
apply_repairs(list(context.repairs), context)
import torch
from megatron import mpu, training
from megatron.initialize import initialize_megatron
from megatron.neox_arguments import NeoXArgs
neox_args = NeoXArgs.from_ymls([{str(stage.config_path)!r}])
neox_args.configure_distributed_args()
neox_args.build_tokenizer()
initialize_megatron(neox_args=neox_args)
{body}
print("FOUND " + json.dumps(found), flush=True)
os._exit(0)  # threads of torch.distributed that still wait may abort a regular end
"""
    command = neox_command(stage, Path(NEOX_DIR or ""), NEOX_PYTHON, [])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    done = subprocess.run(
        [NEOX_PYTHON, "-c", code],
        env={**os.environ, **command.environment, **alone, "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    match = re.search(r"^FOUND (.+)$", done.stdout, re.M)
    assert match is not None, done.stdout[-3000:]
    return json.loads(match[1])


def call_python(python: str, code: str) -> str:
    """What a Python prints."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return int(server.getsockname()[1])


def set_stage(run: Path, **values: Any) -> None:
    """Writes values into the stage.json of a run's one stage."""
    path = run / "stages/01-one/stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def log_lines(output: str) -> dict[int, dict[str, float]]:
    """NeoX's log by iteration: lm_loss (absent where all were skipped), skipped, nan."""
    found = {}
    for line in output.splitlines():
        match = re.search(r"iteration +(\d+)/", line)
        if match and "learning rate" in line:
            values = {"skipped": float(re.search(r"skipped iterations: +(\d+)", line)[1])}  # type: ignore[index]
            values["nan"] = float(re.search(r"nan iterations: +(\d+)", line)[1])  # type: ignore[index]
            values["lr"] = float(re.search(r"learning rate: +([0-9.E+\-]+)", line)[1])  # type: ignore[index]
            loss = re.search(r"lm_loss: ([0-9.E+\-naif]+)", line, re.IGNORECASE)
            if loss:
                values["lm_loss"] = float(loss[1])
            found[int(match[1])] = values
    return found


def ledger_lines(run: Path) -> list[dict[str, Any]]:
    path = run / "train/01-one/ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def drawn_samples(path: Path) -> dict[int, list[int]]:
    """Iteration: the sample numbers that it drew in its last attempt, over all ranks."""
    found: dict[int, dict[tuple[str, int], list[int]]] = {}
    for file in sorted(path.parent.glob(f"{path.name}.*")):
        for line in file.read_text().splitlines():
            iteration, micro_batch, numbers = json.loads(line)
            found.setdefault(iteration, {})[file.suffix, micro_batch] = numbers
    return {
        iteration: sorted(number for numbers in parts.values() for number in numbers)
        for iteration, parts in found.items()
    }
