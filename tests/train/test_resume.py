"""A run that is killed, asked to stop, or finds its checkpoint damaged ends with the bytes of an unbroken one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llemma.cli import main
from llemma.core.indexed import IndexedReader

from .conftest import EOD, MakeRun
from .test_refusals import copied_data

WORDS = ["--threads", "1", "--device", "cpu"]
TIMES = ("seconds", "tokens_per_s", "mfu", "took_s")


def train(run: Path, *words: str) -> int:
    return main(["train", str(run), *WORDS, *words])


def weights(run: Path, step: int = 12) -> bytes:
    return (run / f"train/01-math/checkpoints/step_{step:08d}/model.safetensors").read_bytes()


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    lines = map(json.loads, (run / "train/01-math/metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "train/01-math/checkpoints").iterdir())


@pytest.fixture
def unbroken(make_run: MakeRun) -> Path:
    run = make_run("unbroken")
    assert train(run) == 0
    return run


# Waits until no checkpoint is being written: what comes next is not to depend on how fast the disk is.
SETTLED = "import threading; [item.join() for item in threading.enumerate() if item.name == 'checkpoint-writer']"

# Ends its own process with SIGKILL: no handler runs, no buffer is flushed, no temporary file is removed.
KILL = """
import os, signal, sys
from llemma.train import {module} as module
real = module.{hook}
calls = 0
def dying(*args, **kwargs):
    global calls
    calls += 1
    if calls == {call}:
        {before}
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
module.{hook} = dying
from llemma.cli import main
from llemma.core.indexed import IndexedReader
main(sys.argv[1:])
"""


def train_until_killed(run: Path, place: str, call: int, before: str) -> None:
    module, hook = place.split(".")
    script = KILL.format(module=module, hook=hook, call=call, before=before)
    done = subprocess.run([sys.executable, "-c", script, "train", str(run), *WORDS], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_run_killed_in_a_checkpoint_and_in_a_step_ends_with_the_same_bytes(make_run: MakeRun, unbroken: Path) -> None:
    run = make_run("killed")
    # First in the middle of writing the second checkpoint (step 8): its model lies there, half of the rest does not.
    half = "(args[0] / 'model.safetensors').write_bytes(b'half of it')"
    train_until_killed(run, "writer.save_checkpoint", 2, half)
    assert steps(run)[0].startswith(".partial-step_00000008")
    assert steps(run)[1:] == ["latest", "step_00000004"]
    # Then in step 10, two steps past the checkpoint that the second attempt wrote.
    train_until_killed(run, "stage_run.compute_gradients", 6, SETTLED)
    assert steps(run) == ["latest", "step_00000004", "step_00000008"]
    with open(run / "train/01-math/metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "iterat')  # the kernel may have taken half a line
    assert train(run) == 0
    assert weights(run) == weights(unbroken)
    assert metrics(run) == metrics(unbroken)
    assert steps(run) == steps(unbroken) == ["latest", "step_00000004", "step_00000008", "step_00000012"]
    exported = [(item / "export/hf/model.safetensors").read_bytes() for item in (run, unbroken)]
    assert exported[0] == exported[1]


@contextlib.contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    """A signal's handler for a while: the shell that runs the tests may have made it another one."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)]
)
def test_signal_saves_the_step_and_ends_the_run(
    make_run: MakeRun,
    unbroken: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    """Only SIGTERM was heard: Slurm's --signal=USR1, a lost terminal and Ctrl-C lost the work since a checkpoint."""
    from llemma.train import stage_run

    run = make_run("stopped")
    real, calls = stage_run.compute_gradients, []

    def signal_in_the_sixth(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), number)
        return real(*args, **options)

    monkeypatch.setattr(stage_run, "compute_gradients", signal_in_the_sixth)
    with handled(number, signal.default_int_handler):
        assert train(run) == code
    said = capsys.readouterr().out
    assert "stopped on request after iteration 6" in said and f"go on with  llemma train {run}" in said
    assert steps(run) == ["latest", "step_00000004", "step_00000006"]
    assert not (run / "export").exists()
    monkeypatch.undo()
    assert train(run) == 0
    assert weights(run) == weights(unbroken)
    assert metrics(run) == metrics(unbroken)


def test_second_ctrl_c_ends_at_once() -> None:
    from llemma.train.signals import stop_requested

    with handled(signal.SIGINT, signal.default_int_handler):
        with stop_requested() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.is_made()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_hangup_that_nohup_ignores_does_not_stop_a_run() -> None:
    from llemma.train.signals import stop_requested

    with handled(signal.SIGHUP, signal.SIG_IGN), stop_requested() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.is_made()


