"""A stage while it is being trained, and what a step, a validation, a checkpoint and a return do to it."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.files import write_text
from llemma.core.logging import get_logger
from llemma.core.schemas import MetricLine
from llemma.guard.checkpoints import LATEST_NAME, list_checkpoints, remove_after
from llemma.guard.exclusions import Exclusions
from llemma.guard.ladder import Ladder, Verdict
from llemma.guard.ledger import Ledger, read_lines, sum_up
from llemma.guard.manifest import check_manifest
from llemma.schedules import learning_rate
from llemma.train.acceleration import Acceleration
from llemma.train.checkpoint import CheckpointFacts, read_facts, restore_state, take_snapshot, this_version
from llemma.train.data.batch import BatchRules
from llemma.train.data.loading import MicroBatches, StepData
from llemma.train.data.samples import Samples, ValidationSet
from llemma.train.engine import Engine, EngineName, make_engine
from llemma.train.grid import Grid
from llemma.train.model.llama import Llama
from llemma.train.model.weights import load_model
from llemma.train.objective import NEXT_TOKEN, Objective
from llemma.train.places import StagePlaces
from llemma.train.preflight import TokenizerFacts
from llemma.train.settings import Settings
from llemma.train.step import compute_gradients
from llemma.train.validation import validation_loss
from llemma.train.watch.stage_watch import StageWatch
from llemma.train.watchdog import Watchdog
from llemma.train.writer import CheckpointWriter

_SIGN_OF_LIFE_S = 20.0  # between two lines of the ledger that only say how far the run is; chosen by us
_SHOWN_SAMPLES = 8  # of a run's last message; chosen by us
_log = get_logger(__name__)


@dataclass(kw_only=True)
class StageRun:
    """What a checkpoint holds, and what it is written with."""

    places: StagePlaces
    settings: Settings
    tokenizer: TokenizerFacts
    grid: Grid
    model: Llama
    optimizer: Engine
    guard: Ladder
    samples: Samples
    validation: ValidationSet | None
    watch: StageWatch
    ledger: Ledger
    writer: CheckpointWriter
    watchdog: Watchdog
    fingerprint: str
    num_threads: int
    engine: EngineName = "own"
    objective: Objective = NEXT_TOKEN
    acceleration: Acceleration = field(default_factory=Acceleration)
    iteration: int = 0
    earlier_seconds: float = 0.0
    step_seconds: float = 0.0
    steps_here: int = 0
    saved_at: int | None = None
    noted_at: float = 0.0
    is_stop_wanted: bool = False  # by any of the processes, as all of them know since the last step
    started: float = field(default_factory=time.perf_counter)
    data: MicroBatches = field(init=False)

    def __post_init__(self) -> None:
        self.data = MicroBatches(
            self.samples,
            self.settings,
            self.rules,
            dp_rank=self.grid.data_rank,
            dp_size=self.grid.data_size,
            pin=self.model.device.type == "cuda",
        )

    @property
    def seconds(self) -> float:
        """Seconds that the stage has run, over all attempts up to their last checkpoints."""
        return self.earlier_seconds + time.perf_counter() - self.started

    @property
    def rules(self) -> BatchRules:
        """What the end-of-document token does."""
        eod = self.tokenizer.eod_id
        return BatchRules(
            masked_after=eod if self.settings.eod_mask_loss else None,
            isolated_by=eod if self.settings.plan.packing == "isolated" else None,
        )

    @property
    def consumed_samples(self) -> int:
        """The position in the data; a step that was left out has consumed its samples too."""
        return self.iteration * self.settings.batch_size

    @property
    def tokens_per_s(self) -> float | None:
        """Training speed of this call, validation and checkpoints aside."""
        return self.steps_here * self.settings.tokens_per_iteration / self.step_seconds if self.step_seconds else None


def make_step(run: StageRun, *, is_stop_wanted: bool = False) -> float:
    """Makes the next step, or leaves it out, and writes its line. Returns the loss.

    `is_stop_wanted` says that this process was asked to end; run.is_stop_wanted then says so in all of them. Where the
    guard says so the run goes back to an earlier checkpoint. Raises WorkError where it says that the run cannot go on.
    """
    settings = run.settings
    started = time.perf_counter()
    data = _data_of_step(run)
    gradients = compute_gradients(
        run.model,
        run.optimizer,
        data.batches,
        settings.num_micro_batches,
        settings.precision,
        run.objective,
        run.grid,
        is_stop_wanted=is_stop_wanted,
    )
    run.is_stop_wanted = gradients.is_stop_wanted
    lr = learning_rate(settings.schedule, run.iteration)
    verdict = run.guard.judge(gradients.loss, gradients.grad_norm)
    if verdict.action == "take":
        run.optimizer.update(lr, gradients.clip_scale(settings.config.gradient_clipping))
    else:
        run.optimizer.drop_gradients()
    run.iteration += 1
    seconds = time.perf_counter() - started
    run.step_seconds += seconds
    run.steps_here += 1
    run.watch.write(
        MetricLine(
            kind="train",
            stage=settings.stage,
            iteration=run.iteration,
            loss=_finite(gradients.loss),
            lr=lr,
            grad_norm=_finite(gradients.grad_norm),
            measures={name: value for name, value in gradients.measures.items() if _finite(value) is not None} or None,
            tokens=run.iteration * settings.tokens_per_iteration,
            tokens_per_s=round(settings.tokens_per_iteration / seconds, 1),
            seconds=round(run.seconds, 3),
        )
    )
    if verdict.action != "take":
        _left_out(run, verdict)
    _give_signs_of_life(run)
    return gradients.loss


def _data_of_step(run: StageRun) -> StepData:
    """The micro-batches of the next step. Where they cannot be read, all steps before them are saved first."""
    try:
        return run.data.take(run.consumed_samples)
    except DamagedFileError:
        if run.grid.size == 1:  # of several processes the others know nothing of it, and all would have to save
            save(run)
            run.writer.wait()
        raise


def _left_out(run: StageRun, verdict: Verdict) -> None:
    """Tells of a step that was not taken, and does what the ladder says besides."""
    run.watch.left_out(run.guard.num_skipped)
    _event(run, f"step left out: {verdict.reason}")
    run.ledger.write("skip", run.iteration, reason=verdict.reason, samples=_as_ranges(run, run.iteration - 1, 1))
    if verdict.action == "roll-back" and not go_back(run, verdict):
        stop(run, f"{verdict.reason}; there is no checkpoint to return to")
    if verdict.action == "stop":
        stop(run, verdict.reason)


def _event(run: StageRun, message: str) -> None:
    run.watch.write(MetricLine(kind="event", stage=run.settings.stage, iteration=run.iteration, message=message))


def _as_ranges(run: StageRun, first_iteration: int, iterations: int) -> list[list[int]]:
    """The samples of iterations, [[first, end], …]."""
    size = run.settings.batch_size
    numbers = run.samples.numbers(first_iteration * size, iterations * size)
    return [list(item) for item in Exclusions((number, number + 1) for number in numbers).ranges]


def _give_signs_of_life(run: StageRun) -> None:
    run.watchdog.beat()
    run.places.check_in_place()
    run.writer.check()
    now = time.monotonic()
    if now - run.noted_at >= _SIGN_OF_LIFE_S:
        run.noted_at = now
        run.ledger.write("reached", run.iteration)


def stop(run: StageRun, reason: str) -> None:
    """Ends the run with a report of the documents in the steps left out. Raises WorkError."""
    run.ledger.write("stop", run.iteration, reason=reason)
    run.writer.wait()
    size, count = run.settings.batch_size, run.guard.num_in_a_row
    numbers = run.samples.numbers((run.iteration - count) * size, count * size)
    decode = run.tokenizer.decoder()
    if run.grid.is_first:
        write_text(run.places.left_out, run.samples.describe(numbers, decode, len(numbers)) + "\n")
    raise WorkError(
        f"{run.settings.stage} was stopped at iteration {run.iteration}: {reason}.\n"
        f"The steps left out drew on these documents:\n"
        f"{run.samples.describe(numbers, decode, _SHOWN_SAMPLES)}\n(all of them stand in {run.places.left_out})\n"
        f"Its checkpoints are kept in {run.places.checkpoints}. Look at these documents, lower the learning "
        "rate, or plan a new run that begins with an earlier checkpoint"
    )


# ---------------------------------------------------------------------- going back


def go_back(run: StageRun, verdict: Verdict) -> bool:
    """Takes up an earlier checkpoint and leaves the samples of the last steps left out for good.

    Returns False where there is none. What a kill leaves behind is sound at every moment: with
    the exclusions written the run goes on without these samples, from whichever checkpoint.
    """
    run.writer.wait()
    at, first = run.iteration, run.iteration - run.guard.num_in_a_row
    found = run.grid.from_first(
        lambda: earlier_checkpoint(run.places.checkpoints, first, run.guard.policy.rollback_checkpoints)
    )
    if found is None:
        return False
    step, folder = found
    excluded = _as_ranges(run, first, at - first)
    exclusions = run.samples.exclusions.with_ranges((begin, end) for begin, end in excluded)
    if run.grid.is_first:
        exclusions.write(run.places.folder)
        run.ledger.write("roll-back", at, to=step, reason=verdict.reason, excluded=excluded)
        write_text(run.places.checkpoints / LATEST_NAME, folder.name + "\n")
        remove_after(run.places.checkpoints, step)
    facts = read_facts(folder)
    device = run.model.device
    run.optimizer.close()
    del run.model, run.optimizer  # a second model may have no room beside the first
    gc.collect()  # DeepSpeed and the model refer to each other
    run.model = load_model(folder, device, tensor_parallel=run.grid.tensor)
    run.optimizer = make_engine(run.engine, run.model, run.settings.config, run.grid)
    restore_state(folder, run.optimizer)
    run.acceleration.apply(run.model, run.settings.config, run.grid)
    run.guard.went_back(facts.guard, run.guard.num_rollbacks + 1)
    run.samples = run.samples.without(exclusions)
    run.data.restart(run.samples)
    run.iteration = run.saved_at = step
    run.watch.cut_after(step)
    _event(run, f"back from iteration {at}, without the samples {excluded}: {verdict.reason}")
    return True


def earlier_checkpoint(root: Path, last: int, count: int) -> tuple[int, Path] | None:
    """Step and folder of the `count`-th newest sound checkpoint of a step up to `last`.

    The oldest of them where they are fewer, and the oldest of all where those were removed: a checkpoint that was
    saved while steps were being left out holds the same weights as now.
    """
    sound = [(step, path) for step, path in list_checkpoints(root) if _is_sound(path)]
    before = [(step, path) for step, path in sound if step <= last] or sound[:1]
    return before[-min(len(before), count)] if before else None


def _is_sound(folder: Path) -> bool:
    try:
        check_manifest(folder)
    except DamagedFileError as error:
        _log.warning("%s: this checkpoint is passed over", error)
        return False
    return True


# ---------------------------------------------------------------------- validation and checkpoints


def validate(run: StageRun) -> None:
    """Writes the line of a validation, where the stage has any."""
    if run.validation is None:
        return
    started = time.perf_counter()
    run.watch.note_work("validating")
    found = validation_loss(
        run.model,
        run.validation,
        run.settings.micro_batch,
        run.settings.precision,
        run.rules,
        run.objective,
        run.watchdog.beat,
        run.grid,
    )
    run.watch.write(
        MetricLine(
            kind="validation",
            stage=run.settings.stage,
            iteration=run.iteration,
            loss=_finite(found.loss),
            by_source={name: loss for name, loss in found.by_source.items() if _finite(loss) is not None},
            tokens=run.iteration * run.settings.tokens_per_iteration,
            seconds=round(run.seconds, 3),
            took_s=round(time.perf_counter() - started, 3),
        )
    )


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity: they are left out, and the event line says what was found."""
    return value if abs(value) < float("inf") else None


