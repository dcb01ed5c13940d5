"""One stage from its first step to its last, through any number of kills."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from transformers import LlamaForCausalLM

from llemma.core.errors import InputError, WorkError
from llemma.core.logging import get_logger
from llemma.core.progress import progress
from llemma.core.records import write_record
from llemma.core.schemas import MetricLine
from llemma.guard.checkpoints import find_checkpoint, new_checkpoint, remove_after, retain
from llemma.guard.steps import StepGuard
from llemma.schedules import learning_rate
from llemma.train.checkpoint import (
    CheckpointFacts,
    check_same_run,
    read_facts,
    restore_state,
    save_checkpoint,
    this_version,
)
from llemma.train.data import Samples, ValidationSet, data_fingerprint, training_samples, validation_set
from llemma.train.metrics import MetricsFile
from llemma.train.model import load_model, random_model
from llemma.train.optimizer import make_optimizer
from llemma.train.places import StagePlaces
from llemma.train.preflight import TokenizerFacts, check_model_folder
from llemma.train.settings import Settings
from llemma.train.step import apply_update, compute_gradients, drop_gradients
from llemma.train.validation import validation_loss

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """How a stage ended: finished, or stopped on request with everything saved."""

    state: Literal["finished", "stopped"]
    iteration: int
    checkpoint: Path | None
    tokens_per_s: float | None  # of the steps of this call; None where it made none


@dataclass(kw_only=True)
class StageRun:
    """A stage while it is being trained: what a checkpoint holds, and what it is written with."""

    places: StagePlaces
    settings: Settings
    model: LlamaForCausalLM
    optimizer: torch.optim.AdamW
    guard: StepGuard
    samples: Samples
    validation: ValidationSet | None
    metrics: MetricsFile
    fingerprint: str
    num_threads: int
    masked_after: int | None
    iteration: int = 0
    earlier_seconds: float = 0.0
    step_seconds: float = 0.0
    steps_here: int = 0
    saved_at: int | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds that the stage has run, over all attempts up to their last checkpoints."""
        return self.earlier_seconds + time.perf_counter() - self.started

    @property
    def consumed_samples(self) -> int:
        """The position in the data; a step that was left out has consumed its samples too."""
        return self.iteration * self.settings.batch_size

    @property
    def tokens_per_s(self) -> float | None:
        """Training speed of this call, validation and checkpoints aside."""
        return self.steps_here * self.settings.tokens_per_iteration / self.step_seconds if self.step_seconds else None


def train_stage(
    places: StagePlaces,
    settings: Settings,
    tokenizer: TokenizerFacts,
    previous: StagePlaces | None,
    *,
    device: torch.device,
    num_threads: int | None,
    should_stop: Callable[[], bool],
) -> StageOutcome:
    """Trains a stage from its newest sound checkpoint, or from its beginning, to its end or until told to stop."""
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
    guard = StepGuard(settings.guard)
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
    run = StageRun(
        places=places,
        settings=settings,
        model=model,
        optimizer=optimizer,
        guard=guard,
        samples=training_samples(settings, rows),
        validation=validation_set(settings, rows),
        metrics=MetricsFile(places.metrics, found.step if found else None),
        fingerprint=fingerprint,
        num_threads=threads,
        masked_after=tokenizer.eod_id if settings.eod_mask_loss else None,
        iteration=facts.iteration if facts else 0,
        earlier_seconds=facts.seconds if facts else 0.0,
        saved_at=facts.iteration if facts else None,
    )
    try:
        return _train(run, should_stop)
    finally:
        run.metrics.close()


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
    if previous is None:
        raise InputError(f"{settings.stage}: begins with the stage before, but there is none")
    found = find_checkpoint(previous.checkpoints)
    if found is None or not previous.record.exists():
        raise InputError(
            f"{settings.stage}: begins with {previous.name}, which is not finished: train that stage first"
        )
    check_model_folder(found.path, settings)
    model = load_model(found.path, device)
    optimizer = make_optimizer(model, settings.config)
    if plan.carry_optimizer:
        restore_state(found.path, model, optimizer, with_random_state=False)
    return model, optimizer


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
        _validate(run)
    with progress(f"train {settings.stage}", total=last, unit="steps") as shown:
        shown.advance(run.iteration)
        while run.iteration < last:
            if should_stop():
                _save(run)
                return _outcome(run, "stopped")
            loss = _step(run)
            shown.note(f"loss {loss:.3f}, {run.tokens_per_s or 0:,.0f} tokens/s")
            shown.advance()
            if settings.is_validated(run.iteration):
                _validate(run)
            if settings.is_saved(run.iteration):
                _save(run)
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
    )
    return _outcome(run, "finished")


