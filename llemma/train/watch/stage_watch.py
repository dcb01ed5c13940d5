"""What a stage tells while it trains: to its files, to the person before it, to trackers; and samples of its texts.

RUN/train/NN-name/metrics.jsonl    one JSON object a line, see llemma.core.schemas.MetricLine
RUN/train/NN-name/samples.jsonl    the same for texts that the model wrote, see GeneratedText

What is told goes into the files first. Nothing here changes a number of the training.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from llemma.core.logging import get_logger
from llemma.core.pages.numbers import format_seconds
from llemma.core.progress import on_one_line
from llemma.core.schemas import MetricLine
from llemma.core.text.tokenizers import load_tokenizer
from llemma.plan.estimate import flops_per_token
from llemma.train.grid import ALONE, Grid
from llemma.train.model.llama import Llama
from llemma.train.places import StagePlaces
from llemma.train.preflight import TokenizerFacts
from llemma.train.settings import Settings
from llemma.train.watch.display import Display, Standing, Tone, displayed
from llemma.train.watch.generation import SampleWriter
from llemma.train.watch.metrics import LinesFile
from llemma.train.watch.options import Watching
from llemma.train.watch.outlook import Outlook
from llemma.train.watch.peak import peak_flops

if TYPE_CHECKING:
    from llemma.train.watch.tracking import Tracking

_SMOOTHED_STEPS = 50  # the shown loss is a mean that forgets over so many; chosen by us
_SHOWN_CHARS = 160  # of a sample, on a terminal
_MUCH_VALIDATION, _MUCH_VALIDATION_S = 0.25, 60.0  # share of the time and seconds that are told; chosen by us
_log = get_logger(__name__)


class StageWatch:
    """One stage while it is watched. Of several processes only the first one tells anything; all of them sample."""

    def __init__(
        self,
        watching: Watching,
        places: StagePlaces,
        settings: Settings,
        tokenizer: TokenizerFacts,
        device: torch.device,
        *,
        resumed_at: int | None = None,
        grid: Grid = ALONE,
    ) -> None:
        """Opens the files, which are cut behind the iteration that is gone on from (None: they begin anew)."""
        self._watching, self._settings, self._grid = watching, settings, grid
        names = [stage.stage for stage in watching.stages] or [settings.stage]
        number = names.index(settings.stage)
        self._outlook = Outlook(settings, watching.stages[number + 1 :], watching.sample_every)
        self._standing = Standing(
            stage=settings.stage,
            number=number + 1,
            num_stages=len(names),
            iteration=resumed_at or 0,
            last_iteration=settings.last_iteration,
            saved_at=resumed_at,
        )
        self._smoothed = _Smoothed()
        self._steps_s = self._validation_s = 0.0
        self._is_warned = False
        self._display: Display | None = None
        self._writer = _open_writer(watching, settings, tokenizer) if watching.sample_every else None
        self._tracking: Tracking | None = None
        self._mfu_of_speed: float | None = None
        self._metrics = LinesFile(places.metrics if grid.is_first else None, resumed_at)
        self._samples = LinesFile(places.samples if grid.is_first else None, resumed_at)
        if not grid.is_first:
            return
        peak = peak_flops(device, settings.precision, settings.config)
        if peak:
            self._mfu_of_speed = flops_per_token(settings.config).square / (peak * grid.size)
        if watching.trackers or places.trackers.exists():
            from llemma.train.watch.tracking import Tracking

            self._tracking = Tracking(
                watching.trackers,
                places,
                resumed_at=resumed_at or 0,
                config={**settings.identity(), "device": device.type, "processes": grid.size},
                naming={key: str(value) for key, value in settings.config.other.items() if key.startswith("wandb_")},
                say=self._say,
            )

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows how the stage stands until the block ends."""
        if not self._grid.is_first:
            yield
            return
        with displayed(self._standing, self._watching.stop) as display:
            self._display = display
            try:
                yield
            finally:
                self._display = None

    def write(self, line: MetricLine) -> None:
        """Tells of a step, a validation or an event."""
        if not self._grid.is_first:
            return
        self.note_work("")
        if line.kind == "train" and line.tokens_per_s and self._mfu_of_speed:
            line = line.model_copy(update={"mfu": round(line.tokens_per_s * self._mfu_of_speed, 5)})
        self._metrics.write(line)
        if self._tracking is not None:
            self._tracking.log(line)
        if line.kind == "train":
            self._note_step(line)
        elif line.kind == "validation":
            self._note_validation(line)
        else:
            self._say(f"{line.stage}, iteration {line.iteration:,}: {on_one_line(line.message or '', 500)}", "warning")
        if self._display is not None:
            self._display.update()

    def saved(self, iteration: int) -> None:
        """A checkpoint stands."""
        self._standing.saved_at = iteration

    def note_work(self, what: str) -> None:
        """What is being done now other than a step, until something is told."""
        self._standing.work = what

    def left_out(self, num_steps: int) -> None:
        """So many steps have been left out in all."""
        self._standing.num_left_out = num_steps

    def cut_after(self, iteration: int) -> None:
        """Takes back what was told of the iterations after one that the run goes back to."""
        self._metrics.cut_after(iteration)
        self._samples.cut_after(iteration)
        if self._tracking is not None:
            self._tracking.go_back(iteration)
        standing = self._standing
        standing.iteration = standing.saved_at = iteration
        if standing.validation is not None and standing.validation[1] > iteration:
            standing.validation = None

    def sample(self, model: Llama, iteration: int) -> None:
        """Lets the model write after the prompts, where it is time to. Every process of the run must call it."""
        every = self._watching.sample_every
        if self._writer is None or (iteration % every and iteration != self._settings.last_iteration):
            return
        config, stage = self._settings.config, self._settings.stage
        started = time.perf_counter()
        self.note_work("writing samples")
        try:
            lines = self._writer.write(
                model, stage=stage, iteration=iteration, seed=config.seed, precision=self._settings.precision
            )
        except RuntimeError as error:  # no memory is left for them: the training needs none of it
            if self._grid.size > 1:  # the others wait for this one
                raise
            self._writer = None
            _log.warning("%s: no more samples are written (%s); the training goes on", stage, error)
            return
        finally:
            self.note_work("")
        took_s = time.perf_counter() - started
        self._outlook.samples_took(took_s)
        if not self._grid.is_first:
            return
        self._samples.write(*lines)
        if self._tracking is not None:
            self._tracking.log_samples(iteration, lines)
        self._say(f"{stage}, iteration {iteration:,}: {len(lines)} samples in {format_seconds(took_s)}")
        for line in lines:
            if not line.temperature:
                text = on_one_line(line.text.strip(), _SHOWN_CHARS)
                self._say(f"  {on_one_line(line.prompt, 24)} ⟶ {text or '(nothing)'}", "faint")

    def close(self) -> None:
        """Closes the files, and waits a while for trackers."""
        self._metrics.close()
        self._samples.close()
        if self._tracking is not None:
            self._tracking.close()

    def _say(self, text: str, tone: Tone = "plain") -> None:
        display = self._display  # a tracker's thread may say something while it goes away
        if display is None:
            print(text, file=sys.stderr, flush=True)
        else:
            display.say(text, tone)

    def _note_step(self, line: MetricLine) -> None:
        standing = self._standing
        if line.tokens_per_s:
            seconds = self._settings.tokens_per_iteration / line.tokens_per_s
            self._outlook.step_took(seconds)
            self._steps_s += seconds
        if line.loss is not None:
            standing.smoothed_loss = self._smoothed.add(line.loss)
        standing.iteration = line.iteration
        standing.loss, standing.lr, standing.grad_norm = line.loss, line.lr, line.grad_norm
        standing.reward_accuracy = (line.measures or {}).get("reward_acc")
        step_s = self._outlook.step_s
        if step_s:
            standing.tokens_per_s = self._settings.tokens_per_iteration / step_s
            standing.mfu = standing.tokens_per_s * self._mfu_of_speed if self._mfu_of_speed else None
        standing.left_s = self._outlook.stage_left_s(line.iteration)
        standing.all_left_s = self._outlook.all_left_s(line.iteration)

    def _note_validation(self, line: MetricLine) -> None:
        took_s = line.took_s or 0.0
        self._outlook.validation_took(took_s)
        self._validation_s += took_s
        if line.loss is not None:
            self._standing.validation = (line.loss, line.iteration)
        loss = "not finite" if line.loss is None else f"{line.loss:.4f}"
        sources = ", ".join(f"{on_one_line(name, 40)} {value:.4f}" for name, value in (line.by_source or {}).items())
        took = f", {format_seconds(line.took_s)}" if line.took_s is not None else ""
        by_source = f" ({sources})" if sources else ""
        self._say(f"{line.stage}, iteration {line.iteration:,}: validation {loss}{by_source}{took}", "good")
        share = self._validation_s / max(1.0, self._validation_s + self._steps_s)
        if share > _MUCH_VALIDATION and self._validation_s > _MUCH_VALIDATION_S and not self._is_warned:
            self._is_warned = True
            advice = "a larger eval_interval or smaller eval_iters would give it to the training"
            self._say(f"{line.stage}: {share:.0%} of the time goes into validation: {advice}", "warning")


class _Smoothed:
    """A mean that forgets, and that is a plain mean as long as there are few values."""

    def __init__(self) -> None:
        self._value = 0.0
        self._count = 0

    def add(self, value: float) -> float:
        """The mean with one value more."""
        self._count = min(self._count + 1, _SMOOTHED_STEPS)
        self._value += (value - self._value) / self._count
        return self._value


def _open_writer(watching: Watching, settings: Settings, tokenizer: TokenizerFacts) -> SampleWriter:
    """Raises InputError where the tokenizer cannot be loaded."""
    return SampleWriter(
        load_tokenizer(tokenizer.file, tokenizer.eod_id, native=False),
        watching.prompts,
        eod=tokenizer.eod_id,
        vocab_size=tokenizer.vocab_size,
        seq_length=settings.config.seq_length,
    )
