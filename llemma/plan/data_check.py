"""Whether a plan's data are what it needs: shards there and whole, tokenizer the model's, enough tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llemma.core.errors import LlemmaError
from llemma.core.files import sha256_file
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.schemas import CompanionShard, Shard
from llemma.neox import units
from llemma.neox.config import NeoxConfig
from llemma.plan.sources import Data
from llemma.stages import PlannedSource, StageSource

_WHOLE_STEPS = 1.005  # a stage has whole iterations: so much over what was asked for is no repetition more
MANY_EPOCHS = 4  # beyond about four, repeated tokens are worth clearly less than new ones (arXiv 2305.16264)
_TOKEN_BYTES = {"uint16": 2, "int32": 4}
_NUMBER_BYTES = 4  # labels and rewards are int32 always


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
            problems += _file_problems(data, shard, width)
            for name, companion, in_it, tokens in _companions(shard):
                problems += _file_problems(data, companion, width if name == "rejected" else _NUMBER_BYTES)
                found = (companion.num_documents, companion.num_tokens)
                wanted = (shard.num_documents, companion.num_tokens if tokens is None else tokens)
                if found != wanted:
                    problems.append(
                        f"{data.path}: {data.path.parent / companion.path} has {found[0]:,} documents of {found[1]:,} "
                        f"{in_it}, but must have {wanted[0]:,} of {wanted[1]:,} to go with {shard.path}"
                    )
    return problems


def _companions(shard: Shard) -> Iterator[tuple[str, CompanionShard, str, int | None]]:
    """(field, shard, what is in it, how many of it there must be) of all that goes with a shard."""
    lost = shard.rejected.num_tokens if shard.rejected else None
    for name, in_it, wanted in (
        ("labels", "labels", shard.num_tokens),
        ("rewards", "rewards", shard.num_documents),
        ("rejected", "tokens", None),
        ("rejected_labels", "labels", lost),
    ):
        companion = getattr(shard, name)
        if companion is not None:
            yield name, companion, in_it, wanted


def _file_problems(data: Data, shard: CompanionShard, width: int) -> list[str]:
    problems = []
    prefix = data.path.parent / shard.path
    for path, wanted in ((Path(f"{prefix}.bin"), shard.num_tokens * width), (Path(f"{prefix}.idx"), None)):
        if not path.is_file():
            problems.append(f"{path}: this shard of the mixture is missing")
        elif wanted is not None and path.stat().st_size != wanted:
            problems.append(
                f"{path}: {path.stat().st_size:,} bytes, but {shard.num_tokens:,} tokens of {width} bytes "
                f"are {wanted:,}"
            )
    return problems


def bucket_problems(data: Data, planned: Sequence[PlannedSource]) -> list[str]:
    """Sources of the mixture whose documents are not as long as the recipe's length bucket of that name says."""
    buckets = {source.name: source.document_tokens for source in planned if source.document_tokens is not None}
    problems = []
    for source in data.mixture.sources:
        shard = source.splits.get("train")
        bounds = buckets.get(source.name)
        if bounds is None or shard is None or not idx_path(data.path.parent / shard.path).is_file():
            continue
        try:
            sizes = IndexedReader(data.path.parent / shard.path).sizes
        except LlemmaError as error:
            problems.append(str(error))
            continue
        outside = int(((sizes < bounds[0]) | (sizes > bounds[1])).sum())
        if outside:
            problems.append(
                f"{data.path}: {outside:,} of {len(sizes):,} documents of '{source.name}' are not of {bounds[0]:,} to "
                f"{bounds[1]:,} tokens, as its length bucket wants (found {sizes.min():,} to {sizes.max():,})"
            )
    return problems


def length_findings(data: Data, config: NeoxConfig) -> tuple[list[str], list[str]]:
    """(problems, warnings) of documents with labels that are longer than a sequence.

    GPT-NeoX cuts such a document, and passes over one whose labels then are all -100; where that is the last of a pass
    while it packs, it runs past the end of its list (megatron/data/gpt2_dataset.py:309-316 at ea7aefd8).
    """
    problems, warnings = [], []
    room = config.seq_length + 1
    for source in data.mixture.sources:
        for split, shard in source.splits.items():
            if shard.labels is None:
                continue
            try:
                long = np.flatnonzero(IndexedReader(data.path.parent / shard.path).sizes > room)
                labels = IndexedReader(data.path.parent / shard.labels.path)
                empty = sum(bool((labels.get(int(number))[:room] < 0).all()) for number in long)
            except LlemmaError:
                continue  # told with the other faults of the files
            where = f"{data.path}: {{:,}} of {shard.num_documents:,} {split} documents of '{source.name}'"
            if empty:
                problems.append(
                    f"{where.format(empty)} have nothing left to learn once they are cut to {room:,} tokens, which "
                    f"GPT-NeoX cannot pack: make the shards for this length (--seq-length {config.seq_length})"
                )
            elif len(long):
                warnings.append(f"{where.format(len(long))} are longer than {room:,} tokens and will be cut")
    return problems, warnings


def is_many(epochs: float) -> bool:
    """True where tokens are repeated more often than repetition is worth."""
    return epochs > MANY_EPOCHS * _WHOLE_STEPS


def epoch_findings(sources: Sequence[StageSource], cap: float | None, place: str) -> tuple[list[str], list[str]]:
    """(problems, warnings): sources repeated beyond the cap, and beyond what repetition is worth."""
    problems: list[str] = []
    repeated: list[str] = []
    for source in sources:
        if source.epochs is None or not math.isfinite(source.epochs):
            continue
        if cap is not None and source.epochs > cap * _WHOLE_STEPS:
            problems.append(
                f"{place}: '{source.name}' would be repeated {source.epochs:.1f} times, but max_epochs allows "
                f"{cap:g}: its {source.tokens:,} tokens are too few for {source.weight:.1%} of the stage"
            )
        elif is_many(source.epochs):
            repeated.append(f"'{source.name}' {source.epochs:.1f} times")
    if not repeated:
        return problems, []
    warning = (
        f"repeated more than {MANY_EPOCHS} times, beyond which repeated tokens are worth clearly less than new ones "
        f"(arXiv 2305.16264): {', '.join(repeated)}"
    )
    return problems, [warning]
