"""Micro-batches drawn ahead on a thread: the same ones, in their order, through returns, errors and the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llemma.core.errors import DamagedFileError
from llemma.guard.exclusions import Exclusions

from .conftest import MakeRun
from .test_refusals import copied_data
from .test_resume import metrics, train, weights

VOCAB = 256


@pytest.fixture
def opened(make_run: MakeRun) -> Any:
    """Settings and samples of the small run: 12 steps of 8 samples, two micro-batches each."""
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    settings = read_settings(find_stages(make_run())[0])
    return settings, training_samples(settings, VOCAB)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "data-loader"]


def drawn(samples: Any, numbers: Any) -> np.ndarray:
    """The tokens of samples, read one by one without any of the loader's code."""
    return np.stack([samples.blend.sample(number)[0] for number in numbers])


def inputs(data: Any) -> np.ndarray:
    return np.concatenate([batch.inputs.numpy() for batch in data.batches])


def test_steps_drawn_ahead_are_those_drawn_one_by_one(opened: Any) -> None:
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import MicroBatches

    settings, samples = opened
    with MicroBatches(samples, settings, BatchRules()) as data:
        for step in range(settings.last_iteration):
            found = data.take(8 * step)
            wanted = drawn(samples, range(8 * step, 8 * step + 8))
            assert found.numbers == list(range(8 * step, 8 * step + 8)) and len(found.batches) == 2
            np.testing.assert_array_equal(inputs(found), wanted[:, :-1])
            labels = np.concatenate([batch.labels.numpy() for batch in found.batches])
            np.testing.assert_array_equal(labels, wanted[:, 1:])
    assert threads() == []


def test_processes_share_the_micro_batches_of_a_step_among_them(opened: Any) -> None:
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import MicroBatches

    settings, samples = opened
    wanted = drawn(samples, range(16, 24))[:, :-1]
    for rank in range(2):
        with MicroBatches(samples, settings, BatchRules(), dp_rank=rank, dp_size=2) as data:
            found = data.take(16)
        assert found.numbers == list(range(16, 24))
        np.testing.assert_array_equal(inputs(found), wanted[4 * rank : 4 * rank + 4])


def test_return_to_an_earlier_step_draws_from_there_and_without_what_is_excluded(opened: Any) -> None:
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import MicroBatches

    settings, samples = opened
    with MicroBatches(samples, settings, BatchRules()) as data:
        for step in range(7):
            data.take(8 * step)
        without = samples.without(Exclusions([(40, 56)]))
        data.restart(without)
        for position, first in ((32, 32), (40, 56), (48, 64)):
            found = data.take(position)
            assert found.numbers == list(range(first, first + 8))
            np.testing.assert_array_equal(inputs(found), drawn(samples, found.numbers)[:, :-1])
        # Back without other samples: what was drawn ahead is of the wrong place.
        assert data.take(8).numbers == list(range(8, 16))
        assert data.take(16).numbers == list(range(16, 24))