def save(run: StageRun) -> None:
    """Begins to write a checkpoint of the state after the last step, unless that is the one on the disk."""
    if run.saved_at == run.iteration or run.iteration == 0:
        return
    facts = CheckpointFacts(
        stage=run.settings.stage,
        iteration=run.iteration,
        consumed_samples=run.consumed_samples,
        tokens=run.iteration * run.settings.tokens_per_iteration,
        seconds=round(run.seconds, 3),
        num_threads=run.num_threads,
        processes=[run.grid.data_size, run.grid.tensor_size],
        device=run.model.device.type,
        data_fingerprint=run.fingerprint,
        identity=run.settings.identity(),
        guard=run.guard.state(),
        versions=this_version(run.engine),
    )
    snapshot = take_snapshot(run.model, run.optimizer, facts)
    if snapshot is not None:
        run.writer.start(run.iteration, snapshot)
    run.saved_at = run.iteration


def goodput(run: StageRun) -> dict[str, Any]:
    """What the stage's ledger comes to, for its record."""
    assert run.ledger.path is not None
    totals = sum_up(read_lines(run.ledger.path))
    return {
        "attempts": totals.attempts,
        "useful_seconds": totals.useful_seconds,
        "lost_seconds": totals.lost_seconds,
        "pause_seconds": totals.pause_seconds,
        "repeated_steps": totals.repeated_steps,
        "rollbacks": totals.rollbacks,
        "fall_backs": totals.fall_backs,
        "excluded_samples": totals.excluded_samples,
        "data_wait_seconds": round(run.data.wait_seconds, 3),
    }
