"""What a repair knows of the run that it is made in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EngineContext:
    """One stage inside GPT-NeoX's process."""

    neox_dir: Path
    config_path: Path  # RUN/stages/NN-name/neox.yml
    values: dict[str, Any]  # its keys
    stage: dict[str, Any]  # stage.json beside it (llemma.stages.CompiledStage), empty where there is none

    @property
    def state_dir(self) -> Path | None:
        """Folder of the stage's own records, RUN/train/NN-name: where its checkpoints' folder stands."""
        save = self.values.get("save")
        return Path(save).parent if save else None
