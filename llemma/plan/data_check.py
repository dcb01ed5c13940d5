"""Whether a plan's data are what it needs: shards there and whole, tokenizer the model's, enough tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from llemma.core.files import sha256_file
from llemma.neox import units
from llemma.neox.config import NeoxConfig
from llemma.plan.sources import Data
from llemma.stages import StageSource

MANY_EPOCHS = 4  # beyond about four, repeated tokens are worth clearly less than new ones (arXiv 2305.16264)
_TOKEN_BYTES = {"uint16": 2, "int32": 4}


def data_problems(data: Data, config: NeoxConfig) -> list[str]:
    """Reasons why this mixture cannot be trained on with this configuration."""
    return [*_tokenizer_problems(data, config), *_shard_problems(data)]


def _tokenizer_problems(data: Data, config: NeoxConfig) -> list[str]:
    tokenizer = data.mixture.tokenizer
    problems = []
    path = data.path.parent / tokenizer.path
    if not path.is_file():
        problems.append(f"{data.path}: its tokenizer {path} is missing")
    elif sha256_file(path) != tokenizer.sha256:
        problems.append(f"{path}: this is not the tokenizer that made the shards (its sha256 is not the mixture's)")
    divisible_by, tensor = config.make_vocab_size_divisible_by, config.model_parallel_size
    rows = units.padded_vocab_rows(tokenizer.vocab_size, divisible_by, tensor)
    if config.padded_vocab_size is not None and rows != config.padded_vocab_size:
        padded = f", padded to {rows}" if rows != tokenizer.vocab_size else ""
        problems.append(
            f"{data.path}: its tokenizer has {tokenizer.vocab_size} pieces{padded}, but the model has "
            f"{config.padded_vocab_size} vocabulary rows: this is not the model's tokenizer"
        )
    if tokenizer.dtype == "uint16" and tokenizer.vocab_size > 1 << 16:
        problems.append(f"{data.path}: {tokenizer.vocab_size} pieces do not fit into its uint16 shards")
    return problems


def _shard_problems(data: Data) -> list[str]:
    problems = []
    width = _TOKEN_BYTES[data.mixture.tokenizer.dtype]
    for source in data.mixture.sources:
        for shard in source.splits.values():
            prefix = data.path.parent / shard.path
            for path, wanted in (
                (Path(f"{prefix}.bin"), shard.num_tokens * width),
                (Path(f"{prefix}.idx"), None),
            ):
                if not path.is_file():
                    problems.append(f"{path}: this shard of the mixture is missing")
                elif wanted is not None and path.stat().st_size != wanted:
                    problems.append(
                        f"{path}: {path.stat().st_size:,} bytes, but {shard.num_tokens:,} tokens of {width} bytes "
                        f"are {wanted:,}"
                    )
    return problems


def epoch_findings(sources: Sequence[StageSource], cap: float | None, place: str) -> tuple[list[str], list[str]]:
    """(problems, warnings): sources repeated beyond the cap, and beyond what repetition is worth."""
    problems: list[str] = []
    repeated: list[str] = []
    for source in sources:
        if source.epochs is None or not math.isfinite(source.epochs):
            continue
        if cap is not None and source.epochs > cap:
            problems.append(
                f"{place}: '{source.name}' would be repeated {source.epochs:.1f} times, but max_epochs allows "
                f"{cap:g}: its {source.tokens:,} tokens are too few for {source.weight:.1%} of the stage"
            )
        elif source.epochs > MANY_EPOCHS:
            repeated.append(f"'{source.name}' {source.epochs:.1f} times")
    if not repeated:
        return problems, []
    warning = (
        f"repeated more than {MANY_EPOCHS} times, beyond which repeated tokens are worth clearly less than new ones "
        f"(arXiv 2305.16264): {', '.join(repeated)}"
    )
    return problems, [warning]
