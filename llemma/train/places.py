"""Where the files of a run directory lie, and the lock that keeps two trainers off one stage.

RUN/record.json                              what was planned (written by the planner; may be missing)
RUN/stages/NN-name/{neox.yml, stage.json}    what each stage trains (written by the planner)
RUN/train/NN-name/metrics.jsonl              one JSON object a line, see llemma.core.schemas.MetricLine
RUN/train/NN-name/samples.jsonl              the same for texts that the model wrote, see GeneratedText
RUN/train/NN-name/trackers.json              where trackers were asked for, see llemma.train.watch.tracking
RUN/train/NN-name/checkpoints/               see llemma.train.checkpoint
RUN/train/NN-name/ledger.jsonl               what it cost over all attempts, see llemma.guard.ledger
RUN/train/NN-name/excluded.json              samples that are left out, see llemma.guard.exclusions
RUN/train/NN-name/left_out_documents.txt     why the guard stopped it, document by document
RUN/train/NN-name/record.json                written when the stage is finished
RUN/export/hf/                               the model after the last stage
"""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError, WorkError
from llemma.guard.ledger import LEDGER_NAME

_STAGE_NAME = re.compile(r"(\d{2,})-[A-Za-z0-9._\-]+\Z")


@dataclass(frozen=True, kw_only=True)
class StagePlaces:
    """The files of one stage."""

    run: Path
    name: str

    @property
    def neox_file(self) -> Path:
        """The flat NeoX configuration."""
        return self.run / "stages" / self.name / "neox.yml"

    @property
    def stage_file(self) -> Path:
        """What a stage needs that NeoX has no key for."""
        return self.run / "stages" / self.name / "stage.json"

    @property
    def folder(self) -> Path:
        """Everything that training this stage writes."""
        return self.run / "train" / self.name

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The lines of losses, rates and events."""
        return self.folder / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """The texts that the model wrote while it was trained."""
        return self.folder / "samples.jsonl"

    @property
    def trackers(self) -> Path:
        """The identities under which trackers know the stage."""
        return self.folder / "trackers.json"

    @property
    def ledger(self) -> Path:
        """What all attempts did, and what that cost."""
        return self.folder / LEDGER_NAME

    @property
    def left_out(self) -> Path:
        """The documents of the steps left out, where the guard has stopped the stage."""
        return self.folder / "left_out_documents.txt"

    @property
    def record(self) -> Path:
        """The record of the finished stage."""
        return self.folder / "record.json"

    def check_in_place(self) -> None:
        """Raises WorkError where the run directory was moved or removed while it is trained."""
        if not self.neox_file.exists():
            raise WorkError(
                f"{self.run}: was moved or removed while it was trained ({self.neox_file.relative_to(self.run)} is not "
                "there any more): what is written from now on would lie apart from it. Give the command again with "
                "its new place, it goes on from the newest checkpoint there"
            )


def find_stages(run: Path) -> list[StagePlaces]:
    """The stages of a run directory in their order. Raises InputError where there are none."""
    folder = run / "stages"
    if not folder.is_dir():
        raise InputError(
            f"{run}: this is no run directory (it has no stages/): make one with  llemma plan RECIPE --out RUN"
        )
    numbered: dict[int, str] = {}
    for path in sorted(folder.iterdir()):
        match = _STAGE_NAME.match(path.name)
        if not match or not path.is_dir():
            continue
        number = int(match[1])
        if number in numbered:
            raise InputError(f"{folder}: both {numbered[number]} and {path.name} are stage {number}")
        numbered[number] = path.name
    if not numbered:
        raise InputError(f"{folder}: there is no stage folder such as 01-name in it")
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise InputError(f"{folder}: the stages are numbered {sorted(numbered)}, but must run from 1 without a gap")
    return [StagePlaces(run=run, name=numbered[number]) for number in sorted(numbered)]


def stage_before(stages: Sequence[StagePlaces], number: int, start_from: str | None) -> StagePlaces | None:
    """The stage that the `number`-th (from 0) begins with: the one whose folder is named, else the one before it.

    Raises InputError where the named one is none of those before it.
    """
    if start_from is None:
        return stages[number - 1] if number else None
    for stage in stages[:number]:
        if stage.name == start_from:
            return stage
    raise InputError(
        f"{stages[number].stage_file}: 'start_from' names {start_from!r}, which is no stage before it: plan anew"
    )


def export_folder(run: Path) -> Path:
    """Where the finished model goes."""
    return run / "export" / "hf"


@contextlib.contextmanager
def only_trainer(stage: StagePlaces) -> Iterator[None]:
    """Holds the stage for this process; the system lets go of it when the process ends, however it ends."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    with open(stage.folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{stage.folder}: another process is training this stage now") from None
        yield
