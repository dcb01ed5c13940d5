"""The Slurm engine: tasks as job arrays, each element the command line `python -m proof_pile.build task STEP N ...`.

Whether a task is complete is told by its record alone; squeue is asked only which elements live.  A driver that is
begun again adopts the running elements of the one before it and cancels its waiting ones; one that is interrupted
(Ctrl-C, SIGTERM) cancels all of its own.  The build's folder must lie on a file system that all nodes share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llemma.core.errors import WorkError
from llemma.core.logging import get_logger
from llemma.core.steps import LOGS, StepDirectory
from proof_pile.build.engines import slurm_commands as commands
from proof_pile.build.engines.batch import DEFAULT_RETRIES, STRAGGLER_S, Batch, Job
from proof_pile.build.engines.failures import Failure
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.slurm_commands import ElementState, Place, SlurmBusyError
from proof_pile.build.engines.slurm_jobs import (
    SlurmOptions,
    Submission,
    array_arguments,
    array_script,
    job_name,
    log_tail,
    look_anew,
    split_tasks,
    take_failure,
)

log = get_logger(__name__)
T = TypeVar("T")
JOBS = "slurm"
POLL_S = (0.5, 15.0)  # the shortest and the longest pause between two looks at the queue
POLL_SHARE = 0.05  # of the time that the stage has taken so far
VISIBLE_S = 30.0  # how long a file made on a node may take to be seen here
PATIENCE_S = 900.0  # how long Slurm may be silent
CANCEL_S = 40.0  # Slurm kills what does not end within 30 s
WAITING_S = 120.0  # after so long without any job at work a person is told why they wait
_HINTS = {
    "TIMEOUT": ": give it more with --slurm-time, or make 'shard_bytes' smaller",
    "OUT_OF_MEMORY": ": give it more with --slurm-mem, or make 'shard_bytes' smaller",
}


@dataclass
class _Element:
    """An element of an array that was submitted or adopted."""

    jobs: tuple[Job, ...]
    is_running: bool = False
    ended_at: float | None = None
    last: ElementState | None = None


class SlurmEngine:
    """Runs batches of tasks of the build in `out` as job arrays."""

    def __init__(
        self,
        out: Path,
        options: SlurmOptions,
        *,
        retries: int = DEFAULT_RETRIES,
        straggler_s: float = STRAGGLER_S,
        visible_s: float = VISIBLE_S,
    ) -> None:
        self._name = job_name(out)
        self._folder = out / "steps" / JOBS
        self._options = options
        self._retries = retries
        self._straggler_s = straggler_s
        self._visible_s = visible_s
        self._max_elements = 1
        self._adopted: dict[Place, Submission] = {}
        self._silent_since: float | None = None
        self._has_jobs = False
        self._idle_since: float | None = None
        self._told_reasons: set[str] = set()

    def __enter__(self) -> SlurmEngine:
        commands.check_commands()
        self._max_elements = commands.max_array_size()
        states = self._ask(lambda: commands.element_states(self._name)) or {}
        for place, state in states.items():
            submission = Submission.read(self._folder, place[0])
            if state.state == "RUNNING" and submission is not None and place[1] < len(submission.keys):
                self._adopted[place] = submission
        strangers = [place for place, state in states.items() if state.is_alive and place not in self._adopted]
        if self._adopted:
            log.warning("%d Slurm jobs of an earlier run of this build are at work: they are kept", len(self._adopted))
        if strangers:
            commands.cancel_elements(strangers)
            self._wait_until_gone(strangers)
        self._has_jobs = bool(self._adopted)
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_jobs:
            commands.cancel_named(self._name)
            self._wait_until_gone(None)
        if self._folder.is_dir():
            for file in self._folder.glob("*.json"):
                file.unlink(missing_ok=True)
            self._folder.rmdir()

    @property
    def description(self) -> str:
        """That it is Slurm, and which partition."""
        return "Slurm" if self._options.partition is None else f"Slurm, partition {self._options.partition}"

    def busy_keys(self) -> frozenset[str]:
        """Keys of the tasks that adopted elements are running."""
        return frozenset(key for (_, index), item in self._adopted.items() for key in item.keys[index])

    def run(self, jobs: Sequence[Job], journal: Journal) -> None:
        """Runs all jobs.  Raises TasksFailedError with what failed and why."""
        batch = Batch(jobs, journal, self._retries, self._straggler_s)
        elements = self._adopt(jobs, batch)
        tried: set[Job] = set()
        twice: set[Job] = set()
        begun = time.monotonic()
        while batch.left and not batch.is_stopped:
            self._submit(batch, elements, tried)
            states = self._ask(lambda: commands.element_states(self._name))
            if states is not None:
                self._look(batch, elements, states)
                self._note_waiting([states[place] for place in elements if place in states])
                all_run = all(element.is_running for element in elements.values())
                straggler = batch.straggler() if all_run else None
                if straggler is not None and straggler not in twice:
                    twice.add(straggler)
                    self._submit_array(straggler[0], [(straggler[1],)], elements)
            if batch.left and not batch.is_stopped:
                time.sleep(self._pause(time.monotonic() - begun))
        # An element whose tasks are all done ends by itself in a moment; the slower copy of a task would go on.
        commands.cancel_elements(
            [place for place, element in elements.items() if batch.is_stopped or twice & set(element.jobs)]
        )
        batch.finish()

    def _adopt(self, jobs: Sequence[Job], batch: Batch) -> dict[Place, _Element]:
        """The adopted elements that work on these jobs, which then no longer wait."""
        wanted = {(job[0].path.name, job[0].tasks[job[1]].key): job for job in jobs}
        elements: dict[Place, _Element] = {}
        for place, item in list(self._adopted.items()):
            found = [wanted[item.step, key] for key in item.keys[place[1]] if (item.step, key) in wanted]
            if found:
                elements[place] = _Element(jobs=tuple(found))
                del self._adopted[place]
        taken = {job for element in elements.values() for job in element.jobs}
        waiting = [job for job in batch.waiting if job not in taken]
        batch.waiting.clear()
        batch.waiting.extend(waiting)
        return elements

    def _submit(self, batch: Batch, elements: dict[Place, _Element], tried: set[Job]) -> None:
        """Hands over all that wait, by step; a task that was tried before goes alone, so that it harms no other."""
        by_step: dict[StepDirectory, list[int]] = {}
        single: dict[StepDirectory, list[int]] = {}
        for job in [*batch.waiting, *batch.alone]:
            (single if job in tried else by_step).setdefault(job[0], []).append(job[1])
        groups = [
            (directory, chunk)
            for directory, numbers in by_step.items()
            for chunk in split_tasks(numbers, self._options, self._max_elements)
        ]
        groups += [
            (directory, [(number,) for number in numbers[first : first + self._max_elements]])
            for directory, numbers in single.items()
            for first in range(0, len(numbers), self._max_elements)
        ]
        batch.alone.clear()
        batch.waiting.clear()
        for place, (directory, chunk) in enumerate(groups):
            try:
                self._submit_array(directory, chunk, elements)
            except SlurmBusyError as error:
                late = [(step, number) for step, rest in groups[place:] for element in rest for number in element]
                batch.waiting.extend(late)
                if len(chunk) > 1 and not elements:
                    self._max_elements = max(1, len(chunk) // 2)  # the queue has room for fewer
                self._note_silence(error)
                return
            tried.update((directory, number) for element in chunk for number in element)

    def _submit_array(
        self, directory: StepDirectory, chunk: Sequence[tuple[int, ...]], elements: dict[Place, _Element]
    ) -> None:
        (directory.path / LOGS).mkdir(exist_ok=True)
        for number in (number for element in chunk for number in element):
            take_failure(directory, number)  # of an earlier run
        self._has_jobs = True
        script = array_script(directory, chunk, self._options.setup)
        job_id = commands.submit_array(script, array_arguments(directory, chunk, self._options, self._name))
        keys = tuple(tuple(directory.tasks[number].key for number in element) for element in chunk)
        Submission(step=directory.path.name, numbers=tuple(chunk), keys=keys).write(self._folder, job_id)
        log.info("%s: Slurm job %s with %d elements", directory.step.name, job_id, len(chunk))
        for index, element in enumerate(chunk):
            elements[job_id, index] = _Element(jobs=tuple((directory, number) for number in element))

    def _look(self, batch: Batch, elements: dict[Place, _Element], states: dict[Place, ElementState]) -> None:
        """Takes what has been done and what has ended."""
        # The folders are read after squeue was asked: a task that was done when its element ended is seen.
        complete: dict[Path, set[str]] = {}
        for element in elements.values():
            for directory, _ in element.jobs:
                if directory.path not in complete:
                    look_anew(directory.path)
                    complete[directory.path] = set(os.listdir(directory.path))
        over: list[Place] = []
        for place, element in elements.items():
            state = states.get(place, element.last)
            is_alive = place in states and states[place].is_alive
            for job in element.jobs:
                if f"{job[0].tasks[job[1]].key}.json" in complete[job[0].path]:
                    batch.done(job)
            open_jobs = [job for job in element.jobs if job in batch.left]
            if state is not None and state.state == "RUNNING" and not element.is_running:
                element.is_running = True
                for job in open_jobs:
                    batch.started(job, state.nodes or "Slurm")
            element.last = state
            if not is_alive and self._has_ended(batch, place, element, open_jobs):
                over.append(place)
        commands.cancel_elements([place for place, state in states.items() if state.is_held and place in elements])
        for place in over:
            del elements[place]

    def _has_ended(self, batch: Batch, place: Place, element: _Element, open_jobs: Sequence[Job]) -> bool:
        """Tells the batch what became of the tasks of an element that Slurm has ended; False to look again later."""
        silent = []
        for job in open_jobs:
            failure = take_failure(*job)
            if failure is not None:
                batch.failed(job, failure)
            else:
                silent.append(job)
        if not silent:
            return True
        now = time.monotonic()
        element.ended_at = element.ended_at or now
        state = element.last.state if element.last is not None else "gone from its queue"
        # A job that ended well has left records: they will be seen.  One that was killed has probably left none.
        wait_s = self._visible_s if state in ("COMPLETED", "RUNNING", "COMPLETING") else self._visible_s / 10
        if now - element.ended_at < wait_s:
            return False
        on = f" on {element.last.nodes}" if element.last is not None and element.last.nodes else ""
        tail = log_tail(silent[0][0], *place)
        message = f"its Slurm job {place[0]}_{place[1]} ended without it ({state}{on}){_HINTS.get(state, '')}"
        for job in silent:
            # Which of several ended the job cannot be told, and one that had to make room for another did no wrong.
            if len(silent) > 1 or state == "PREEMPTED":
                batch.withdrawn(job)
            else:
                batch.failed(job, Failure(message=f"{message}\n{tail}" if tail else message, may_pass=True))
        return True

    def _note_waiting(self, states: Sequence[ElementState]) -> None:
        """Says why Slurm lets all jobs wait, where it does so for long: some reasons pass, others never do."""
        reasons = {state.reason for state in states}
        if not states or any(state.state != "PENDING" for state in states):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > WAITING_S and reasons - self._told_reasons:
            self._told_reasons |= reasons
            log.warning("Slurm has all %d jobs wait, and says why: %s", len(states), ", ".join(sorted(reasons)))

    def _pause(self, elapsed_s: float) -> float:
        if self._options.poll_s is not None:
            return self._options.poll_s
        return min(POLL_S[1], max(POLL_S[0], POLL_SHARE * elapsed_s))

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Slurm's answer, None where it is silent just now.  Raises WorkError where it has been for PATIENCE_S."""
        try:
            answer = question()
        except SlurmBusyError as error:
            self._note_silence(error)
            return None
        self._silent_since = None
        return answer

    def _note_silence(self, error: SlurmBusyError) -> None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            log.warning("%s; trying again", error)
        elif now - self._silent_since > PATIENCE_S:
            raise WorkError(f"Slurm has not answered for {PATIENCE_S:.0f} s: {error}")

    def _wait_until_gone(self, places: Sequence[Place] | None) -> None:
        """Waits until cancelled elements (None: all of the build) have ended, so that they write no more."""
        deadline = time.monotonic() + CANCEL_S
        while time.monotonic() < deadline:
            try:
                states = commands.element_states(self._name)
            except SlurmBusyError:
                return
            alive = [place for place, state in states.items() if state.state in ("RUNNING", "COMPLETING", "PENDING")]
            if not [place for place in alive if places is None or place in places]:
                return
            time.sleep(POLL_S[0])
