"""The mixture: shares of tokens by group and source in, each source's weight and number of epochs out.

The recipe's section:
    mixture:
      planned_tokens: 2000000        # tokens to train on; absent: one pass over all training tokens
      seq_length: 4096               # of the run, for the proof below only
      max_epochs: 4                  # how often a source may be repeated ...
      excess: warn                   # ... and what happens above it: warn | move (to other sources) | refuse
      groups:                        # the mixture that Llemma was trained on
        proof-pile-2: {share: 95, sources: {arxiv: 2, open-web-math: 4, algebraic-stack: 1}}
        pile:         {share: 2, sources: {pile: 1}}
        redpajama:    {share: 3, sources: {github: {part: 1, max_epochs: 1}}}   # a source's own limit

With `excess: move` a source above its limit is held at the limit.  What it gives up goes to the sources of its group
that have room, in the ratio of their parts, then to groups that have room, in the ratio of their shares.

write_mixture writes mixture.json (schema: llemma.core.schemas.Mixture) and beside it mixture.record.json, whose `proof`
says what share of each source is really drawn over the planned tokens, by the draw that GPT-NeoX and megatron-core
make (each next sample from the source that is furthest behind), run through to its last sample:
    {seq_length, num_samples, largest_difference, sources: {name: {asked, wanted, drawn, samples, epochs}}}
`asked` is the recipe's share, `wanted` the one after limits, both of the weights; `drawn` is samples / num_samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from llemma.core.config import Config, did_you_mean
from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from llemma.core.records import write_record
from llemma.core.schemas import Mixture, MixtureSource, Shard, TokenizerInfo

if TYPE_CHECKING:
    from llemma.core.text.tokenizers import Tokenizer

SPLITS = ("train", "validation", "test")
MAX_SOURCES = 254
"""GPT-NeoX numbers the sources of a blend with one byte and takes fewer than 255."""

MAX_EPOCHS = 4.0
"""Up to four repetitions are nearly as good as new text (Muennighoff et al. 2023, arXiv 2305.16264)."""

MAX_SHARE_ERROR = 0.001


class SourcePart(Config):
    """A source's part in its group, and how often it may be repeated (None: as the mixture says)."""

    part: float = Field(ge=0, allow_inf_nan=False)
    max_epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class GroupConfig(Config):
    """A group's share of all tokens, and the ratio of its sources; both in parts of any size.

    A source of part 0 is built, but left out of the mixture.
    """

    share: float = Field(gt=0, allow_inf_nan=False)
    sources: dict[str, SourcePart] = Field(min_length=1)

    @field_validator("sources", mode="before")
    @classmethod
    def _number_is_part(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {"part": part} if isinstance(part, int | float) and not isinstance(part, bool) else part
            for name, part in value.items()
        }

    @model_validator(mode="after")
    def _one_takes_part(self) -> GroupConfig:
        if not self.used:
            raise ValueError("all parts are 0: give at least one source a part, or leave the group out")
        return self

    @property
    def used(self) -> dict[str, SourcePart]:
        """The sources that take part."""
        return {name: source for name, source in self.sources.items() if source.part > 0}


