"""What `status` shows of a build that runs in another process, and of one that failed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from build_runs import num_records, start_build, wait_until

from llemma.core.steps import InputFile, Step, StepDirectory, Task
from proof_pile.build.cli import main
from proof_pile.build.engines.failures import Failure
from proof_pile.build.engines.journal import FILE, Journal
from proof_pile.build.status_command import span


def status(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["status", "--out", str(out)]) == 0
    return capsys.readouterr().out


def test_status_shows_a_running_build_from_another_process(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    build = start_build(recipe, out, "--workers", "2")
    try:
        wait_until(lambda: (out / "steps" / FILE).exists() and num_records(out) > 3)
        os.killpg(build.pid, signal.SIGSTOP)  # so that it does not end while we look
        shown = status(out, capsys)
        assert "running for " in shown.splitlines()[0]
        assert f"(process {build.pid} on " in shown
        assert "engine local" in shown
    finally:
        os.killpg(build.pid, signal.SIGCONT)
        build.communicate(timeout=120)
    assert build.returncode == 0
    assert "finished" in status(out, capsys).splitlines()[0]
    assert not (out / "steps" / FILE).exists()


def make_step(root: Path) -> StepDirectory:
    (root / "shared").write_bytes(b"x" * 1000)
    tasks = []
    for number in range(4):
        (root / f"own-{number}").write_bytes(b"x" * 1_000_000)
        inputs = tuple(InputFile(path=str(root / name), sha256=name) for name in (f"own-{number}", "shared"))
        tasks.append(Task(inputs=inputs, label=f"part {number}"))
    return StepDirectory.create(root / "steps", Step(name="read-web", version=1, function="m:f"), tasks)


def test_journal_tells_what_runs_what_was_retried_and_what_failed(tmp_path: Path) -> None:
    step = make_step(tmp_path)
    jobs = [(step, number) for number in range(4)]
    journal = Journal(tmp_path / "steps")
    with journal.stages(("read", "read and filter", jobs)):
        for job in jobs:
            journal.started(job, "n1")
        journal.finished(jobs[0])
        journal.retried(jobs[1], Failure(message="its node died"))
        journal.failed(jobs[2], Failure(message="this input is wrong"))
        state = journal.state()
    [stage] = state["stages"]
    assert (stage["total"], stage["done"], stage["retried"], stage["failed"]) == (4, 1, 1, 1)
    assert stage["bytes"] == 1_000_000  # of its own input, not of the one that all read
    assert [(entry["label"], entry["where"]) for entry in state["running"]] == [("read-web, part 3", "n1")]
    assert state["retried"] == [{"label": "read-web, part 1", "message": "its node died"}]
    assert state["failed"] == [{"label": "read-web, part 2", "message": "this input is wrong"}]


def test_status_of_a_build_that_failed_says_which_tasks(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = little_build / "out"
    step = make_step(little_build)
    with pytest.raises(KeyboardInterrupt), Journal(out / "steps") as journal:
        with journal.stages(("read", "read and filter", [(step, 0)])):
            journal.failed((step, 0), Failure(message="this input is wrong\nand more"))
        raise KeyboardInterrupt
    shown = status(out, capsys)
    assert "failed (1)\n  read-web, part 0: this input is wrong\n" in shown


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', '{"elapsed_s": "x", "stages": 3}', "{"])
def test_status_with_a_damaged_file_of_progress_goes_without(
    little_build: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (little_build / "out/steps" / FILE).write_text(text)
    assert "little in " in status(little_build / "out", capsys)


def test_name_of_a_file_moves_no_cursor(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = {"engine": "local", "pid": 1, "host": "h", "elapsed_s": 3, "num_running": 0, "running": [], "retried": []}
    live |= {"stages": [], "failed": [{"label": "read, \x1b[2J.jsonl", "message": "\x07"}]}
    (little_build / "out/steps" / FILE).write_text(json.dumps(live))
    shown = status(little_build / "out", capsys)
    assert "read, ?[2J.jsonl: ?" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.4, "4 s"), (99, "99 s"), (100, "2 min"), (5000, "83 min"), (7500, "2 h 05 min")]
)
def test_span_is_told_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
