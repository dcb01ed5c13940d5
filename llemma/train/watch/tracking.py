"""A stage's trackers: fed beside the training, and never with the same curve twice, nor with a hole in one.

RUN/train/NN-name/trackers.json    {"wandb": {"identity": "1f0c…", "told": 120}, …}: under which identity each tracker
                                   knows the stage, and until where it was told all; null while it is being told

Where a run goes on from where a tracker was told all, the curves go on. Everywhere else they begin anew and the tracker
is told the whole history first: after a kill, after the guard's return to a checkpoint (the numbers behind it change),
and where the tracker was not named in between.

TensorBoard      what it was told before is removed.
wandb, trackio   take nothing back: the stage begins as another run there, and the run before keeps what it has.

A tracker that fails or is slow costs the training nothing: a thread of its own feeds it, and gives up with one warning.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llemma.core.errors import LlemmaError
from llemma.core.files import read_json, write_json
from llemma.core.logging import get_logger
from llemma.core.schemas import GeneratedText, MetricLine, read_lines
from llemma.train.places import StagePlaces
from llemma.train.watch.options import TrackerName
from llemma.train.watch.trackers import OPENERS, TrackedRun, Tracker, told

MAX_WAITING = 20_000  # iterations that wait for a tracker slower than the training; chosen by us
PATIENCE_S = 30.0  # for what waits when a stage ends; chosen by us
_log = get_logger(__name__)
_Told = tuple[int, dict[str, float | str], tuple[GeneratedText, ...]]
L = TypeVar("L", MetricLine, GeneratedText)


class Feed:
    """One tracker and the thread that talks to it."""

    def __init__(self, name: str, opener: Callable[[TrackedRun], Tracker], on_open: Callable[[str], None]) -> None:
        """`on_open` is told where a person finds the run, by the thread."""
        self._name, self._opener, self._on_open = name, opener, on_open
        self._waiting: queue.Queue[TrackedRun | list[_Told] | None] = queue.Queue(MAX_WAITING)
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, item: TrackedRun | list[_Told]) -> None:
        """Hands over what is to be told, or the run that it is told to from now on. Never waits, never fails."""
        if self._is_over:
            return
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self._give_up("it is too slow")

    def close(self) -> bool:
        """Returns when everything is handed over, or after PATIENCE_S; whether it was."""
        end = time.monotonic() + PATIENCE_S
        while not self._is_over:
            try:
                self._waiting.put(None, timeout=0.1)
                break
            except queue.Full:
                if time.monotonic() > end:
                    break
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive() and not self._is_over:
            self._give_up(f"it has not taken everything within {PATIENCE_S:g} s")
        return not self._is_over

    def _work(self) -> None:
        tracker: Tracker | None = None
        try:
            while (item := self._waiting.get()) is not None and not self._is_over:
                if isinstance(item, TrackedRun):
                    if tracker is not None:
                        tracker.close()
                    tracker = self._opener(item)
                    self._on_open(f"tracked: {tracker.place}")
                elif tracker is not None:
                    for iteration, values, samples in item:
                        tracker.log(iteration, values, samples)
            if tracker is not None:
                tracker.close()
        except BaseException as error:  # whatever comes out of a foreign program, SystemExit too
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            _log.warning(
                "%s is told nothing more: %s; the training goes on", self._name, " ".join(reason.split())[:500]
            )


class Tracking:
    """All trackers of a stage."""

    def __init__(
        self,
        names: Sequence[TrackerName],
        places: StagePlaces,
        *,
        resumed_at: int,
        config: Mapping[str, Any],
        naming: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        """metrics.jsonl and samples.jsonl have been cut behind `resumed_at` already. `say` may be called by threads."""
        self._places = places
        self._run = TrackedRun(
            folder=places.run, stage=places.name, identity="", is_new=True, config=dict(config), names=dict(naming)
        )
        before = _identities(places.trackers)
        self._told = resumed_at
        self._identities: dict[TrackerName, str] = {}
        self._feeds = {name: Feed(name, OPENERS[name], say) for name in names}
        for name, feed in self._feeds.items():
            identity, told_until = before.get(name, ("", None))
            if told_until == resumed_at:
                self._identities[name] = identity
                feed.put(dataclasses.replace(self._run, identity=identity, is_new=False))
            else:
                self._begin(name, resumed_at)
        self._write_identities(())

    def log(self, line: MetricLine) -> None:
        """Tells of a line of metrics.jsonl."""
        self._put(line.iteration, told(line), ())

    def log_samples(self, iteration: int, samples: Sequence[GeneratedText]) -> None:
        """Tells of a round of samples."""
        self._put(iteration, {}, tuple(samples))

    def go_back(self, iteration: int) -> None:
        """Takes back what was told of the iterations after this one, whose numbers will be others."""
        for name in self._feeds:
            self._begin(name, iteration)
        self._write_identities(())
        self._told = iteration

    def close(self) -> None:
        """Returns when all trackers have what they are to have, or have had their time."""
        self._write_identities([name for name, feed in self._feeds.items() if feed.close()])

    def _begin(self, name: TrackerName, until: int) -> None:
        """Begins anew, with the history up to an iteration."""
        self._identities[name] = uuid.uuid4().hex[:12]
        self._feeds[name].put(dataclasses.replace(self._run, identity=self._identities[name]))
        self._feeds[name].put(self._history(until))

    def _put(self, iteration: int, values: dict[str, float | str], samples: tuple[GeneratedText, ...]) -> None:
        self._told = iteration
        for feed in self._feeds.values():
            feed.put([(iteration, values, samples)])

    def _write_identities(self, complete: Collection[TrackerName]) -> None:
        facts = {
            name: {"identity": identity, "told": self._told if name in complete else None}
            for name, identity in self._identities.items()
        }
        write_json(self._places.trackers, facts)

    def _history(self, until: int) -> list[_Told]:
        """What the stage's files hold up to an iteration, in its order."""
        found: list[_Told] = [
            (line.iteration, told(line), ()) for line in _lines(self._places.metrics, MetricLine, until)
        ]
        rounds: dict[int, list[GeneratedText]] = {}
        for sample in _lines(self._places.samples, GeneratedText, until):
            rounds.setdefault(sample.iteration, []).append(sample)
        found += [(iteration, {}, tuple(samples)) for iteration, samples in rounds.items()]
        return sorted(found, key=lambda item: item[0])


def _lines(path: Path, model: type[L], until: int) -> Iterator[L]:
    try:
        yield from (line for line in read_lines(path, model) if line.iteration <= until)
    except LlemmaError:  # no such file, or a line of another version: the curves lack what is not known
        return


def _identities(path: Path) -> dict[str, tuple[str, int | None]]:
    """Identity and last iteration of each tracker, as far as they can be read."""
    try:
        return {name: (str(facts["identity"]), facts["told"]) for name, facts in read_json(path).items()}
    except (LlemmaError, AttributeError, KeyError, TypeError):
        return {}
