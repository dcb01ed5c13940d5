"""One stage from its first step to its last, through any number of kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import LlamaForCausalLM

from llemma.core.errors import InputError
from llemma.core.logging import get_logger
from llemma.core.progress import progress
from llemma.core.records import write_record
from llemma.guard.checkpoints import FoundCheckpoint, find_checkpoint, list_checkpoints, remove_after
from llemma.guard.exclusions import Exclusions
from llemma.guard.ladder import Ladder
from llemma.guard.ledger import Ledger, read_lines, sum_up
from llemma.guard.manifest import check_manifest
from llemma.train.checkpoint import CheckpointFacts, check_same_run, read_facts, restore_state, this_version
from llemma.train.data import data_fingerprint, training_samples, validation_set
from llemma.train.metrics import MetricsFile
from llemma.train.model import load_model, random_model
from llemma.train.optimizer import make_optimizer
from llemma.train.places import StagePlaces
from llemma.train.preflight import TokenizerFacts, check_model_folder
from llemma.train.settings import Settings
from llemma.train.stage_run import StageRun, goodput, make_step, save, validate
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
) -> StageOutcome:
    """Trains a stage from its newest sound checkpoint, or from its beginning, to its end or until told to stop.

    `previous` is the stage that it begins with, where it begins with one.
    """
    found = find_checkpoint(places.checkpoints)
    for fault in found.passed_over if found else ():
        _log.warning("%s: this checkpoint is passed over for the one before", fault)
    fingerprint = data_fingerprint(settings)
    facts = read_facts(found.path) if found else None
    if found and facts:
        check_same_run(found.path, facts, settings.identity(), fingerprint)
        if found.step >= settings.last_iteration and places.record.exists():
            return StageOutcome(state="finished", iteration=found.step, checkpoint=found.path, tokens_per_s=None)
        _warn_of_other_surroundings(facts, device, num_threads)
    threads = num_threads or (facts.num_threads if facts else torch.get_num_threads())
    torch.set_num_threads(threads)
    torch.manual_seed(settings.config.seed)
    watchdog = Watchdog(hang_timeout_s)
    ledger = Ledger(places.folder)
    with watchdog.watching():
        guard = Ladder(settings.guard.ladder_policy(), can_roll_back=True)
        guard.num_rollbacks = sum_up(read_lines(places.ledger)).rollbacks
        if found and facts:
            check_model_folder(found.path, settings)
            model = load_model(found.path, device)
            optimizer = make_optimizer(model, settings.config)
            restore_state(found.path, model, optimizer)
            guard.restore(facts.guard)
            remove_after(places.checkpoints, found.step)
        else:
            model, optimizer = _begin(settings, previous, device)
        rows = model.config.vocab_size
        iteration = facts.iteration if facts else 0
        run = StageRun(
            places=places,
            settings=settings,
            tokenizer=tokenizer,
            model=model,
            optimizer=optimizer,
            guard=guard,
            samples=training_samples(settings, rows).without(Exclusions.read(places.folder)),
            validation=validation_set(settings, rows),
            metrics=MetricsFile(places.metrics, found.step if found else None),
            ledger=ledger,
            writer=CheckpointWriter(
                places.checkpoints,
                settings.config.keep_last_n_checkpoints,
                lambda step: ledger.write("saved", step),
            ),
            watchdog=watchdog,
            fingerprint=fingerprint,
            num_threads=threads,
            iteration=iteration,
            earlier_seconds=facts.seconds if facts else 0.0,
            saved_at=facts.iteration if facts else None,
        )
        del model, optimizer  # the run may replace its own
        _note_start(ledger, iteration, found)
        try:
            return _train(run, should_stop)
        except Exception:
            run.writer.finish()  # a checkpoint that is half written when the run fails is worth having
            raise
        finally:
            run.metrics.close()


def _note_start(ledger: Ledger, iteration: int, found: FoundCheckpoint | None) -> None:
    passed_over = list(found.passed_over) if found else []
    ledger.write("start", iteration, processes=1, passed_over=passed_over)
    if passed_over:
        ledger.write("fall-back", iteration, reasons=passed_over)


def _begin(
    settings: Settings, previous: StagePlaces | None, device: torch.device
) -> tuple[LlamaForCausalLM, torch.optim.AdamW]:
    """Model and optimizer at the first step of a stage."""
    plan = settings.plan
    if plan.start == "noise":
        model = random_model(settings.config, device)
        return model, make_optimizer(model, settings.config)
    if plan.start == "hf":
        model = load_model(Path(plan.init_from or ""), device)
        return model, make_optimizer(model, settings.config)
    folder = _checkpoint_to_begin_with(settings, previous)
    check_model_folder(folder, settings, any_rope_base=True)
    model = load_model(folder, device, settings.config)
    optimizer = make_optimizer(model, settings.config)
    if plan.carry_optimizer:
        restore_state(folder, model, optimizer, with_random_state=False)
    return model, optimizer


def _checkpoint_to_begin_with(settings: Settings, previous: StagePlaces | None) -> Path:
    """The checkpoint of another stage that this one begins with: of the iteration that is named, else its last."""
    if previous is None:
        raise InputError(f"{settings.stage}: begins with the stage before, but there is none")
    wanted = settings.plan.start_iteration
    checkpoints = dict(list_checkpoints(previous.checkpoints))
    if not previous.record.exists() and (wanted is None or wanted not in checkpoints):
        raise InputError(
            f"{settings.stage}: begins with {previous.name}, which is not finished: train that stage first"
        )
    if wanted is None:
        found = find_checkpoint(previous.checkpoints)
        if found is None:
            raise InputError(f"{settings.stage}: begins with {previous.name}, whose checkpoints are gone")
        return found.path
    if wanted not in checkpoints:
        there = ", ".join(map(str, sorted(checkpoints))) or "none"
        raise InputError(
            f"{settings.stage}: begins with iteration {wanted} of {previous.name}, which has no checkpoint of it "
            f"(there are: {there}): remove {previous.folder} to train that stage again"
        )
    check_manifest(checkpoints[wanted])
    return checkpoints[wanted]


def _warn_of_other_surroundings(facts: CheckpointFacts, device: torch.device, num_threads: int | None) -> None:
    changes = [
        f"{name} was {before}, is now {now}"
        for name, before, now in (
            ("the number of threads", facts.num_threads, num_threads or facts.num_threads),
            ("the device", facts.device, device.type),
            ("versions", facts.versions, this_version()),
        )
        if before != now
    ]
    if changes:
        _log.warning("the last bits of the numbers may differ from an unbroken run: %s", "; ".join(changes))


def _train(run: StageRun, should_stop: Callable[[], bool]) -> StageOutcome:
    settings = run.settings
    last = settings.last_iteration
    if run.iteration == 0:
        validate(run)
    with progress(f"train {settings.stage}", total=last, unit="steps") as shown:
        shown.advance(run.iteration)
        while run.iteration < last:
            if should_stop():
                save(run)
                run.writer.wait()
                return _outcome(run, "stopped")
            before = run.iteration
            loss = make_step(run)
            shown.note(f"loss {loss:.3f}, {run.tokens_per_s or 0:,.0f} tokens/s")
            shown.advance(run.iteration - before)
            if run.iteration <= before:
                continue  # it went back to a checkpoint, where all of this is done
            if settings.is_validated(run.iteration):
                validate(run)
            if settings.is_saved(run.iteration):
                save(run)
        run.writer.wait()
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
            "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        },
        seconds=round(run.seconds, 3),
        goodput=goodput(run),
    )
    return _outcome(run, "finished")


def _outcome(run: StageRun, state: Literal["finished", "stopped"]) -> StageOutcome:
    found = find_checkpoint(run.places.checkpoints)
    return StageOutcome(
        state=state, iteration=run.iteration, checkpoint=found.path if found else None, tokens_per_s=run.tokens_per_s
    )