class MixtureConfig(Config):
    """The recipe's `mixture` section."""

    groups: dict[str, GroupConfig] = Field(min_length=1)
    planned_tokens: int | None = Field(default=None, gt=0)
    seq_length: int = Field(default=4096, ge=1)
    max_epochs: float = Field(default=MAX_EPOCHS, gt=0, allow_inf_nan=False)
    excess: Literal["warn", "move", "refuse"] = "warn"

    @model_validator(mode="after")
    def _each_source_once(self) -> MixtureConfig:
        group_of: dict[str, str] = {}
        for group, config in self.groups.items():
            for name in config.sources:
                if name in group_of:
                    raise ValueError(f"the source '{name}' is in two groups, '{group_of[name]}' and '{group}'")
                group_of[name] = group
        if len(group_of) > MAX_SOURCES:
            raise ValueError(
                f"{len(group_of)} sources are too many for GPT-NeoX, which takes {MAX_SOURCES}: merge some"
            )
        return self

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources that take part, group by group."""
        return tuple(name for group in self.groups.values() for name in group.used)


@dataclass(frozen=True, kw_only=True)
class SourceShare:
    """A source's part in the plan: `weight` of all tokens, which repeats it `epochs` times; `asked` is the recipe's."""

    name: str
    group: str
    asked: float
    weight: float
    epochs: float
    max_epochs: float
    train_tokens: int


@dataclass(frozen=True, kw_only=True)
class MixturePlan:
    """The solved mixture; weights sum to 1."""

    planned_tokens: int
    sources: tuple[SourceShare, ...]
    warnings: tuple[str, ...]


def plan_mixture(config: MixtureConfig, train_tokens: Mapping[str, int]) -> MixturePlan:
    """Weights and epochs from the shares and the training tokens of each built source.

    Raises InputError, with all problems, if a source of the mixture was not built or has no training tokens, or if the
    planned tokens are more than the limits on repetition allow (`excess: move | refuse`).
    """
    problems = []
    for name in config.source_names:
        if name not in train_tokens:
            problems.append(f"mixture: the source '{name}' was not built{did_you_mean(name, list(train_tokens))}")
        elif train_tokens[name] == 0:
            problems.append(f"mixture: the source '{name}' has no training tokens: mend it, or leave it out")
    if problems:
        raise InputError("\n".join(problems))
    planned = config.planned_tokens or sum(train_tokens[name] for name in config.source_names)
    asked = _asked_weights(config)
    limits = {
        name: source.max_epochs or config.max_epochs
        for group in config.groups.values()
        for name, source in group.used.items()
    }
    weights = asked
    if config.excess == "move":
        room = {name: limits[name] * train_tokens[name] / planned for name in asked}
        if math.fsum(room.values()) < 1:
            most = math.floor(math.fsum(limits[name] * train_tokens[name] for name in asked))
            raise InputError(
                f"mixture: {planned:,} tokens are planned, but with each source repeated as often as it may be there "
                f"are {most:,}: plan so many, give more text, or raise 'max_epochs'"
            )
        weights = _move_excess(config, asked, room)
    sources = tuple(
        SourceShare(
            name=name,
            group=group,
            asked=asked[name],
            weight=weights[name],
            epochs=weights[name] * planned / train_tokens[name],
            max_epochs=limits[name],
            train_tokens=train_tokens[name],
        )
        for group, group_config in config.groups.items()
        for name in group_config.used
    )
    warnings = _warn_of_repetition(config, sources, planned)
    named = {name for group in config.groups.values() for name in group.sources}
    unused = sorted(set(train_tokens) - named)
    warnings += [
        f"mixture: the source '{name}' was built but is in no group, it will not be trained on" for name in unused
    ]
    return MixturePlan(planned_tokens=planned, sources=sources, warnings=tuple(warnings))


def _asked_weights(config: MixtureConfig) -> dict[str, float]:
    all_shares = math.fsum(group.share for group in config.groups.values())
    weights = {}
    for group in config.groups.values():
        all_parts = math.fsum(source.part for source in group.used.values())
        for name, source in group.used.items():
            weights[name] = group.share / all_shares * (source.part / all_parts)
    return weights


def _move_excess(config: MixtureConfig, asked: Mapping[str, float], room: Mapping[str, float]) -> dict[str, float]:
    """Weights that nowhere exceed the room (share of the planned tokens), as near to the asked ones as can be."""
    names = {group: list(section.used) for group, section in config.groups.items()}
    of_groups = _fill_up(
        1.0,
        {group: math.fsum(asked[name] for name in members) for group, members in names.items()},
        {group: math.fsum(room[name] for name in members) for group, members in names.items()},
    )
    weights: dict[str, float] = {}
    for group, members in names.items():
        weights |= _fill_up(of_groups[group], {n: asked[n] for n in members}, {n: room[n] for n in members})
    total = math.fsum(weights.values())
    return {name: weights[name] / total for name in asked}


def _fill_up(total: float, ratio: Mapping[str, float], room: Mapping[str, float]) -> dict[str, float]:
    """`total` divided in a ratio; where a part exceeds its room it is cut to it, and the rest divided among the others.

    Each round fills at least one part, so there are at most as many rounds as parts.
    """
    result: dict[str, float] = {}
    left, open_parts = total, dict(ratio)
    while open_parts:
        scale = left / math.fsum(open_parts.values())
        full = [name for name, part in open_parts.items() if part * scale > room[name]]
        if not full:
            return result | {name: part * scale for name, part in open_parts.items()}
        for name in full:
            result[name] = room[name]
            del open_parts[name]
        left = max(0.0, total - math.fsum(result.values()))
    return result


def _warn_of_repetition(config: MixtureConfig, sources: Sequence[SourceShare], planned: int) -> list[str]:
    warnings = []
    for source in sources:
        if source.epochs > source.max_epochs * (1 + 1e-9):
            warnings.append(
                f"mixture: '{source.name}' is repeated {source.epochs:.2f} times over the planned {planned:,} tokens "
                f"(more than {source.max_epochs:g}): give it a smaller share, more text, or plan fewer tokens"
            )
    if warnings and config.excess == "refuse":
        raise InputError("\n".join(warnings))
    for source in sources:
        if source.weight < source.asked * (1 - 1e-9):
            warnings.append(
                f"mixture: '{source.name}' is held at {source.epochs:g} epochs: its share is {source.weight:.2%} in "
                f"place of {source.asked:.2%}, the rest went to sources with room"
            )
    return warnings


def prove_shares(plan: MixturePlan, seq_length: int) -> dict[str, Any]:
    """What blending draws over the planned tokens, in GPT-NeoX's and megatron-core's arithmetic, sample by sample."""
    from llemma.core.indexed import blend_counts

    num_samples = max(1, plan.planned_tokens // seq_length)
    samples = blend_counts([source.weight for source in plan.sources], num_samples).tolist()
    sources = {
        source.name: {
            "asked": source.asked,
            "wanted": source.weight,
            "drawn": count / num_samples,
            "samples": count,
            "epochs": count * seq_length / source.train_tokens,
        }
        for source, count in zip(plan.sources, samples, strict=True)
    }
    largest = max(abs(entry["wanted"] - entry["drawn"]) for entry in sources.values())
    return {"seq_length": seq_length, "num_samples": num_samples, "largest_difference": largest, "sources": sources}


def tokenizer_info(tokenizer: Tokenizer, path: str) -> TokenizerInfo:
    """What a mixture says of the tokenizer whose file has this path relative to it."""
    from llemma.core.indexed import best_dtype

    return TokenizerInfo(
        kind="sentencepiece" if tokenizer.kind == "sentencepiece" else "huggingface",
        path=path,
        sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        eod_id=tokenizer.eod_id,
        dtype="uint16" if best_dtype(tokenizer.vocab_size).name == "uint16" else "int32",
    )


def write_mixture(
    config: MixtureConfig,
    *,
    name: str,
    out: str | Path,
    tokenizer: str,
    eod: str | int | None = None,
    hashes: Mapping[str, str] | None = None,
) -> list[str]:
    """Writes OUT/mixture.json and its record from the shards in OUT/data; returns warnings.

    `tokenizer` is the path of the tokenizer's file relative to OUT; `hashes` holds SHA-256 sums that are known already,
    by path relative to OUT. Raises InputError if a source cannot be used.
    """
    from llemma.core.text.tokenizers import load_tokenizer

    out = Path(out)
    shards = _read_shards(out, hashes or {})
    train_tokens = {source: splits["train"].num_tokens if "train" in splits else 0 for source, splits in shards.items()}
    plan = plan_mixture(config, train_tokens)
    loaded = load_tokenizer(out / tokenizer, eod)
    mixture = Mixture(
        name=name,
        tokenizer=tokenizer_info(loaded, tokenizer),
        planned_tokens=plan.planned_tokens,
        sources=tuple(
            MixtureSource(
                name=source.name,
                group=source.group,
                weight=source.weight,
                epochs=source.epochs,
                splits=shards[source.name],
            )
            for source in plan.sources
        ),
    )
    proof = prove_shares(plan, config.seq_length)
    warnings = [*plan.warnings, *_warn_of_splits(mixture), *_warn_of_proof(proof)]
    mixture.write(out / "mixture.json")
    write_record(
        out / "mixture.record.json",
        kind="mixture",
        config=config.model_dump(mode="json"),
        inputs=[out / tokenizer],
        outputs=[out / "mixture.json"],
        warnings=warnings,
        proof=proof,
    )
    return warnings


def shard_prefixes(out: str | Path) -> dict[str, dict[str, Path]]:
    """Prefixes of the .bin/.idx pairs in OUT/data, by source and split."""
    found: dict[str, dict[str, Path]] = {}
    for folder in sorted((Path(out) / "data").glob("*/")):
        splits = {split: folder / split for split in SPLITS if (folder / f"{split}.idx").is_file()}
        if splits:
            found[folder.name] = splits
    return found


def _read_shards(out: Path, hashes: Mapping[str, str]) -> dict[str, dict[str, Shard]]:
    return {
        source: {split: _read_shard(prefix, out, hashes) for split, prefix in splits.items()}
        for source, splits in shard_prefixes(out).items()
    }


def _read_shard(prefix: Path, out: Path, hashes: Mapping[str, str]) -> Shard:
    from llemma.core.indexed import IndexedReader

    path = prefix.relative_to(out).as_posix()
    reader = IndexedReader(prefix)
    sums = [hashes.get(f"{path}{suffix}") or sha256_file(f"{prefix}{suffix}") for suffix in (".bin", ".idx")]
    return Shard(
        path=path,
        num_documents=reader.num_documents,
        num_tokens=reader.num_tokens,
        bin_sha256=sums[0],
        idx_sha256=sums[1],
    )


def _warn_of_splits(mixture: Mixture) -> list[str]:
    return [
        f"mixture: the source '{source.name}' has no {split} documents"
        for source in mixture.sources
        for split in SPLITS[1:]
        if split not in source.splits
    ]


def _warn_of_proof(proof: dict[str, Any]) -> list[str]:
    if proof["largest_difference"] <= MAX_SHARE_ERROR:
        return []
    return [
        f"mixture: over {proof['num_samples']:,} samples of {proof['seq_length']} tokens blending draws shares "
        f"that are up to {proof['largest_difference']:.2%} off the wanted ones: the plan is too short for the mixture"
    ]
