"""How far a run has come: from its checkpoints, its metrics, its ledger, its logs, and what Slurm says of its jobs."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llemma.guard.ledger import LEDGER_NAME, LedgerTotals, read_lines, sum_up
from llemma.launch.attempts import read_attempts
from llemma.launch.places import is_finished, launch_folder, saved_iteration
from llemma.launch.preflight import LaunchStage
from llemma.launch.slurm_commands import JobState
from llemma.launch.submission import Submission

Word = Literal["planned", "queued", "running", "finished", "failed", "stopped", "cancelled"]
_TAIL_BYTES = 1 << 18
_ITERATION = re.compile(r"iteration +(\d+)/ *\d+ ")
_LOSS = re.compile(r"lm_loss: ([0-9.]+E[+-]\d+|nan|inf)", re.I)
_SPEED = re.compile(r"samples/sec: ([0-9.]+)")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The last step that is known of a stage."""

    iteration: int = 0
    loss: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    validation: tuple[float, int] | None = None  # the last loss, and after which iteration


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One stage as it stands now."""

    stage: str
    word: Word
    iterations: int
    saved: int
    progress: Progress
    totals: LedgerTotals
    job: str | None = None
    detail: str = ""  # why it waits or failed, or where it runs


def stage_states(
    run: Path,
    stages: Sequence[LaunchStage],
    submission: Submission | None,
    jobs: Mapping[str, JobState],
    *,
    is_launched_here: bool,
) -> list[StageState]:
    """All stages in their order."""
    last: dict[str, dict[str, Any]] = {}
    for line in read_attempts(run):
        last[line["stage"]] = line
    by_stage = {item.stage: item for item in submission.jobs} if submission else {}
    states = []
    host_is_taken = False
    for stage in stages:
        name, iterations = stage.compiled.directory, stage.compiled.iterations
        item, attempt = by_stage.get(name), last.get(name, {})
        word: Word = "planned"
        detail = ""
        if is_finished(run, name, iterations):
            word = "finished"
        elif is_launched_here and attempt.get("event") == "begin" and attempt.get("job") is None:
            # The embedded trainer takes several stages in one attempt, one after the other.
            word, host_is_taken = ("planned", True) if host_is_taken else ("running", True)
        elif item is not None and not _is_newer_on_host(attempt, submission):
            word, detail = _job_word(jobs.get(item.job), attempt, item.after)
        elif attempt:
            word, detail = _attempt_word(attempt)
        states.append(
            StageState(
                stage=name,
                word=word,
                iterations=iterations,
                saved=saved_iteration(run, name),
                progress=_progress(run, stage),
                totals=sum_up(read_lines(run / "train" / name / LEDGER_NAME)),
                job=item.job if item else None,
                detail=detail,
            )
        )
    return states


def newest_log(run: Path) -> Path | None:
    """The log that was written to last."""
    logs = [path for path in (launch_folder(run) / "logs").glob("*.log") if path.is_file()]
    return max(logs, key=lambda path: path.stat().st_mtime) if logs else None


def log_tail(path: Path, num_lines: int) -> list[str]:
    """Its last lines, without what would command a terminal."""
    lines = [_CONTROL.sub("", line.split("\r")[-1]).rstrip() for line in _tail(path).splitlines()]
    return [line for line in lines if line][-num_lines:] if num_lines else []


def _is_newer_on_host(attempt: Mapping[str, Any], submission: Submission | None) -> bool:
    """Whether the last attempt was made on this host, after the jobs were submitted."""
    if not attempt or attempt.get("job") is not None or submission is None:
        return False
    import datetime

    return float(attempt["time"]) > datetime.datetime.fromisoformat(submission.submitted).timestamp()


def _job_word(state: JobState | None, attempt: Mapping[str, Any], after: str | None) -> tuple[Word, str]:
    if state is None:
        if attempt.get("event") == "end":
            return _attempt_word(attempt)
        return "failed", "Slurm has forgotten its job" + ("" if attempt else ", which never began")
    if state.state in ("RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "SIGNALING"):
        where = f"{state.nodes}, {state.elapsed}" if state.nodes else state.state.lower()
        return "running", where
    if state.is_alive:
        reasons = {"Dependency": f"waits for job {after}", "BeginTime": "back in the queue, starts in a moment"}
        return "queued", reasons.get(state.reason, state.reason)
    if state.state.startswith("CANCELLED"):
        return "cancelled", f"job {after} did not end well" if state.reason.startswith("Dependency") else ""
    message = attempt.get("message") if attempt.get("event") == "end" else ""
    return "failed", f"{state.state}: {message}" if message else state.state


def _attempt_word(attempt: Mapping[str, Any]) -> tuple[Word, str]:
    if attempt["event"] == "begin":
        return "failed", "it ended without a word (killed?)"
    outcome = attempt.get("outcome")
    if outcome == "stopped":
        return "stopped", "everything is saved"
    if outcome == "interrupted":
        return "cancelled", ""
    return "failed", str(attempt.get("message", ""))


def _progress(run: Path, stage: LaunchStage) -> Progress:
    """From the trainer's metrics, else from GPT-NeoX's last line in the newest log, else from the ledger."""
    name, config = stage.compiled.directory, stage.config
    folder = run / "train" / name
    known = _last_known(folder / "metrics.jsonl")
    if known is not None:
        return known
    logs = sorted((launch_folder(run) / "logs").glob(f"{name}-[0-9]*.log"), key=lambda path: path.stat().st_mtime)
    lines = _tail(logs[-1]).splitlines() if logs else []
    for line in reversed(lines):
        iteration, loss, speed = _ITERATION.search(line), _LOSS.search(line), _SPEED.search(line)
        if iteration and loss:
            return Progress(
                iteration=int(iteration[1]),
                loss=float(loss[1]),
                tokens_per_s=float(speed[1]) * config.seq_length if speed else None,
            )
    reached = [int(line["iteration"]) for line in read_lines(folder / LEDGER_NAME)]
    return Progress(iteration=reached[-1] if reached else saved_iteration(run, name))


def _last_known(metrics: Path) -> Progress | None:
    """What the end of metrics.jsonl tells; None where no step stands there."""
    step: dict[str, Any] | None = None
    validation: tuple[float, int] | None = None
    try:
        for line in reversed(_tail(metrics).splitlines()):
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                step = step or (value if value["kind"] == "train" else None)
                if value["kind"] == "validation" and value.get("loss") is not None:
                    validation = validation or (float(value["loss"]), int(value["iteration"]))
        if step is None:
            return None
        return Progress(
            iteration=int(step["iteration"]),
            loss=step.get("loss"),
            tokens_per_s=step.get("tokens_per_s"),
            mfu=step.get("mfu"),
            validation=validation,
        )
    except (ValueError, KeyError, TypeError):
        return None


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