def test_thread_draws_no_more_than_it_may_and_nothing_behind_the_last_step(opened: Any) -> None:
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import STEPS_AHEAD, MicroBatches

    settings, samples = opened
    read: list[int] = []

    class Counting(type(samples)):  # type: ignore[misc]
        def numbers(self, position: int, count: int) -> list[int]:
            read.append(position // count)
            return super().numbers(position, count)

    counting = Counting(**vars(samples))
    with MicroBatches(counting, settings, BatchRules()) as data:
        data.take(0)
        wait_until(lambda: len(read) == STEPS_AHEAD)
        time.sleep(0.05)
        assert read == list(range(STEPS_AHEAD))
        for step in range(1, 12):
            data.take(8 * step)
        time.sleep(0.05)
        assert read == list(range(12))
    with MicroBatches(counting, settings, BatchRules()):
        pass  # nothing was asked for: no thread was begun
    assert threads() == []


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_error_is_raised_at_the_step_that_needs_what_could_not_be_read(opened: Any) -> None:
    """Met while step 3 is drawn, four steps before it is wanted: the steps before it are good ones."""
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import MicroBatches

    settings, samples = opened
    is_broken = True

    class Breaking(type(samples)):  # type: ignore[misc]
        def tokens(self, numbers: Any) -> Any:
            raise AssertionError("not used")

        def batch(self, numbers: Any, rules: Any) -> Any:
            if is_broken and 25 in numbers:
                raise DamagedFileError("train.bin: holds token 999")
            return super().batch(numbers, rules)

    with MicroBatches(Breaking(**vars(samples)), settings, BatchRules()) as data:
        for step in range(3):
            assert data.take(8 * step).numbers[0] == 8 * step
        for _ in range(2):
            with pytest.raises(DamagedFileError, match="holds token 999"):
                data.take(24)
        is_broken = False
        assert data.take(24).numbers == list(range(24, 32))
    assert threads() == []


CUT = """
import sys
from llemma.core.indexed import IndexedReader
reader = IndexedReader(sys.argv[1])
open(sys.argv[1] + ".bin", "r+b").truncate(0)
if sys.argv[2] == "checked":
    try:
        reader.check_not_cut()
    except Exception as error:
        sys.exit(str(error))
print(int(reader.get(0)[0]))
"""


def test_shard_that_is_cut_while_it_is_open_is_an_error_in_words_and_not_the_end_of_the_process(
    data: Path, tmp_path: Path
) -> None:
    """The system kills who reads a mapped file behind its end: the trainer died of SIGBUS without a word."""
    for name, code in (("checked", 1), ("unchecked", -signal.SIGBUS)):
        prefix = tmp_path / name
        for ending in (".bin", ".idx"):
            Path(f"{prefix}{ending}").write_bytes((data / f"data/arxiv/train{ending}").read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", CUT, str(prefix), name], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        if name == "checked":
            assert f"{prefix}.bin: had" in done.stderr and "has been cut to 0 meanwhile" in done.stderr


def test_shard_that_was_replaced_is_read_on_as_it_was_opened(data: Path, tmp_path: Path) -> None:
    from llemma.core.indexed import IndexedReader

    for ending in (".bin", ".idx"):
        (tmp_path / f"x{ending}").write_bytes((data / f"data/arxiv/train{ending}").read_bytes())
    reader = IndexedReader(tmp_path / "x")
    before = reader.get(3).tolist()
    (tmp_path / "new").write_bytes(b"short")
    os.replace(tmp_path / "new", tmp_path / "x.bin")
    (tmp_path / "x.idx").unlink()
    reader.check_not_cut()
    assert reader.get(3).tolist() == before


@pytest.mark.parametrize(("damage", "said"), [("cut", "has been cut to"), ("other token", "holds token 65535")])
def test_run_whose_shard_is_damaged_in_its_middle_stops_in_words_and_ends_the_same_when_it_is_whole_again(
    make_run: MakeRun,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    said: str,
) -> None:
    from llemma.train import stage_run

    whole = make_run("whole")
    assert train(whole) == 0
    run, copy = copied_data(make_run, data, tmp_path)
    path = copy / "data/arxiv/train.bin"
    good = path.read_bytes()
    real, calls = stage_run.compute_gradients, []

    def damaging(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            with open(path, "r+b") as file:
                file.write(b"\xff" * len(good)) if damage == "other token" else file.truncate(100)
        return real(*args, **kwargs)

    monkeypatch.setattr(stage_run, "compute_gradients", damaging)
    assert train(run) == 1
    message = capsys.readouterr().err
    assert f"{path}: " in message and said in message and "Traceback" not in message
    assert threads() == []
    newest = (run / "train/01-math/checkpoints/latest").read_text().strip()
    assert newest > "step_00000004"  # what was trained since the last regular one is saved before it ends
    monkeypatch.undo()
    path.write_bytes(good)
    assert train(run) == 0
    assert weights(run) == weights(whole) and metrics(run) == metrics(whole)