def test_damaged_checkpoint_is_passed_over_and_the_run_ends_with_the_same_bytes(
    unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = weights(unbroken)
    path = unbroken / "train/01-math/checkpoints/step_00000012/model.safetensors"
    damaged = bytearray(whole)
    damaged[-5] ^= 1  # one bit of one weight
    path.write_bytes(damaged)
    assert train(unbroken) == 0
    said = capsys.readouterr().err
    assert "step_00000012/model.safetensors: its bytes have changed" in said
    assert "passed over for the one before" in said
    assert weights(unbroken) == whole
    assert len(metrics(unbroken)) == 12 + 4


def test_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(
    unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (unbroken / "train/01-math/checkpoints").glob("step_*/trainer.json"):
        path.write_text("{}")
    assert train(unbroken) == 1
    assert "no sound checkpoint is left" in capsys.readouterr().err


def test_finished_run_is_left_as_it_is(unbroken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file()}
    assert train(unbroken) == 0
    assert "is finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file()}.items() <= {
        **before,
        unbroken / "train/01-math/.lock": (unbroken / "train/01-math/.lock").stat().st_mtime_ns,
    }.items()


def test_thread_count_of_the_checkpoint_is_taken_up_again(unbroken: Path) -> None:
    import torch

    (unbroken / "train/01-math/checkpoints/latest").write_text("step_00000008\n")
    torch.set_num_threads(2)
    assert main(["train", str(unbroken), "--device", "cpu"]) == 0
    assert torch.get_num_threads() == 1


def test_changed_settings_are_refused_with_both_values(unbroken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = unbroken / "stages/01-math/neox.yml"
    path.write_text(path.read_text().replace('"weight_decay": 0.1', '"weight_decay": 0.2').replace("1234", "1235"))
    assert train(unbroken) == 2
    said = capsys.readouterr().err
    assert "weight_decay was 0.1, is now 0.2" in said and "seed was 1234, is now 1235" in said
    assert "the training data" in said  # another seed is another order


def test_run_that_another_process_trains_is_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    from llemma.train.places import find_stages, only_trainer

    run = make_run()
    with only_trainer(find_stages(run)[0]):
        assert train(run) == 2
    assert "another process is training this stage now" in capsys.readouterr().err


def test_checkpoint_that_the_disk_has_no_room_for_is_told_in_words_and_leaves_nothing(
    make_run: MakeRun, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """safetensors raises an error of its own where the system's write fails. A limit on file sizes stands in."""
    import resource

    run = make_run("full")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        assert train(run) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    assert "model.safetensors: File too large" in said and "Traceback" not in said
    assert steps(run) == []
    assert train(run) == 0
    assert weights(run) == weights(unbroken)


def test_nan_step_is_left_out_and_the_run_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real NaN gradients: a trainer that scales the update by zero instead would end with NaN weights."""
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from llemma.train import objective

    run = make_run("nan", checkpoint_factor=1, keep_last_n_checkpoints=None)
    real, calls = objective.mean_loss, []

    def poisoned(*args: Any) -> torch.Tensor:
        calls.append(1)
        losses = real(*args)
        return losses * float("nan") if len(calls) == 2 * 5 else losses  # the second micro-batch of step 5

    monkeypatch.setattr(objective, "mean_loss", poisoned)
    assert train(run) == 0
    folder = run / "train/01-math/checkpoints"
    four, five, six = (load_file(folder / f"step_0000000{n}/model.safetensors") for n in (4, 5, 6))
    assert all(np.array_equal(four[name], five[name]) for name in four)
    assert all(np.isfinite(six[name]).all() for name in six) and any((five[name] != six[name]).any() for name in six)
    events = [line for line in metrics(run) if line["kind"] == "event"]
    assert [(line["iteration"], line["message"]) for line in events] == [(5, "step left out: the loss is nan")]
    fifth = next(line for line in metrics(run) if line["kind"] == "train" and line["iteration"] == 5)
    assert "loss" not in fifth
    assert "step left out" in capsys.readouterr().err
    assert json.loads((run / "train/01-math/record.json").read_text())["counts"]["skipped_steps"] == 1


def test_run_that_only_makes_nan_is_stopped_naming_the_documents(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.train import objective

    run = make_run(stage={"guard": {"max_skips_in_a_row": 3}})
    real = objective.mean_loss
    monkeypatch.setattr(objective, "mean_loss", lambda *args: real(*args) * float("nan"))
    assert train(run) == 1
    said = capsys.readouterr().err
    assert "01-math was stopped at iteration 3: the loss is nan; 3 steps in a row were left out" in said
    assert "sample 0: " in said and ", documents " in said and "and 16 more samples" in said
    path = run / "train/01-math/left_out_documents.txt"
    assert f"all of them stand in {path}" in said and path.read_text().count("  sample ") == 24


@pytest.mark.parametrize("side_file", ["whole", "damaged"])
def test_stop_of_the_guard_names_documents_by_their_ids_where_the_side_file_lies_there(
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    tmp_path: Path,
    side_file: str,
) -> None:
    """The message gave numbers in a .bin alone, and nobody could tell which paper `document 17` was."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from llemma.train import objective

    run, copy = copied_data(make_run, data, tmp_path, stage={"guard": {"max_skips_in_a_row": 3}})
    path = copy / "data/arxiv/train.documents.parquet"
    rows = [{"id": f"{n:032x}", "source": "arxiv", "name": f"paper {n}\x1b[2J", "num_tokens": 1} for n in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    if side_file == "damaged":
        path.write_bytes(b"PAR1 and no more")
    real = objective.mean_loss
    monkeypatch.setattr(objective, "mean_loss", lambda *args: real(*args) * float("nan"))
    assert train(run) == 1
    said = capsys.readouterr().err
    assert "was stopped at iteration 3" in said and "\x1b[2J" not in said
    found = re.findall(r"sample \d+: (\w+), documents ([\d, ]+)\n((?:    document .*\n)*)", said)
    assert {source for source, _, _ in found} == {"arxiv", "code"} and len(found) == 8
    for source, numbers, told in found:
        reader = IndexedReader(data / "data" / source / "train")
        wanted = ""
        for n in map(int, numbers.split(", ")):
            named = f"id '{n:032x}', source 'arxiv', name 'paper {n}\\x1b[2J', "
            begin = " ".join("</s>" if token == EOD else f"w{token}" for token in reader.get(n)[:40])
            quoted = repr(begin if len(begin) <= 200 else begin[:200] + "…")
            wanted += f"    document {n}: {named if (source, side_file) == ('arxiv', 'whole') else ''}begins {quoted}\n"
        assert told == wanted
