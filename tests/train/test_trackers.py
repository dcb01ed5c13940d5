"""Trackers have every step once, whatever the run went through, and cost it nothing where they fail."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llemma.core.schemas import GeneratedText
from llemma.train.watch.options import TrackerName

from .conftest import MakeRun
from .test_guard import TWO_SKIPS, poison  # noqa: F401 - a fixture
from .test_resume import handled, metrics, train, weights

SIGTERM = signal.SIGTERM


class Recorder:
    """Stands for a tracker's server: what each run there was told."""

    def __init__(self) -> None:
        self.runs: dict[str, list[tuple[int, str]]] = {}
        self.texts: dict[str, set[tuple[int, str]]] = {}
        self.closed: list[str] = []
        self.hook: Callable[[int], None] = lambda iteration: None

    def open(self, run: Any) -> Any:
        recorder, told = self, self.runs.setdefault(run.identity, [])
        texts = self.texts.setdefault(run.identity, set())

        class Open:
            place = f"run {run.title}"

            def log(self, iteration: int, values: Mapping[str, float | str], samples: Sequence[GeneratedText]) -> None:
                recorder.hook(iteration)
                told.extend((iteration, name) for name in values)
                texts.update((iteration, sample.prompt) for sample in samples)

            def close(self) -> None:
                recorder.closed.append(run.identity)

        return Open()

    def steps(self, identity: str, name: str = "train/loss") -> list[int]:
        return [iteration for iteration, key in self.runs[identity] if key == name]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In place of trackio, as one that takes nothing back."""
    from llemma.train.watch import trackers

    found, name = Recorder(), "trackio"
    monkeypatch.setitem(trackers.OPENERS, name, found.open)  # type: ignore[arg-type]
    monkeypatch.setattr(trackers, "check_trackers", lambda names: None)
    return found


def train_until(run: Path, step: int, *words: str) -> None:
    """Trains and is asked to stop in a step, which is done and saved."""
    from llemma.train import stage_run

    real, calls = stage_run.compute_gradients, []

    def stopping(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), SIGTERM)
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch, handled(SIGTERM, signal.default_int_handler):
        patch.setattr(stage_run, "compute_gradients", stopping)
        assert train(run, *words) == 0


def lose_last_checkpoint(run: Path, step: int) -> None:
    """The state that kill -9 leaves behind: metrics.jsonl is ahead of the checkpoint that is gone on from."""
    (run / f"train/01-math/checkpoints/step_{step:08d}/manifest.json").write_text("{}")


def test_curves_go_on_after_a_stop_and_begin_anew_where_a_tracker_was_not_told_all(
    make_run: MakeRun, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--track", "trackio", "--sample-every", "4")
    stopped = make_run("stopped")
    train_until(stopped, 6, *words)
    assert train(stopped, *words) == 0
    (first,) = recorder.runs
    assert recorder.steps(first) == list(range(1, 13))
    assert recorder.steps(first, "validation/loss/arxiv") == [0, 4, 8, 12]
    assert {iteration for iteration, _ in recorder.texts[first]} == {0, 4, 8, 12}
    assert recorder.closed == [first, first]
    assert f"tracked: run stopped-01-math-{first[:4]}" in capsys.readouterr().err

    killed = make_run("killed")
    train_until(killed, 6, *words)
    lose_last_checkpoint(killed, 6)
    assert train(killed, *words) == 0
    _, second, third = recorder.runs
    assert recorder.steps(second) == list(range(1, 7))
    assert recorder.steps(third) == list(range(1, 13))
    assert recorder.steps(third, "validation/loss") == [0, 4, 8, 12]
    assert {iteration for iteration, _ in recorder.texts[third]} == {0, 4, 8, 12}

    late = make_run("late")
    train_until(late, 3, *words)
    train_until(late, 3)  # not tracked: to go on would leave a hole
    assert train(late, *words) == 0
    *_, fourth, fifth = recorder.runs
    assert recorder.steps(fourth) == [1, 2, 3]
    assert recorder.steps(fifth) == list(range(1, 13))


def test_return_of_the_guard_begins_another_run_with_the_history_up_to_the_checkpoint(
    make_run: MakeRun,
    recorder: Recorder,
    poison: Callable[..., list[list[int]]],  # noqa: F811
) -> None:
    run = make_run(stage=TWO_SKIPS)
    poison(range(44, 52))  # steps 6 and 7: back to 4
    assert train(run, "--track", "trackio") == 0
    first, second = recorder.runs
    assert recorder.steps(first) == [1, 2, 3, 4, 5]  # steps 6 and 7 have no loss
    assert recorder.steps(first, "train/lr") == [1, 2, 3, 4, 5, 6, 7]
    assert recorder.steps(second) == list(range(1, 13))
    assert recorder.steps(second, "events") == [4]
    assert recorder.closed == [first, second]
    assert json.loads((run / "train/01-math/trackers.json").read_text()) == {
        "trackio": {"identity": second, "told": 12}
    }


def test_tracker_that_fails_or_hangs_costs_one_warning_and_no_number(
    make_run: MakeRun, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.train.watch import tracking

    whole, failing, hanging = make_run("whole"), make_run("failing"), make_run("hanging")
    assert train(whole) == 0

    def fail(iteration: int) -> None:
        if iteration == 5:
            raise SystemExit("no space left\non device")

    recorder.hook = fail
    assert train(failing, "--track", "trackio") == 0
    said = capsys.readouterr().err
    assert said.count("trackio is told nothing more: SystemExit: no space left on device; the training goes on") == 1

    released = threading.Event()
    recorder.hook = lambda iteration: released.wait() and None
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.1)
    monkeypatch.setattr(tracking, "MAX_WAITING", 8)
    assert train(hanging, "--track", "trackio") == 0
    released.set()
    assert capsys.readouterr().err.count("trackio is told nothing more: it is too slow") == 1
    assert weights(whole) == weights(failing) == weights(hanging)
    assert metrics(whole) == metrics(failing) == metrics(hanging)


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads, by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard/01-math"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    found = {tag: [(item.step, item.value) for item in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for tag in events.Tags()["tensors"]:
        found[tag] = [(item.step, item.tensor_proto.string_val[0]) for item in events.Tensors(tag)]
    return found


def test_tensorboard_shows_each_step_once_after_a_kill_and_after_a_return_of_the_guard(
    make_run: MakeRun,
    poison: Callable[..., list[list[int]]],  # noqa: F811
) -> None:
    """A file of a second attempt beside that of the first draws the steps between twice."""
    pytest.importorskip("tensorboard", reason="the tensorboard tracker needs tensorboard")
    tracker: TrackerName = "tensorboard"
    words = ("--track", tracker, "--sample-every", "4")
    run = make_run()
    train_until(run, 6, *words)
    lose_last_checkpoint(run, 6)
    assert train(run, *words) == 0
    lines = metrics(run)
    for kind in ("train", "validation"):
        wanted = [(line["iteration"], pytest.approx(line["loss"])) for line in lines if line["kind"] == kind]
        assert curves(run)[f"{kind}/loss"] == wanted
    assert [step for step, _ in curves(run)["validation/loss/code"]] == [0, 4, 8, 12]
    texts = {name: found for name, found in curves(run).items() if name.startswith("samples/1 greedy")}
    ((_, shown),) = texts.items()
    assert [step for step, _ in shown] == [0, 4, 8, 12]
    assert all(b"    Theorem 1. " in text for _, text in shown)  # type: ignore[operator]

    returned = make_run("returned", stage=TWO_SKIPS)
    poison(range(44, 52))
    assert train(returned, *words) == 0
    wanted = [(line["iteration"], pytest.approx(line["loss"])) for line in metrics(returned) if line["kind"] == "train"]
    assert len(wanted) == 12 and curves(returned)["train/loss"] == wanted
    assert [step for step, _ in curves(returned)["events/text_summary"]] == [4]
