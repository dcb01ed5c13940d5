"""A recipe: what `python -m proof_pile.build --recipe R.yml` is told to make.

    name: my-corpus
    sources:                        # in order of preference: of two copies, the one in the earlier source stays
      - name: arxiv
        description: papers in LaTeX
        licence: as each paper says
        inputs:                     # one or more readers (proof_pile.sources)
          - {kind: latex, path: papers}
        filters:                    # asked in turn (proof_pile.filters)
          - {kind: size, max_bytes: 1000000}
    deduplicate: {exact: true, near: {ngram: 5, bands: 14, rows: 8, threshold: 0.7}}
    decontaminate: {benchmarks: [tests.jsonl], ngram: 13}
    split: {validation: 0.005, test: 0.005}
    tokenizer: {train: {vocab_size: 32000}}        # or {path: tokenizer.model, eod: "</s>"}; with either, engine:
                                    # fastest (the default) or library (proof_pile.tokenize.config)
    mixture: ...                                   # proof_pile.mixture
    publish: {text: true, samples: 10}             # proof_pile.publish.config
    shard_bytes: 67108864           # about how much input one task reads
    seed: 0                         # of hashing and splitting

Relative paths are taken from the recipe's folder.  Everything but `name`, `sources` and `mixture` may be left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from llemma.core.config import Config, YamlFile, check_config, did_you_mean, load_yaml
from llemma.core.errors import ConfigError, Problem
from proof_pile.decontaminate.config import DecontaminateConfig
from proof_pile.dedup.config import DeduplicateConfig
from proof_pile.filters import FilterConfig
from proof_pile.mixture import MixtureConfig
from proof_pile.publish.config import PublishConfig
from proof_pile.sources import SourceConfig
from proof_pile.tokenize.config import SplitConfig, TokenizerConfig

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]


class SourceRecipe(Config):
    """One source of documents: where they come from and which of them are wanted."""

    name: Name
    inputs: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    filters: tuple[FilterConfig, ...] = ()
    description: str = ""
    licence: str = ""
    origin: str = ""


class Recipe(Config):
    """All that decides the bytes of a build."""

    name: Name
    sources: Annotated[tuple[SourceRecipe, ...], Field(min_length=1)]
    deduplicate: DeduplicateConfig = DeduplicateConfig()
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    split: SplitConfig = SplitConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    mixture: MixtureConfig
    publish: PublishConfig = PublishConfig()
    shard_bytes: int = Field(default=64 << 20, ge=1024)
    seed: int = Field(default=0, ge=0, lt=2**32)


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a YAML file.  Raises ConfigError with all of its problems, each with its line."""
    yaml_file = load_yaml(path)
    recipe = check_config(yaml_file, Recipe)
    problems = list(_cross_problems(yaml_file, recipe))
    if problems:
        raise ConfigError(problems)
    return recipe


def _cross_problems(yaml_file: YamlFile, recipe: Recipe) -> list[Problem]:
    """What no single section can know: names that stand twice, or in one section only."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for number, source in enumerate(recipe.sources):
        if source.name in seen:
            place: tuple[Any, ...] = ("sources", number, "name")
            problems.append(yaml_file.problem(place, f"the source '{source.name}' stands twice: rename one"))
        seen.add(source.name)
    for group_name, group in recipe.mixture.groups.items():
        for name in group.sources:
            place = ("mixture", "groups", group_name, "sources", name)
            if name not in seen:
                hint = did_you_mean(name, sorted(seen))
                problems.append(yaml_file.problem(place, f"'{name}' is no source of this recipe{hint}"))
    return problems
