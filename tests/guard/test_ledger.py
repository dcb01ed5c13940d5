"""The ledger: whole lines after any kill, and what a stage's attempts came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        attempts=2, useful_seconds=31, lost_seconds=9, useful_steps=10, repeated_steps=3, state="finished"
    )


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


def test_ledger_without_a_folder_writes_nothing_and_one_without_lines_is_empty(tmp_path: Path) -> None:
    Ledger(None).write("start", 0)
    assert sum_up(read_lines(tmp_path / "ledger.jsonl")) == LedgerTotals()
