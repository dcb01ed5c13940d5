"""Micro-batches drawn ahead of the steps that need them, by a thread, so that no step waits for its data.

What the thread runs into is kept with the step it was met in and raised when that step is asked for. A step that is
asked for out of turn, as after a return to a checkpoint, begins a new row of steps at its place.

The two talk through queues alone, so that neither waits while the other holds a lock. The thread is woken every other
step: where other programs fill all cores, each wake may cost the training its place on one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from llemma.train.data.batch import Batch, BatchRules
from llemma.train.data.samples import Samples
from llemma.train.settings import Settings

STEPS_AHEAD = 4
"""Prepared and waiting at most; a disk or a network may be slow for so long. Chosen by us."""

THREAD_NAME = "data-loader"


@dataclass(frozen=True, kw_only=True)
class StepData:
    """The micro-batches of one step that are this process's own, and the numbers of all samples of the step."""

    batches: list[Batch]
    numbers: list[int]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Steps one behind the other: a thread makes what is ordered, until it is told None."""

    samples: Samples
    orders: SimpleQueue[int | None] = field(default_factory=SimpleQueue)  # positions
    made: SimpleQueue[StepData | BaseException] = field(default_factory=SimpleQueue)


class MicroBatches:
    """The data of each step in order. To be closed: `with MicroBatches(…) as data: … data.take(position)`."""

    def __init__(
        self,
        samples: Samples,
        settings: Settings,
        rules: BatchRules,
        *,
        dp_rank: int = 0,
        dp_size: int = 1,
        pin: bool = False,
    ) -> None:
        """With `pin` the batches lie in memory that a GPU fetches by itself.

        Of `dp_size` data-parallel processes, the one numbered `dp_rank` takes every dp_size-th micro-batch of a step.
        """
        self._samples, self._rules, self._pin = samples, rules, pin
        self._batch_size, self._micro_batch = settings.batch_size, settings.micro_batch
        self._own = range(dp_rank, settings.num_micro_batches, dp_size)
        self._end = settings.last_iteration * settings.batch_size
        self._row: _Row | None = None
        self._position = 0  # of the row's next step, counted in samples
        self._ordered = 0  # up to which position
        self._threads: list[threading.Thread] = []
        self.wait_seconds = 0.0
        """Time that steps have waited for their data."""

    def take(self, position: int) -> StepData:
        """The data of the step that begins at a position. Raises what was met when they were read."""
        row = self._row
        if row is None or position != self._position:
            row = self._begin(position)
        began = time.perf_counter()
        found = row.made.get()
        self.wait_seconds += time.perf_counter() - began
        self._position += self._batch_size
        if self._ordered - self._position <= STEPS_AHEAD * self._batch_size // 2:
            self._order(row)
        if isinstance(found, BaseException):
            self.restart(self._samples)  # asked again, the step is read again
            raise found
        return found

    def restart(self, samples: Samples) -> None:
        """Throws away what was drawn ahead: other samples are to be drawn, from wherever the next step begins."""
        self._samples = samples
        if self._row is not None:
            self._row.orders.put(None)
            self._row = None

    def close(self) -> None:
        """Ends the thread; may be called twice."""
        self.restart(self._samples)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> MicroBatches:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _begin(self, position: int) -> _Row:
        """A row from a position on, and the thread that makes it."""
        self.restart(self._samples)
        self._row = row = _Row(samples=self._samples)
        self._position = self._ordered = position
        self._end = max(self._end, position + self._batch_size)  # what is asked for is there
        thread = threading.Thread(target=self._make, args=(row,), name=THREAD_NAME, daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()
        self._order(row)
        return row

    def _order(self, row: _Row) -> None:
        """Orders the next steps, as many as may lie ready, up to the stage's last."""
        while self._ordered < min(self._position + STEPS_AHEAD * self._batch_size, self._end):
            row.orders.put(self._ordered)
            self._ordered += self._batch_size

    def _make(self, row: _Row) -> None:
        """The thread's work."""
        for position in iter(row.orders.get, None):
            if row is not self._row:  # given up, with orders still in it
                return
            found: StepData | BaseException
            try:
                found = self._step(row.samples, position)
            except BaseException as error:  # whatever it is, the step that needs these data raises it
                found = error
            row.made.put(found)

    def _step(self, samples: Samples, position: int) -> StepData:
        samples.check_files()
        numbers = samples.numbers(position, self._batch_size)
        return StepData(batches=[self._batch(samples, numbers, at) for at in self._own], numbers=numbers)

    def _batch(self, samples: Samples, numbers: Sequence[int], at: int) -> Batch:
        batch = samples.batch(numbers[at * self._micro_batch : (at + 1) * self._micro_batch], self._rules)
        return batch.pinned() if self._pin else batch