def _outcome(run: StageRun, state: Literal["finished", "stopped"]) -> StageOutcome:
    found = find_checkpoint(run.places.checkpoints)
    return StageOutcome(
        state=state, iteration=run.iteration, checkpoint=found.path if found else None, tokens_per_s=run.tokens_per_s
    )


def _step(run: StageRun) -> float:
    """Makes the next step, or leaves it out, and writes its line. Returns the loss."""
    settings = run.settings
    started = time.perf_counter()
    first = run.consumed_samples
    numbers = range(first, first + settings.batch_size)
    micro_batches = [
        torch.from_numpy(run.samples.tokens(numbers[at : at + settings.micro_batch]))
        for at in range(0, settings.batch_size, settings.micro_batch)
    ]
    gradients = compute_gradients(run.model, micro_batches, settings.precision, run.masked_after)
    lr = learning_rate(settings.schedule, run.iteration)
    verdict = run.guard.judge(gradients.loss, gradients.grad_norm)
    if verdict.action == "take":
        apply_update(run.model, run.optimizer, gradients, settings.config.gradient_clipping, lr)
    else:
        drop_gradients(run.optimizer)
    run.iteration += 1
    seconds = time.perf_counter() - started
    run.step_seconds += seconds
    run.steps_here += 1
    run.metrics.write(
        MetricLine(
            kind="train",
            stage=settings.stage,
            iteration=run.iteration,
            loss=_finite(gradients.loss),
            lr=lr,
            grad_norm=_finite(gradients.grad_norm),
            tokens=run.iteration * settings.tokens_per_iteration,
            tokens_per_s=round(settings.tokens_per_iteration / seconds, 1),
            seconds=round(run.seconds, 3),
        )
    )
    if verdict.action != "take":
        message = f"step left out: {verdict.reason}"
        _log.warning("%s, iteration %d: %s", settings.stage, run.iteration, message)
        run.metrics.write(MetricLine(kind="event", stage=settings.stage, iteration=run.iteration, message=message))
    if verdict.action == "stop":
        raise WorkError(
            f"{settings.stage} was stopped at iteration {run.iteration}: {verdict.reason}.\n"
            f"The last step drew on these documents:\n{run.samples.describe(numbers)}\n"
            f"The last checkpoint is kept in {run.places.checkpoints}. Look at these documents, lower the learning "
            "rate, or plan a new run that begins with an earlier checkpoint"
        )
    return gradients.loss


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity: they are left out, and the event line says what was found."""
    return value if abs(value) < float("inf") else None


def _validate(run: StageRun) -> None:
    if run.validation is None:
        return
    found = validation_loss(
        run.model, run.validation, run.settings.micro_batch, run.settings.precision, run.masked_after
    )
    run.metrics.write(
        MetricLine(
            kind="validation",
            stage=run.settings.stage,
            iteration=run.iteration,
            loss=_finite(found.loss),
            by_source={name: loss for name, loss in found.by_source.items() if _finite(loss) is not None},
            tokens=run.iteration * run.settings.tokens_per_iteration,
            seconds=round(run.seconds, 3),
        )
    )


def _save(run: StageRun) -> None:
    """Writes a checkpoint of the state after the last step, unless that is the one on the disk."""
    if run.saved_at == run.iteration or run.iteration == 0:
        return
    facts = CheckpointFacts(
        stage=run.settings.stage,
        iteration=run.iteration,
        consumed_samples=run.consumed_samples,
        tokens=run.iteration * run.settings.tokens_per_iteration,
        seconds=round(run.seconds, 3),
        num_threads=run.num_threads,
        device=next(run.model.parameters()).device.type,
        data_fingerprint=run.fingerprint,
        identity=run.settings.identity(),
        guard=run.guard.state(),
        versions=this_version(),
    )
    with new_checkpoint(run.places.checkpoints, run.iteration) as folder:
        save_checkpoint(folder, run.model, run.optimizer, facts)
    retain(run.places.checkpoints, run.settings.config.keep_last_n_checkpoints)
    run.saved_at = run.iteration
