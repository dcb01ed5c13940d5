"""DeepSpeed as the optimizer (`--zero deepspeed`) against our own.

NEOX_PYTHON names a Python that has deepspeed, a compiler and what llemma needs; without it all but the refusals are
skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llemma.guard.ledger import read_lines

from .conftest import NEOX, MakeRun
from .test_numbers import metric_lines
from .test_resume import train

PYTHON = os.environ.get("NEOX_PYTHON", "")
needs_deepspeed = pytest.mark.skipif(not PYTHON, reason="set NEOX_PYTHON to a Python that has deepspeed")
TOLERANCE = 1e-5
DEEPSPEED = ["--zero", "deepspeed"]
OFFLOAD = {"device": "cpu"}
# All gradients are clipped, and a step has several micro-batches.
KEYS: dict[str, Any] = {"gradient_accumulation_steps": 4, "gradient_clipping": 0.5, "weight_decay": 0.3}

# Many calls in one interpreter, whose imports take longer than the runs: [run, checkpoint to go back to, words].
CALLS = """
import json, sys
from pathlib import Path
from llemma.cli import main
for run, step, words in json.loads(sys.argv[1]):
    if step:
        (Path(run) / "train/01-math/checkpoints/latest").write_text(f"step_{step:08d}\\n")
    code = main(["train", run, "--device", "cpu", "--threads", "1", *words])
    if code:
        sys.exit(code)
