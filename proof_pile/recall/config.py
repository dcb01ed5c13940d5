"""RECALL.yml: seeds, pool, how a round's model is trained, which pages are taken, how seeds grow, when to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llemma.core.config import Config, load_config, load_yaml
from llemma.core.errors import ConfigError, Problem
from proof_pile.filters import FilterConfig
from proof_pile.quality.fasttext.training import TrainingSettings
from proof_pile.sources import SourceConfig


class InputsConfig(Config):
    """Readers of a recipe and filters that their documents pass."""

    inputs: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    filters: tuple[FilterConfig, ...] = ()


class SelectConfig(Config):
    """Which pages of a ranking are taken: those above a score, or the best until so many tokens.

    DeepSeekMath tried the best 40, 80, 120 and 160 billion tokens and took 40 in the first round.
    """

    min_score: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    bytes_per_token: float = Field(default=3.2, gt=0, description="chosen by us: about what Llama's tokenizer gives")

    @model_validator(mode="after")
    def _one_rule(self) -> SelectConfig:
        if self.min_score is None and self.max_tokens is None:
            raise ValueError("give 'min_score', 'max_tokens' or both")
        return self


class DomainsConfig(Config):
    """How seeds grow.  A domain with more than `min_share` of its pages taken is a candidate (DeepSeekMath: 10 %).

    Of its address prefixes (`prefix_depth` parts of the path) a person approves those that are mathematics, in the file
    `annotations` (prefix: true | false); with `approval: automatic` those count that were taken to `min_prefix_share`.
    All pages under an approved prefix become seeds, those that were not taken too.
    """

    min_pages: int = Field(default=10, ge=1, description="smaller domains are no candidates (FineMath: 10)")
    min_share: float = Field(default=0.10, ge=0, le=1)
    prefix_depth: int = Field(default=1, ge=0, le=8)
    approval: Literal["automatic", "file", "none"] = "automatic"
    min_prefix_share: float = Field(default=0.5, ge=0, le=1, description="chosen by us")
    annotations: str | None = Field(default=None, description="YAML: prefix: true | false; a word here is final")


class KnownConfig(Config):
    """For trials: a key in the pages' meta that tells what they are, so that recall and precision can be told."""

    key: str
    math: tuple[str, ...]
    other: tuple[str, ...]


class RecallConfig(Config):
    """All that decides the bytes of a recall."""

    name: str = Field(default="recall", pattern=r"^[a-z0-9][a-z0-9_.-]{0,60}$")
    seeds: InputsConfig
    pool: InputsConfig
    max_positives: int = Field(default=500_000, ge=1, description="seeds trained on; a hash of their ids chooses")
    negatives_per_positive: float = Field(default=1.0, gt=0, description="pages of the pool, chosen by their ids too")
    training: TrainingSettings = TrainingSettings()
    max_page_bytes: int = Field(default=50_000, ge=1000, description="of a page that the classifier is shown")
    select: SelectConfig
    domains: DomainsConfig = DomainsConfig()
    max_rounds: int = Field(default=4, ge=1, le=50)
    stop_overlap: float = Field(
        default=0.98, gt=0, le=1, description="stop when so much of a round had been taken before (DeepSeekMath: 98 %)"
    )
    known: KnownConfig | None = None
    num_samples: int = Field(default=20, ge=0, le=500, description="pages of each kind shown in the report")
    shard_bytes: int = Field(default=64 << 20, ge=1024)
    seed: int = 0


def load_recall(path: Path) -> RecallConfig:
    """The configuration in a file.  Raises ConfigError with all of its problems."""
    return load_config(path, RecallConfig)


def load_annotations(config: RecallConfig, base: Path) -> dict[str, bool]:
    """What a person said of address prefixes; empty where no file is named or it is not written yet.

    Raises ConfigError where a value is neither true nor false.
    """
    name = config.domains.annotations
    path = base / Path(name).expanduser() if name else None
    if path is None or not path.exists():
        return {}
    file = load_yaml(path)
    problems: list[Problem] = []
    found: dict[str, bool] = {}
    for prefix, value in file.value.items():
        said: Any = value
        if isinstance(said, bool):
            found[prefix.rstrip("/")] = said
        elif said is not None:  # null: not decided yet
            problems.append(file.problem((prefix,), f"'{prefix}' is {said!r}, but must be true, false or null"))
    if problems:
        raise ConfigError(problems)
    return found
