"""What `python -m proof_pile.quality train` is told: which pages, by which labels, and how to train."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config, load_config
from llemma.core.errors import InputError
from proof_pile.filters import FilterConfig
from proof_pile.quality.fasttext.training import TrainingSettings
from proof_pile.sources import SourceConfig


class InputsConfig(Config):
    """Readers of a recipe and filters that their documents pass."""

    inputs: tuple[SourceConfig, ...] = Field(min_length=1)
    filters: tuple[FilterConfig, ...] = ()


class MathScoreTraining(Config):
    """A MathScore model.  `pages` are labelled by whether they have LaTeX commands, the others are labelled already.

    Lines of the more frequent label beyond `max_ratio` times the other's are left out, by a hash of the line.
    """

    name: str = "math-score"
    pages: tuple[InputsConfig, ...] = ()
    positive: tuple[InputsConfig, ...] = ()
    negative: tuple[InputsConfig, ...] = ()
    without_commands: Literal["other", "leave-out"] = Field(
        default="other", description="what becomes of a page without them: 'leave-out' where much mathematics has none"
    )
    min_commands: int = Field(default=1, ge=1, description="so many commands make a page one with LaTeX")
    max_chars: int = Field(default=4000, ge=200, description="longer pages are cut into pieces of about this size")
    max_pieces: int = Field(default=50, ge=1, description="pieces of one page that are taken, from its beginning")
    max_ratio: float = Field(default=2.0, gt=0)
    held_out: float = Field(default=0.1, ge=0, lt=1, description="share of the pages kept for the measured figures")
    training: TrainingSettings = TrainingSettings()
    small: bool = Field(
        default=True, description="write rows of one number: the same scores in a file 'dim' times smaller"
    )
    seed: int = 0


def shipped_config() -> Path:
    """The configuration that the model of this package was made with."""
    return Path(__file__).parent / "models" / "math-score.yml"


def load_training(path: Path) -> MathScoreTraining:
    """The configuration in a YAML file.  Raises ConfigError with all of its problems."""
    config = load_config(path, MathScoreTraining)
    if not (config.pages or (config.positive and config.negative)):
        raise InputError(f"{path}: give 'pages', or both 'positive' and 'negative'")
    return config


def inputs_of_paths(paths: list[str]) -> tuple[InputsConfig, ...]:
    """Readers for files and folders by what they hold: JSON lines, Parquet, else text files."""
    found = []
    for name in paths:
        path = Path(name)
        if not path.exists():
            raise InputError(f"{name}: there is no such file or folder")
        found.append(InputsConfig(inputs=tuple(_readers(path))))
    return tuple(found)


def _readers(path: Path) -> list[SourceConfig]:
    from proof_pile.sources import jsonl, parquet, tree

    absolute = str(path.resolve())
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    names = [item.name for item in files]
    readers: list[SourceConfig] = []
    if any(name.endswith(jsonl.SUFFIXES) for name in names):
        readers.append(jsonl.Config(kind="jsonl", path=absolute))
    if any(name.endswith(".parquet") for name in names):
        readers.append(parquet.Config(kind="parquet", path=absolute))
    if not readers:
        readers.append(tree.Config(kind="tree", path=absolute))
    return readers
