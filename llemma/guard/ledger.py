"""ledger.jsonl: what a stage did over all of its attempts, one JSON line an event, and what that cost.

    {"time", "event", "iteration", …}   time in seconds since 1970; iteration: steps finished when it was written

    start      an attempt begins; processes; passed_over: what was wrong with newer checkpoints
    reached    a sign of life every few steps
    saved      a checkpoint stands
    fall-back  a damaged checkpoint is passed over; reasons
    skip       a step is left out; reason, samples: [[first, end], …]
    roll-back  the run goes back; to, reason, excluded: [[first, end], …]
    stop       the run gives up; reason
    finish     the stage's last step is done and saved

A line that a killed writer left half is passed over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llemma.guard.exclusions import Exclusions

LEDGER_NAME = "ledger.jsonl"
Event = Literal["start", "reached", "saved", "fall-back", "skip", "roll-back", "stop", "finish"]


class Ledger:
    """A stage's ledger, open for new lines. One process writes it; made with None it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / LEDGER_NAME if folder is not None else None
        # Seconds are counted by a clock that nobody sets: a host whose time is put right must not gain or lose a day.
        self._behind = time.time() - time.monotonic()

    def write(self, event: Event, iteration: int, **facts: Any) -> None:
        """Adds one line and forces it to the disk."""
        self._add(event, iteration, self._behind + time.monotonic(), facts)

    def write_untold(self, iteration: int, when: float) -> None:
        """Adds how far the attempt before came after its last line, and when, where another file tells."""
        last = next(iter(reversed(list(read_lines(self.path)))), None) if self.path is not None else None
        if last is not None and last["event"] != "roll-back" and iteration > last["iteration"]:
            self._add("reached", iteration, max(when, float(last["time"])), {})

    def _add(self, event: Event, iteration: int, when: float, facts: dict[str, Any]) -> None:
        if self.path is None:
            return
        line = {"time": round(when, 3), "event": event, "iteration": iteration, **facts}
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            if file.tell() and not self._ends_whole():
                text = "\n" + text
            try:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:  # a full disk: the system does not say of which file
                raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _ends_whole(self) -> bool:
        assert self.path is not None
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


@dataclass(frozen=True, kw_only=True)
class LedgerTotals:
    """What all attempts of a stage came to.

    Seconds run from one line to the next: useful, lost and pause seconds together are the time from the first line to
    the last.
    """

    attempts: int = 0
    useful_seconds: float = 0.0  # of steps whose result was kept
    lost_seconds: float = 0.0  # of steps that had to be made again
    pause_seconds: float = 0.0  # between attempts: not running, starting, or working without a trace
    useful_steps: int = 0
    repeated_steps: int = 0
    skipped_steps: int = 0  # of those that count: skipped again after a return, a step counts once
    rollbacks: int = 0
    fall_backs: int = 0
    excluded_samples: int = 0
    state: Literal["empty", "running", "stopped", "finished"] = "empty"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a ledger, none where there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for raw in data.splitlines():
        try:
            line = json.loads(raw)
            if isinstance(line, dict) and {"time", "event", "iteration"} <= line.keys():
                yield line
        except ValueError:
            continue


def sum_up(lines: Iterable[dict[str, Any]]) -> LedgerTotals:
    """Totals of a ledger's lines."""
    spans: list[tuple[int, int, float]] = []  # steps kept: from, to, seconds
    skipped: set[int] = set()
    excluded: list[tuple[int, int]] = []
    counts = dict.fromkeys(("start", "roll-back", "fall-back"), 0)
    clock: float | None = None
    lost_seconds, pause_seconds, repeated, at = 0.0, 0.0, 0, 0
    state: Literal["empty", "running", "stopped", "finished"] = "empty"
    for line in lines:
        event, iteration, now = line["event"], int(line["iteration"]), float(line["time"])
        clock = now if clock is None else clock
        if event in counts:
            counts[event] += 1
        if event in ("start", "fall-back"):  # written by a new attempt
            back_to = iteration
            pause_seconds += max(0.0, now - clock)
        else:
            spans.append((at, max(at, iteration), max(0.0, now - clock)))
            at = max(at, iteration)
            back_to = int(line["to"]) if event == "roll-back" else at
        if event == "skip":
            skipped.add(iteration)
        if event == "roll-back":
            excluded += [(int(first), int(end)) for first, end in line.get("excluded", ())]
        if back_to < at:
            spans, seconds, steps = _cut(spans, back_to)
            lost_seconds, repeated = lost_seconds + seconds, repeated + steps
            skipped = {step for step in skipped if step <= back_to}
        at, clock = back_to, now
        state = {"stop": "stopped", "finish": "finished"}.get(event, "running")  # type: ignore[assignment]
    return LedgerTotals(
        attempts=counts["start"],
        useful_seconds=round(sum(seconds for _, _, seconds in spans), 3),
        lost_seconds=round(lost_seconds, 3),
        pause_seconds=round(pause_seconds, 3),
        useful_steps=sum(end - first for first, end, _ in spans),
        repeated_steps=repeated,
        skipped_steps=len(skipped),
        rollbacks=counts["roll-back"],
        fall_backs=counts["fall-back"],
        excluded_samples=len(Exclusions(excluded)),
        state=state,
    )


def _cut(spans: list[tuple[int, int, float]], step: int) -> tuple[list[tuple[int, int, float]], float, int]:
    """The spans up to a step; seconds and number of the steps after it, which are lost."""
    kept, lost_seconds, lost_steps = [], 0.0, 0
    for first, end, seconds in spans:
        if end <= step:
            kept.append((first, end, seconds))
        elif first >= step:
            lost_seconds, lost_steps = lost_seconds + seconds, lost_steps + end - first
        else:
            share = seconds * (step - first) / (end - first)
            kept.append((first, step, share))
            lost_seconds, lost_steps = lost_seconds + seconds - share, lost_steps + end - step
    return kept, lost_seconds, lost_steps
