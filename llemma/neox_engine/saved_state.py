"""What the repairs keep with each checkpoint of GPT-NeoX's, beside what GPT-NeoX keeps itself.

    SAVE/global_stepN/llemma_state.json     {"schema": 1, "iteration": N, "<repair>": its JSON value, …}

Nothing in it depends on the number of processes: a checkpoint that is re-partitioned takes it along unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError
from llemma.core.files import read_json, write_json

STATE_NAME = "llemma_state.json"


class SavedState:
    """The parts that repairs have asked to keep."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[int], Any]] = {}

    def keep(self, name: str, read: Callable[[int], Any]) -> None:
        """Keeps what `read(iteration)` returns under a name, from the next checkpoint on."""
        if not self._parts:
            self._install()
        self._parts[name] = read

    def write(self, folder: Path, iteration: int) -> None:
        """Writes llemma_state.json into a checkpoint."""
        parts = {name: read(iteration) for name, read in self._parts.items()}
        write_json(folder / STATE_NAME, {"schema": 1, "iteration": iteration, **parts})

    def _install(self) -> None:
        import torch
        from megatron import checkpointing

        upstream = checkpointing.save_ds_checkpoint

        def save_ds_checkpoint(iteration: int, model: Any, neox_args: Any) -> None:
            upstream(iteration, model, neox_args)
            if torch.distributed.get_rank() == 0:
                self.write(Path(neox_args.save) / f"global_step{iteration}", iteration)

        checkpointing.save_ds_checkpoint = save_ds_checkpoint


def read_state(root: str | Path, iteration: int, name: str) -> Any:
    """A repair's part in the checkpoint of an iteration, None where it kept none."""
    path = Path(root) / f"global_step{iteration}" / STATE_NAME
    if not path.is_file():
        return None
    value = read_json(path)
    if not isinstance(value, dict) or value.get("schema") != 1:
        raise DamagedFileError(f"{path}: this is no state of schema 1")
    return value.get(name)
