"""The ledger: whole lines after any kill, and what a stage's attempts came to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from llemma.guard.ledger import Ledger, LedgerTotals, read_lines, sum_up


def line(time: float, event: str, iteration: int, **facts: Any) -> dict[str, Any]:
    return {"time": time, "event": event, "iteration": iteration, **facts}


def test_totals_of_an_unbroken_run_are_all_useful() -> None:
    lines = [line(100, "start", 0), line(110, "reached", 5), line(112, "saved", 5), line(130, "finish", 10)]
    assert sum_up(lines) == LedgerTotals(attempts=1, useful_seconds=30, useful_steps=10, state="finished")


def test_totals_of_a_killed_run_count_the_steps_after_its_checkpoint_as_lost() -> None:
    """Killed at 8, on again 1,000 s later from 5: three steps of 9 s are made again, the pause belongs to nobody."""
    lines = [
        line(100, "start", 0), line(110, "reached", 5), line(111, "saved", 5), line(120, "reached", 8),
        line(1120, "start", 5), line(1130, "reached", 8), line(1140, "finish", 10),
    ]  # fmt: skip
    assert sum_up(lines) == LedgerTotals(
        attempts=2, useful_seconds=31, lost_seconds=9, pause_seconds=1000, useful_steps=10, repeated_steps=3,
        state="finished",
    )  # fmt: skip


def test_totals_of_a_return_forget_the_skips_that_it_undoes() -> None:
    lines = [
        line(0, "start", 0), line(10, "skip", 3), line(20, "saved", 4), line(22, "skip", 5), line(24, "skip", 6),
        line(24, "roll-back", 6, to=4, excluded=[[16, 24]]), line(30, "skip", 5), line(40, "reached", 8),
    ]  # fmt: skip
    totals = sum_up(lines)
    assert (totals.skipped_steps, totals.rollbacks, totals.excluded_samples) == (2, 1, 8)
    assert (totals.useful_steps, totals.repeated_steps, totals.lost_seconds) == (8, 2, 4)
    assert totals.state == "running"


def test_fall_back_to_an_older_checkpoint_loses_what_lay_between() -> None:
    lines = [
        line(0, "start", 0), line(40, "saved", 4), line(80, "saved", 8),
        line(500, "fall-back", 4), line(501, "start", 4),
    ]  # fmt: skip
    totals = sum_up(lines)
    assert (totals.useful_steps, totals.repeated_steps, totals.lost_seconds, totals.fall_backs) == (4, 4, 40, 1)


def test_ledger_of_a_killed_writer_keeps_its_whole_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("start", 0, processes=2)
    with open(tmp_path / "ledger.jsonl", "a") as file:
        file.write('{"time": 1, "event": "rea')
    ledger.write("stop", 3, reason="the loss is nan")
    lines = list(read_lines(tmp_path / "ledger.jsonl"))
    assert [(item["event"], item["iteration"]) for item in lines] == [("start", 0), ("stop", 3)]
    assert sum_up(lines).state == "stopped"


def test_seconds_add_up_to_the_time_that_passed() -> None:
    """Through a return, a kill whose last steps the ledger had no line of, and a damaged checkpoint."""
    lines = [
        line(0, "start", 0), line(10, "skip", 3), line(20, "saved", 4), line(22, "skip", 5), line(24, "skip", 6),
        line(24, "roll-back", 6, to=4, excluded=[[16, 24]]), line(30, "saved", 8), line(37, "reached", 9),
        line(100, "start", 8), line(100, "fall-back", 4), line(120, "finish", 10),
    ]  # fmt: skip
    totals = sum_up(lines)
    assert totals.useful_seconds + totals.lost_seconds + totals.pause_seconds == 120
    assert (totals.pause_seconds, totals.lost_seconds) == (63, 4 + 13)
    assert totals.useful_steps == 10


def test_ledger_counts_seconds_by_a_clock_that_nobody_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose time was put right by a day in the middle of a run had a day of useful seconds more."""
    ledger = Ledger(tmp_path)
    ledger.write("start", 0)
    real = time.time
    for jump in (86_400, -86_400):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        ledger.write("reached", 5)
    ledger.write("finish", 10)
    assert sum_up(read_lines(tmp_path / "ledger.jsonl")).useful_seconds < 60


def test_steps_that_an_attempt_made_after_its_last_line_are_told_by_the_next(tmp_path: Path) -> None:
    """A run that was killed 15 steps after its last line lost none by its own account."""
    ledger = Ledger(tmp_path)
    ledger.write_untold(3, 1.0)
    assert not list(read_lines(tmp_path / "ledger.jsonl"))  # nothing came before
    ledger.write("start", 0)
    ledger.write("saved", 4)
    began = next(read_lines(tmp_path / "ledger.jsonl"))["time"]
    ledger.write_untold(4, began + 5)  # the ledger knows
    ledger.write_untold(19, began + 30)
    ledger.write("start", 4)
    totals = sum_up(read_lines(tmp_path / "ledger.jsonl"))
    assert (totals.repeated_steps, totals.useful_steps) == (15, 4)
    assert totals.lost_seconds == pytest.approx(30, abs=1)


def test_ledger_without_a_folder_writes_nothing_and_one_without_lines_is_empty(tmp_path: Path) -> None:
    Ledger(None).write("start", 0)
    assert sum_up(read_lines(tmp_path / "ledger.jsonl")) == LedgerTotals()
