"""The guard's ladder in the embedded trainer: out of a bad stretch of data and on, its samples left out for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llemma.guard.ledger import read_lines, sum_up

from .conftest import MakeRun
from .test_resume import handled, metrics, steps, train, weights

TWO_SKIPS = {"guard": {"max_skips_in_a_row": 2, "max_rollbacks": 1}}


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[int]]]:
    """Makes every step NaN that draws one of these samples; returns the list of what the steps draw from then on."""
    from llemma.train import objective, stage_run

    real_losses, real_gradients = objective.mean_loss, stage_run.compute_gradients
    real_take = stage_run.MicroBatches.take

    def plant(samples: Iterable[int], at_call: Callable[[int], None] = lambda call: None) -> list[list[int]]:
        bad, drawn = set(samples), []

        def take(self: Any, position: int) -> Any:
            found = real_take(self, position)
            plant.latest = found.numbers  # type: ignore[attr-defined]
            return found

        def gradients(*args: Any, **options: Any) -> Any:
            drawn.append(plant.latest)  # type: ignore[attr-defined]
            at_call(len(drawn))
            return real_gradients(*args, **options)

        def losses(*args: Any) -> Any:
            return real_losses(*args) * (float("nan") if bad & set(drawn[-1]) else 1.0)

        monkeypatch.setattr(stage_run.MicroBatches, "take", take)
        monkeypatch.setattr(stage_run, "compute_gradients", gradients)
        monkeypatch.setattr(objective, "mean_loss", losses)
        return drawn

    return plant


def ledger(run: Path) -> list[dict[str, Any]]:
    return list(read_lines(run / "train/01-math/ledger.jsonl"))


def test_run_goes_back_excludes_the_bad_samples_and_ends_as_one_that_never_saw_them(
    make_run: MakeRun, poison: Callable[..., list[list[int]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded trainer could only stop here, and a person had to plan a new run."""
    clean = make_run("clean", stage=TWO_SKIPS)
    (clean / "train/01-math").mkdir(parents=True)
    (clean / "train/01-math/excluded.json").write_text('{"schema": 1, "samples": [[40, 56]]}')
    assert train(clean) == 0
    run = make_run(stage=TWO_SKIPS)
    drawn = poison(range(44, 52))  # the samples of steps 6 and 7 are 40 to 55

    assert train(run) == 0

    # Steps 1 to 7, then back at 4: step 5 again, and what lies behind the excluded samples.
    wanted = [range(8 * n, 8 * n + 8) for n in (*range(7), 4, *range(7, 14))]
    assert drawn == [list(numbers) for numbers in wanted]
    assert weights(run) == weights(clean)
    assert [line for line in metrics(run) if line["kind"] != "event"] == metrics(clean)
    events = [line for line in metrics(run) if line["kind"] == "event"]
    assert [line["iteration"] for line in events] == [4]
    assert "back from iteration 7, without the samples [[40, 56]]: the loss is nan; 2 steps" in events[0]["message"]
    lines = [(line["event"], line["iteration"]) for line in ledger(run) if line["event"] not in ("reached", "saved")]
    assert lines == [("start", 0), ("skip", 6), ("skip", 7), ("roll-back", 7), ("finish", 12)]
    assert [line["iteration"] for line in ledger(run) if line["event"] == "saved"] == [4, 8, 12]
    assert [line["samples"] for line in ledger(run) if line["event"] == "skip"] == [[[40, 48]], [[48, 56]]]
    record = json.loads((run / "train/01-math/record.json").read_text())["goodput"]
    assert record["rollbacks"] == 1 and record["excluded_samples"] == 16 and record["repeated_steps"] == 3
    assert "iteration 7: step left out" in capsys.readouterr().err


def test_run_that_was_stopped_after_a_return_goes_on_without_the_excluded_samples(
    make_run: MakeRun, poison: Callable[..., list[list[int]]]
) -> None:
    whole, broken = make_run("whole", stage=TWO_SKIPS), make_run("broken", stage=TWO_SKIPS)
    poison(range(44, 52))
    assert train(whole) == 0
    with handled(signal.SIGTERM, signal.default_int_handler):
        poison(range(44, 52), lambda call: os.kill(os.getpid(), signal.SIGTERM) if call == 10 else None)
        assert train(broken) == 0
    assert steps(broken) == ["latest", "step_00000004", "step_00000007"]
    poison(range(44, 52))
    assert train(broken) == 0
    assert weights(broken) == weights(whole)
    assert sum_up(ledger(broken)).rollbacks == 1


def test_run_that_stays_bad_stops_after_its_returns_naming_the_documents(
    make_run: MakeRun, poison: Callable[..., list[list[int]]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(stage=TWO_SKIPS)
    poison(range(44, 500))
    assert train(run) == 1
    said = capsys.readouterr().err
    assert "stopped at iteration 7: the loss is nan; 2 steps in a row were left out after going back once" in said
    assert "  sample 56: " in said and ", documents " in said and ": begins 'w" in said
    assert "sample 40" not in said.split("error: ")[1]
    assert sum_up(ledger(run)).state == "stopped"
    state = (run / "train/01-math/checkpoints/step_00000004/model.safetensors").read_bytes()
    assert not np.isnan(np.frombuffer(state[-4096:], dtype=np.float32)).any()


def test_exclusions_at_the_end_of_the_blend_draw_more_of_it_and_then_begin_anew(make_run: MakeRun) -> None:
    from llemma.guard.exclusions import Exclusions
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    samples = training_samples(read_settings(find_stages(make_run())[0]), 256)
    without = samples.without(Exclusions([(10, 14)]))
    more = len(without.blend) - 96
    assert 0 < more <= 4  # no source is asked for more than GPT-NeoX's index of it holds
    left = [number for number in range(96 + more) if not 10 <= number < 14]
    assert without.numbers(0, 2 * len(left)) == left * 2
    for number in range(96):
        np.testing.assert_array_equal(without.tokens([number]), samples.tokens([number]))


HANG = """
import sys, time
from llemma.train import loop, stage_run
made, calls = [], []
real, real_watchdog = stage_run.compute_gradients, loop.Watchdog
def watched(timeout_s, log):
    assert timeout_s == 600.0
    made.append(real_watchdog(timeout_s, log))
    return made[0]
def hanging(*args, **options):
    calls.append(1)
    if len(calls) == 6:
        # Only from here on so short a time: a busy machine may take longer to begin.
        made[0]._timeout_s, made[0]._wound_up = 3.0, 0.0
        made[0].beat()
        time.sleep(60)
    return real(*args, **options)
stage_run.compute_gradients, loop.Watchdog = hanging, watched
from llemma.cli import main
main(sys.argv[1:])
"""


def test_run_that_hangs_is_ended_with_the_place_where_it_hung(make_run: MakeRun) -> None:
    run = make_run()
    words = ["train", str(run), "--threads", "1", "--device", "cpu", "--hang-timeout", "600"]
    done = subprocess.run(
        [sys.executable, "-c", HANG, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "Timeout (0:00:03)!" in done.stderr and "in hanging" in done.stderr
    assert steps(run) == ["latest", "step_00000004"]
    assert train(run) == 0
