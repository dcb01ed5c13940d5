"""What a repair knows of the run that it is made in, and what the repairs of one process share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llemma.guard.ledger import Ledger
from llemma.neox_engine.position import DataPosition
from llemma.neox_engine.saved_state import SavedState


@dataclass(frozen=True, kw_only=True)
class EngineContext:
    """One stage inside GPT-NeoX's process."""

    neox_dir: Path
    config_path: Path  # RUN/stages/NN-name/neox.yml
    values: dict[str, Any]  # its keys
    stage: dict[str, Any]  # stage.json beside it (llemma.stages.CompiledStage), empty where there is none
    repairs: tuple[str, ...] = ()  # the names of those that are made
    start: str | None = None  # the checkpoints that the stage begins with, None where it begins with noise
    start_iteration: int | None = None  # which of them, None for the newest
    position: DataPosition = field(default_factory=DataPosition)
    saved: SavedState = field(default_factory=SavedState)

    @property
    def state_dir(self) -> Path | None:
        """Folder of the stage's own records, RUN/train/NN-name: where its checkpoints' folder stands."""
        save = self.values.get("save")
        return Path(save).parent if save else None

    @property
    def is_first_process(self) -> bool:
        """Whether this process writes what is written once. True before torchrun's variables are there."""
        return os.environ.get("RANK", "0") == "0"

    def ledger(self) -> Ledger:
        """The stage's ledger; of other processes than the first, one that writes nothing."""
        return Ledger(self.state_dir if self.is_first_process else None)
