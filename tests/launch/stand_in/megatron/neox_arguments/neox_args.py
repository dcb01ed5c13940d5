from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class NeoXArgs:
    """The keys of a neox.yml as attributes."""

    iteration = 0
    load: str | None = None
    finetune = False
    exit_interval: int | None = None
    save: str

    @classmethod
    def from_ymls(cls, paths: list[str], overwrite_values: dict[str, Any]) -> NeoXArgs:
        args = cls()
        values = yaml.safe_load(Path(paths[0]).read_text(encoding="utf-8"))
        args.__dict__.update({**values, **overwrite_values})
        return args

    def configure_distributed_args(self) -> None: ...

    def build_tokenizer(self) -> None: ...

    def initialize_tensorboard_writer(self) -> None: ...

    def initialize_comet(self) -> None: ...