"""


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The Python that has deepspeed."""
    return subprocess.Popen(
        [PYTHON, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", **environment},
    )


def said_by(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it says until it ends; one that hangs is ended."""
    try:
        return process.communicate(timeout=300)
    finally:
        process.kill()


def call(*calls: tuple[Path, int, list[str]], before: str = "") -> None:
    """`llemma train` of each run, from one of its checkpoints where it is not 0."""
    process = run_python(before + CALLS, json.dumps([(str(run), step, words) for run, step, words in calls]))
    _, said = said_by(process)
    assert process.returncode == 0, said


def assert_same(run: Path, wanted: Path) -> None:
    """The same losses and norms at every step, and the same files but for rounding."""
    for key in ("loss", "grad_norm", "lr"):
        mine, others = ([line.get(key) or 0.0 for line in metric_lines(item, "train")] for item in (run, wanted))
        assert mine == pytest.approx(others, rel=TOLERANCE), (run.name, key)
    for name in ("model", "optimizer"):
        state, wanted_state = (
            load_file(item / f"train/01-math/checkpoints/step_00000012/{name}.safetensors") for item in (run, wanted)
        )
        assert state.keys() == wanted_state.keys()
        for key in wanted_state.keys() - {"rng.cpu"}:
            assert np.abs(state[key] - wanted_state[key]).max() < 1e-4, (run.name, key)


@needs_deepspeed
def test_deepspeed_gives_the_numbers_and_files_of_our_optimizer(make_run: MakeRun) -> None:
    """In both stages, its state in the host's memory or not, in pieces smaller than a matrix, on two processes too."""
    own = make_run("own", **KEYS)
    zero: dict[str, dict[str, Any]] = {
        "1": {"stage": 1},
        "2": {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 20000},
        "1-offload": {"stage": 1, "offload_optimizer": OFFLOAD},
        "2-offload": {"stage": 2, "offload_optimizer": OFFLOAD},
    }
    runs = [
        (make_run(f"zero-{name}-{size}", zero_optimization=zero[name], **KEYS), 0, [*DEEPSPEED, "--processes", size])
        for name, size in (("1", "1"), ("2", "1"), ("1-offload", "1"), ("2-offload", "1"), ("2", "2"))
    ]
    call((own, 0, []), *runs)
    for run, _, _ in runs:
        assert_same(run, own)


@needs_deepspeed
def test_checkpoint_goes_on_with_the_other_optimizer_and_another_number_of_processes(make_run: MakeRun) -> None:
    own, run = make_run("own", **KEYS), make_run("run", zero_optimization={"stage": 2, "cpu_offload": True}, **KEYS)
    call(
        (own, 0, []),
        (run, 0, DEEPSPEED),
        (run, 4, ["--processes", "2"]),
        (run, 8, [*DEEPSPEED, "--processes", "2", "--tensor-parallel", "2"]),
    )
    assert_same(run, own)
    starts = [line for line in read_lines(run / "train/01-math/ledger.jsonl") if line["event"] == "start"]
    assert [line["iteration"] for line in starts] == [0, 4, 8]


# Steps 3, 6 and 7 have a micro-batch whose loss is not a number, until the run goes back for it. What step 3 left
# behind would be seen in step 4.
POISONED = """
import weakref
import llemma.train.loop
from llemma.train.stage_run import make_step
from llemma.train.step import NEXT_TOKEN
def watched(run, **options):
    if run.iteration not in (2, 5, 6) or run.guard.num_rollbacks:
        return make_step(run, **options)
    before, first, model = run.optimizer.snapshot(), run.iteration < 6, weakref.ref(run.model)
    loss, count = NEXT_TOKEN.loss, []
    def poisoned(*args):
        count.append(1)
        value, measures = loss(*args)
        return (value * float("nan") if len(count) == 2 else value), measures
    NEXT_TOKEN.loss = poisoned
    try:
        make_step(run, **options)
    finally:
        del NEXT_TOKEN.loss
    assert first or model() is None, "two models in memory after a return"
    after = run.optimizer.snapshot()
    for stored, now in zip(before, after) if first else ():
        assert stored and all(stored[name].equal(now[name]) for name in stored)
llemma.train.loop.make_step = watched
"""


@needs_deepspeed
def test_step_that_is_no_number_changes_no_bit_and_the_run_goes_back_as_with_our_optimizer(make_run: MakeRun) -> None:
    guard = {"guard": {"max_skips_in_a_row": 2, "max_rollbacks": 1}}
    own, *runs = (
        make_run(name, stage=guard, zero_optimization=zero, **KEYS)
        for name, zero in (
            ("own", None),
            ("1", {"stage": 1}),
            ("2", {"stage": 2}),
            ("2-offload", {"stage": 2, "offload_optimizer": OFFLOAD}),
        )
    )
    call((own, 0, []), *((run, 0, DEEPSPEED) for run in runs), before=POISONED)
    for run in runs:
        assert_same(run, own)
        events = [line["event"] for line in read_lines(run / "train/01-math/ledger.jsonl")]
        assert [event for event in events if event in ("skip", "roll-back")] == ["skip"] * 3 + ["roll-back"]


# In micro-batch 1 of the first process and 2 of the second nothing counts.
EMPTY = """
import json, sys
from pathlib import Path
import torch
from llemma.neox.config import NeoxConfig
from llemma.train.data.batch import IGNORED, BatchRules, make_batch
from llemma.train.engine import make_engine
from llemma.train.grid import joined_grid
from llemma.train.model.weights import random_model
from llemma.train.step import compute_gradients
rank, meeting, values = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
cpu = torch.device("cpu")
grid = joined_grid(rank, 2, 1, Path(meeting).as_uri(), cpu, 60.0)
batches = []
for number in range(4):
    torch.manual_seed(number)
    tokens = torch.randint(0, values["padded_vocab_size"], (4, values["seq_length"] + 1))
    labels = torch.full_like(tokens, IGNORED) if number in (0, 3) else tokens
    batches.append(make_batch(tokens, BatchRules(), labels))
found = []
for name, stage in (("own", 0), ("deepspeed", 1), ("deepspeed", 2)):
    config = NeoxConfig.from_values({**values, "zero_optimization": {"stage": stage}})
    torch.manual_seed(0)
    model = random_model(config, cpu)
    engine = make_engine(name, model, config, grid)
    for step in range(2):
        gradients = compute_gradients(model, engine, batches[rank::2], 4, "fp32", grid=grid)
        engine.update(0.01)
    found.append([gradients.loss, gradients.grad_norm, *(p.double().sum().item() for p in model.parameters())])
print(json.dumps(found))
"""


@needs_deepspeed
def test_micro_batch_in_which_nothing_counts_adds_nothing_and_keeps_no_process_waiting(tmp_path: Path) -> None:
    """Under ZeRO 2 each backward pass is one exchange: a process that left one out would wait for ever."""
    processes = [run_python(EMPTY, str(rank), str(tmp_path / "meeting"), json.dumps(NEOX)) for rank in range(2)]
    said = [said_by(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    own, *others = json.loads(said[0][0])
    assert own[0] < 4  # the mean over four, of which two are nothing
    for found in others:
        assert found == pytest.approx(own, rel=TOLERANCE, abs=1e-4)


@needs_deepspeed
def test_missing_compiler_is_told_before_the_start(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(zero_optimization={"stage": 2, "offload_optimizer": OFFLOAD})
    process = run_python(
        CALLS,
        json.dumps([(str(run), 0, DEEPSPEED)]),
        PATH=str(tmp_path),
        TORCH_EXTENSIONS_DIR=str(tmp_path / "extensions"),
    )
    _, said = said_by(process)
    assert process.returncode == 2 and "Traceback" not in said, said
    assert "install a C++ compiler (g++) and ninja, or leave offload_optimizer out" in said
    assert not (run / "train").exists()


def test_what_deepspeed_is_not_asked_for_here_and_its_absence_are_told_with_remedy(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    zero = {
        "stage": 3,
        "offload_optimizer": {"device": "nvme"},
        "offload_param": OFFLOAD,
        "round_robin_gradients": True,
    }
    assert train(make_run("refused", zero_optimization=zero), *DEEPSPEED) == 2
    said = capsys.readouterr().err
    assert "01-math: 'zero_optimization.stage' is 3, but --zero deepspeed takes 0, 1 or 2: where the memory" in said
    assert "'zero_optimization.offload_optimizer.device' is 'nvme', but --zero deepspeed takes cpu or none" in said
    assert "'zero_optimization.offload_param' is {'device': 'cpu'}, which --zero deepspeed does not honour" in said
    assert "round_robin" not in said
    assert train(make_run("missing"), *DEEPSPEED) == 2
    assert "this needs the package 'deepspeed': install it with  pip install 'llemma[deepspeed]'" in (
        capsys.readouterr().err
    )
