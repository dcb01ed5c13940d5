"""One stage from its first step to its last, through any number of kills."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from llemma.core.logging import get_logger
from llemma.core.records import write_record
from llemma.guard.checkpoints import FoundCheckpoint, find_checkpoint, remove_after
from llemma.guard.exclusions import Exclusions
from llemma.guard.ladder import Ladder
from llemma.guard.ledger import Ledger, read_lines, sum_up
from llemma.train.acceleration import Acceleration
from llemma.train.checkpoint import CheckpointFacts, check_same_run, read_facts, restore_state, this_version
from llemma.train.data.samples import data_fingerprint, training_samples, validation_set
from llemma.train.engine import EngineName, make_engine
from llemma.train.grid import ALONE, Grid
from llemma.train.model.weights import load_model
from llemma.train.places import StagePlaces
from llemma.train.preflight import TokenizerFacts, check_model_folder
from llemma.train.settings import Settings
from llemma.train.stage_run import StageRun, goodput, make_step, save, validate
from llemma.train.start import Start
from llemma.train.watch.metrics import last_iteration
from llemma.train.watch.options import Watching
from llemma.train.watch.stage_watch import StageWatch
from llemma.train.watchdog import Watchdog
from llemma.train.writer import CheckpointWriter

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """How a stage ended: finished, or stopped on request with everything saved."""

    state: Literal["finished", "stopped"]
    iteration: int
    checkpoint: Path | None
    tokens_per_s: float | None  # of the steps of this call; None where it made none


def train_stage(
    places: StagePlaces,
    settings: Settings,
    tokenizer: TokenizerFacts,
    previous: StagePlaces | None,
    *,
    device: torch.device,
    num_threads: int | None,
    should_stop: Callable[[], bool],
    hang_timeout_s: float | None = None,
    grid: Grid = ALONE,
    log: Path | None = None,
    engine: EngineName = "own",
    watching: Watching | None = None,
    acceleration: Acceleration | None = None,
) -> StageOutcome:
    """Trains a stage from its newest sound checkpoint, or from its beginning, to its end or until told to stop.

    `previous` is the stage that it begins with, where it begins with one. Every process of the grid calls this; the
    first one writes all files, and what it reads decides for all. `log` takes what the watchdog has to say.
    """
    found = grid.from_first(lambda: find_checkpoint(places.checkpoints))
    for fault in found.passed_over if found else ():
        _log.warning("%s: this checkpoint is passed over for the one before", fault)
    fingerprint = data_fingerprint(settings)
    facts = read_facts(found.path) if found else None
    start = Start(settings, previous, grid)
    is_finished = bool(found and found.step >= settings.last_iteration and places.record.exists())
    if not is_finished:
        settings = start.with_reference()
    elif facts:  # nothing is compared any more
        settings = dataclasses.replace(settings, reference=facts.identity.get("reference"))
    if found and facts:
        check_same_run(found.path, facts, settings.identity(), fingerprint)
        if is_finished:
            return StageOutcome(state="finished", iteration=found.step, checkpoint=found.path, tokens_per_s=None)
        if grid.is_first:
            _warn_of_other_surroundings(facts, device, num_threads, grid, engine)
    is_same_grid = facts is not None and facts.processes == [grid.data_size, grid.tensor_size]
    threads = num_threads or (facts.num_threads if facts and is_same_grid else torch.get_num_threads())
    torch.set_num_threads(threads)
    torch.manual_seed(settings.config.seed)
    gc.collect()  # DeepSpeed and the model of a stage before refer to each other
    watchdog = Watchdog(hang_timeout_s, log)
    ledger = Ledger(places.folder if grid.is_first else None)
    with watchdog.watching():
        guard = Ladder(settings.guard.ladder_policy(), can_roll_back=True)
        guard.num_rollbacks = sum_up(read_lines(places.ledger)).rollbacks
        if found and facts:
            check_model_folder(found.path, settings)
            model = load_model(found.path, device, tensor_parallel=grid.tensor)
            optimizer = make_engine(engine, model, settings.config, grid)
            restore_state(found.path, optimizer)
            guard.restore(facts.guard)
            if grid.is_first:
                remove_after(places.checkpoints, found.step)
        else:
            model = start.load(device)
            optimizer = make_engine(engine, model, settings.config, grid)
            if settings.plan.carry_optimizer and start.folder is not None:
                restore_state(start.folder, optimizer, with_random_state=False)
        rows = model.config.vocab_size
        iteration = facts.iteration if facts else 0
        resumed_at = found.step if found else None
        if grid.is_first and places.metrics.exists():  # the ledger's own lines are some steps apart
            ledger.write_untold(last_iteration(places.metrics), places.metrics.stat().st_mtime)
        watch = StageWatch(
            watching or Watching(), places, settings, tokenizer, device, resumed_at=resumed_at, grid=grid
        )
        run = StageRun(
            places=places,
            settings=settings,
            tokenizer=tokenizer,
            grid=grid,
            model=model,
            optimizer=optimizer,
            guard=guard,
            samples=training_samples(settings, rows).without(Exclusions.read(places.folder)),
            validation=validation_set(settings, rows),
            watch=watch,
            ledger=ledger,
            writer=CheckpointWriter(
                places.checkpoints,
                settings.config.keep_last_n_checkpoints,
                lambda step: _note_saved(ledger, watch, step),
            ),
            watchdog=watchdog,
            fingerprint=fingerprint,
            num_threads=threads,
            engine=engine,
            objective=start.load_objective(device),
            iteration=iteration,
            earlier_seconds=facts.seconds if facts else 0.0,
            saved_at=facts.iteration if facts else None,
            acceleration=acceleration or Acceleration(),
        )
        del model, optimizer  # the run may replace its own
        run.acceleration.apply(run.model, settings.config, grid)
        watch.left_out(guard.num_skipped)
        _note_start(ledger, iteration, found, grid)
        try:
            outcome = _train(run, should_stop)
            run.optimizer.close()
            return outcome
        except Exception:
            run.writer.finish()  # a checkpoint that is half written when the run fails is worth having
            raise
        finally:
            run.data.close()
            run.watch.close()


def _note_start(ledger: Ledger, iteration: int, found: FoundCheckpoint | None, grid: Grid) -> None:
    passed_over = list(found.passed_over) if found else []
    ledger.write("start", iteration, processes=grid.size, passed_over=passed_over)
    if passed_over:
        ledger.write("fall-back", iteration, reasons=passed_over)


def _note_saved(ledger: Ledger, watch: StageWatch, step: int) -> None:
    ledger.write("saved", step)
    watch.saved(step)


def _warn_of_other_surroundings(
    facts: CheckpointFacts, device: torch.device, num_threads: int | None, grid: Grid, engine: EngineName
) -> None:
    changes = [
        f"{name} was {before}, is now {now}"
        for name, before, now in (
            ("the number of threads", facts.num_threads, num_threads or facts.num_threads),
            ("processes (data x tensor parallel)", facts.processes, [grid.data_size, grid.tensor_size]),
            ("the device", facts.device, device.type),
            ("versions", facts.versions, this_version(engine)),
        )
        if before != now
    ]
    if changes:
        _log.warning("the last bits of the numbers may differ from an unbroken run: %s", "; ".join(changes))


def _train(run: StageRun, should_stop: Callable[[], bool]) -> StageOutcome:
    settings = run.settings
    last = settings.last_iteration
    with run.watch.shown():
        if run.iteration == 0:
            validate(run)
            run.watch.sample(run.model, 0)
        while run.iteration < last:
            # Alone, a process ends before its next step; of several, all learn of it in a step.
            if run.is_stop_wanted or (run.grid.size == 1 and should_stop()):
                save(run)
                _wait_for_checkpoint(run)
                return _outcome(run, "stopped")
            before = run.iteration
            make_step(run, is_stop_wanted=should_stop())
            if run.iteration <= before:
                continue  # it went back to a checkpoint, where all of this is done
            if settings.is_validated(run.iteration):
                validate(run)
            run.watch.sample(run.model, run.iteration)
            if settings.is_saved(run.iteration):
                save(run)
        _wait_for_checkpoint(run)
    if run.grid.is_first:
        _record(run)
    return _outcome(run, "finished")


def _wait_for_checkpoint(run: StageRun) -> None:
    run.watch.note_work("writing the checkpoint")
    run.writer.wait()
    run.watch.note_work("")


def _record(run: StageRun) -> None:
    settings = run.settings
    run.ledger.write("finish", run.iteration)
    write_record(
        run.places.record,
        kind="trained-stage",
        config=settings.identity(),
        outputs=[run.places.metrics],
        counts={
            "iterations": run.iteration,
            "tokens": run.iteration * settings.tokens_per_iteration,
            "skipped_steps": run.guard.num_skipped,
            "parameters": run.optimizer.num_parameters,
        },
        seconds=round(run.seconds, 3),
        goodput=goodput(run),
    )


def _outcome(run: StageRun, state: Literal["finished", "stopped"]) -> StageOutcome:
    found = find_checkpoint(run.places.checkpoints) if run.grid.is_first else None
    return StageOutcome(
        state=state, iteration=run.iteration, checkpoint=found.path if found else None, tokens_per_s=run.tokens_per_s
    )
