"""What TensorBoard, wandb and trackio are told of a stage, each in its own words.

Imported only where a tracker is asked for, and each program only where it is the one.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llemma.core.errors import InputError, MissingPackageError
from llemma.core.schemas import GeneratedText, MetricLine
from llemma.train.watch.options import TrackerName

TENSORBOARD_FOLDER = "tensorboard"  # in the run directory, a folder for each stage
_PROJECT = "llemma"  # where neox.yml gives no wandb_project
_INIT_TIMEOUT_S = 60.0  # for wandb to reach its server; chosen by us
_FLUSH_S = 10  # TensorBoard's own default is two minutes
_NOT_IN_NAMES = re.compile(r"[^\w.\- ]")


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A stage as a tracker knows it."""

    folder: Path  # the run directory
    stage: str
    identity: str  # the same only where the same curves go on
    is_new: bool  # nothing that it was told of the stage before holds
    config: Mapping[str, Any]
    names: Mapping[str, str]  # wandb_project and the like, where neox.yml gives them

    @property
    def group(self) -> str:
        """What all stages of a run stand under."""
        return self.names.get("wandb_group") or self.folder.resolve().name

    @property
    def title(self) -> str:
        """A name that no other curves have."""
        return f"{self.names.get('wandb_run_name') or self.group}-{self.stage}-{self.identity[:4]}"


class Tracker(Protocol):
    """A run that is open in a tracker; `place` says where a person finds it."""

    place: str

    def log(self, iteration: int, values: Mapping[str, float | str], samples: Sequence[GeneratedText]) -> None:
        """Tells of one iteration. Numbers become curves; a text is what has happened."""

    def close(self) -> None:
        """Returns when everything has been handed over."""


def told(line: MetricLine) -> dict[str, float | str]:
    """A line of metrics.jsonl by the names that it has in a tracker: train/loss, validation/loss/SOURCE, events."""
    if line.kind == "event":
        return {"events": line.message or ""}
    found: dict[str, float | str] = {
        f"{line.kind}/{key}": value
        for key in ("loss", "lr", "grad_norm", "tokens", "tokens_per_s", "mfu", "seconds", "took_s")
        if (value := getattr(line, key)) is not None
    }
    for name, value in (line.measures or {}).items():
        found[f"{line.kind}/{_NOT_IN_NAMES.sub('_', name)}"] = value
    for source, loss in (line.by_source or {}).items():
        found[f"{line.kind}/loss/{_NOT_IN_NAMES.sub('_', source)[:100]}"] = loss
    return found


class TensorBoard:
    """Event files under RUN/tensorboard."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / TENSORBOARD_FOLDER / run.stage
        self.place = f"tensorboard --logdir {folder.parent}"
        for file in folder.glob("events.out.tfevents.*") if run.is_new else ():
            file.unlink()
        # The step from which on a TensorBoard that is running forgets what it has read; of texts it forgets none.
        purge_step = 0 if run.is_new else None
        self._writer = SummaryWriter(str(folder), purge_step=purge_step, flush_secs=_FLUSH_S)

    def log(self, iteration: int, values: Mapping[str, float | str], samples: Sequence[GeneratedText]) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                self._add_text(name, value, iteration)
            else:
                self._writer.add_scalar(name, value, iteration)
        for number, sample in enumerate(samples, start=1):
            self._add_text(f"samples/{number} {_kind(sample)}", f"{sample.prompt}\n⟶\n{sample.text}", iteration)

    def _add_text(self, name: str, text: str, iteration: int) -> None:
        # It reads Markdown: lines that are indented so far are shown as they are.
        indented = "".join(f"    {line}\n" for line in text.split("\n"))
        self._writer.add_text(name, indented, iteration)

    def close(self) -> None:
        self._writer.close()


class _OpenRun:
    """What wandb and trackio, which copies it, are told in the same words."""

    _run: Any
    _table: Any

    def log(self, iteration: int, values: Mapping[str, float | str], samples: Sequence[GeneratedText]) -> None:
        logged: dict[str, Any] = dict(values)
        if samples:
            rows = [[sample.prompt, _kind(sample), sample.text] for sample in samples]
            logged["samples"] = self._table(columns=["prompt", "drawn", "text"], data=rows)
        self._run.log(logged, step=iteration)

    def close(self) -> None:
        self._run.finish()


class Wandb(_OpenRun):
    """A run at wandb's server, or with WANDB_MODE=offline under RUN/wandb."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._table = wandb.Table
        self._run = wandb.init(
            project=run.names.get("wandb_project") or _PROJECT,
            entity=run.names.get("wandb_team"),
            group=run.group,
            id=run.identity,
            name=run.title,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
            settings=wandb.Settings(console="off", silent=True, init_timeout=_INIT_TIMEOUT_S),
        )
        offline = f"wandb sync {self._run.dir}".removesuffix("/files")
        self.place = offline if self._run.offline else str(self._run.url)


class Trackio(_OpenRun):
    """A run in trackio's own folder, or wherever TRACKIO_SPACE_ID or TRACKIO_SERVER_URL say."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        project = run.names.get("wandb_project") or _PROJECT
        self.place = f"trackio show --project {project}"
        self._table = trackio.Table
        self._run = trackio.init(
            project, name=run.title, group=run.group, config=dict(run.config), resume="allow", embed=False
        )


OPENERS: dict[TrackerName, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "trackio": Trackio,
}


def check_trackers(names: Sequence[TrackerName], host: str | None = None) -> None:
    """Raises MissingPackageError or InputError where a tracker cannot be used, before any training is done."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingPackageError(str(error.name or name), name) from None
    if "wandb" in names and os.environ.get("WANDB_MODE", "online") in ("online", "run", "shared"):
        import wandb

        try:
            wandb.login(host=host)  # on a terminal it asks for a key, once
        except Exception as error:  # it has its own tree of errors, and another one in each version
            raise InputError(
                f"wandb cannot be used ({error}): log in with  wandb login,  or set WANDB_MODE=offline"
            ) from None


def _kind(sample: GeneratedText) -> str:
    return f"at {sample.temperature:g}" if sample.temperature else "greedy"
