"""Everything that can be found wrong before a step is made, found before torch is even imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.errors import ConfigError, DamagedFileError, InputError, LlemmaError, Problem
from llemma.core.files import read_json, sha256_file
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.schemas import Mixture, Shard
from llemma.guard.checkpoints import list_checkpoints
from llemma.neox.config import NeoxConfig
from llemma.neox.units import padded_vocab_rows
from llemma.plan.checkpoint_check import hf_problems
from llemma.rope import read_base
from llemma.train.data.companions import check_companions
from llemma.train.places import StagePlaces
from llemma.train.settings import Settings, read_settings


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """What the trainer needs to know of the tokenizer that made the shards."""

    file: Path
    vocab_size: int
    eod_id: int

    @property
    def folder(self) -> Path:
        """Where the tokenizer's other files lie too."""
        return self.file.parent

    def decoder(self) -> Callable[[Sequence[int]], str]:
        """Token ids as text, for messages; as numbers where the tokenizer cannot be loaded."""
        from llemma.core.text.tokenizers import load_tokenizer

        try:
            return load_tokenizer(self.file, self.eod_id).decode
        except LlemmaError:
            return lambda ids: " ".join(map(str, ids))


@dataclass(frozen=True, kw_only=True)
class CheckedRun:
    """A run whose files fit together."""

    stages: tuple[StagePlaces, ...]
    settings: tuple[Settings, ...]
    tokenizers: tuple[TokenizerFacts, ...]


def check_run(stages: Sequence[StagePlaces]) -> CheckedRun:
    """All stages of a run, checked. Raises InputError or DamagedFileError that says what is wrong and where."""
    settings = _read_all(stages)
    tokenizers = []
    for stage, item in zip(stages, settings, strict=True):
        mixture_path, mixture = _read_mixture(item)
        tokenizers.append(_check_tokenizer(item, mixture_path, mixture))
        _check_data(item, mixture_path, mixture)
        if not list_checkpoints(stage.checkpoints):
            _check_start(stage, item, tokenizers[-1])
    return CheckedRun(stages=tuple(stages), settings=settings, tokenizers=tuple(tokenizers))


def check_layout(settings: Settings, data_parallel: int) -> None:
    """Raises InputError where data-parallel processes cannot share a step of a stage."""
    num = settings.num_micro_batches
    if num % data_parallel:
        possible = ", ".join(str(count) for count in range(1, num + 1) if num % count == 0)
        raise InputError(
            f"{settings.stage}: a step has {num} micro-batches of {settings.micro_batch} samples, which "
            f"{data_parallel} data-parallel processes cannot share evenly: possible are {possible} (--processes "
            "divided by --tensor-parallel), or more with smaller micro-batches in the plan"
        )


def _read_all(stages: Sequence[StagePlaces]) -> tuple[Settings, ...]:
    problems: list[Problem] = []
    settings = []
    for stage in stages:
        try:
            settings.append(read_settings(stage))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(settings)


def _read_mixture(settings: Settings) -> tuple[Path, Mixture | None]:
    """The mixture that a stage was planned from; None where it was planned from bare paths."""
    if settings.plan.mixture is None:
        return Path(), None
    path = Path(settings.plan.mixture)
    mixture = Mixture.read(path)
    if settings.plan.mixture_sha256 not in (None, sha256_file(path)):
        raise DamagedFileError(
            f"{path}: has changed since the run was planned (SHA-256 differs): plan a new run from it, "
            "or put the old one back"
        )
    return path, mixture


# ---------------------------------------------------------------------- tokenizer


def _check_tokenizer(settings: Settings, mixture_path: Path, mixture: Mixture | None) -> TokenizerFacts:
    file = _tokenizer_file(settings, mixture_path, mixture)
    if mixture is not None:
        info = mixture.tokenizer
        found = sha256_file(file)
        if found != info.sha256:
            raise InputError(
                f"{file}: this is not the tokenizer that made the shards (SHA-256 {found[:16]}…, but {mixture_path} "
                f"says {info.sha256[:16]}…): take the tokenizer of the data build"
            )
        vocab_size, eod_id = info.vocab_size, info.eod_id
    else:
        from llemma.core.text.tokenizers import load_tokenizer

        tokenizer = load_tokenizer(file)
        vocab_size, eod_id = tokenizer.vocab_size, tokenizer.eod_id
    rows = settings.config.padded_vocab_size
    if rows is not None and rows != vocab_size:
        wanted = padded_vocab_rows(
            vocab_size, settings.config.make_vocab_size_divisible_by, settings.config.model_parallel_size
        )
        if rows != wanted:
            raise InputError(
                f"{settings.stage}: padded_vocab_size is {rows}, but {file} has {vocab_size} pieces, padded {wanted}: "
                "the model and the tokenizer do not belong together"
            )
    return TokenizerFacts(file=file, vocab_size=vocab_size, eod_id=eod_id)


def _tokenizer_file(settings: Settings, mixture_path: Path, mixture: Mixture | None) -> Path:
    if settings.config.vocab_file is not None:
        file = Path(settings.config.vocab_file)
    elif mixture is not None:
        file = mixture_path.parent / mixture.tokenizer.path
    else:
        raise InputError(f"{settings.stage}: neox.yml does not give vocab_file, the tokenizer that made the shards")
    if not file.is_file():
        raise InputError(f"{file}: there is no such tokenizer file (named by {settings.stage}/neox.yml)")
    return file


# ---------------------------------------------------------------------- data


def _check_data(settings: Settings, mixture_path: Path, mixture: Mixture | None) -> None:
    shards = {} if mixture is None else _shards_by_prefix(mixture_path, mixture)
    for source in (*settings.train, *settings.validation):
        reader = IndexedReader(source.prefix)
        if reader.num_tokens < 2:
            raise InputError(
                f"{idx_path(source.prefix)}: holds {reader.num_tokens} tokens, too few to draw a sample from: leave "
                "this data set out of the mixture"
            )
        check_companions(source)
        planned = shards.get(Path(source.prefix).resolve())
        if planned is None:
            continue
        if reader.num_tokens != planned.num_tokens:
            raise DamagedFileError(
                f"{source.prefix}: holds {reader.num_tokens:,} tokens, but {mixture_path} says {planned.num_tokens:,}: "
                "build the data again, or plan the run anew"
            )
        if sha256_file(idx_path(source.prefix)) != planned.idx_sha256:
            raise DamagedFileError(
                f"{idx_path(source.prefix)}: is not the index that {mixture_path} was written for (SHA-256 differs): "
                "build the data again, or plan the run anew"
            )


def _shards_by_prefix(mixture_path: Path, mixture: Mixture) -> dict[Path, Shard]:
    shards: Iterable[Shard] = (shard for source in mixture.sources for shard in source.splits.values())
    return {(mixture_path.parent / shard.path).resolve(): shard for shard in shards}


# ---------------------------------------------------------------------- weights to begin with


def _check_start(stage: StagePlaces, settings: Settings, tokenizer: TokenizerFacts) -> None:
    plan = settings.plan
    if plan.start in ("noise", "stage"):
        return  # the weights of the stage before are checked when they are there
    named = plan.init_from if plan.start == "hf" else settings.config.load
    if named is None:
        wanted = f"{stage.stage_file}: 'init_from'" if plan.start == "hf" else f"{stage.neox_file}: 'load'"
        raise InputError(f"{wanted} is missing: it names the weights that {settings.stage} begins with")
    folder = Path(named)
    if plan.start == "neox":
        if not folder.exists():
            raise InputError(f"{folder}: there is no such checkpoint (the weights to begin {settings.stage} with)")
        raise InputError(
            f"{folder}: the embedded trainer begins with a Hugging Face folder: convert this checkpoint with  "
            f"llemma convert {folder} OUT --to hf  and plan the run with  --init-from OUT"
        )
    check_model_folder(folder, settings)
    _check_same_tokenizer(folder, tokenizer)
    rows = read_json(folder / "config.json").get("vocab_size")
    if not isinstance(rows, int) or rows < tokenizer.vocab_size:
        raise InputError(
            f"{folder / 'config.json'}: the model has {rows} vocabulary rows, but the shards' tokenizer has "
            f"{tokenizer.vocab_size} pieces: the model and the tokenizer do not belong together"
        )


def check_model_folder(folder: Path, settings: Settings, *, any_rope_base: bool = False) -> None:
    """Checks that a folder holds a Hugging Face Llama of the configured architecture. Raises InputError.

    The RoPE base may be another one where a stage changes it on purpose.
    """
    if not folder.exists():
        raise InputError(f"{folder}: there is no such checkpoint (the weights to begin {settings.stage} with)")
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: this is no Hugging Face folder (it has no config.json); a checkpoint of GPT-NeoX is converted "
            "with  llemma convert CHECKPOINT OUT --to hf"
        )
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise InputError(f"{folder}: it has no model.safetensors (pickled weights are not loaded)")
    path = folder / "config.json"
    found = read_json(path)
    config = _with_vocab_rows(settings.config, path, found)
    if any_rope_base and isinstance(found, dict):
        config = config.model_copy(update={"rotary_emb_base": read_base(found, str(path))})
    problems = hf_problems(path, found, config)
    if problems:
        listed = "\n".join(problems)
        raise InputError(f"{listed}\nthe weights do not fit {settings.stage}/neox.yml")


def _with_vocab_rows(config: NeoxConfig, path: Path, found: Any) -> NeoxConfig:
    """The configuration with the model's own vocabulary rows where it gives none: NeoX fills them in as it starts."""
    if config.padded_vocab_size is not None or not isinstance(found, dict):
        return config
    rows = found.get("vocab_size")
    if not isinstance(rows, int) or rows < 1:
        raise InputError(f"{path}: 'vocab_size' is {rows!r}, but must be a whole number above 0")
    return config.model_copy(update={"padded_vocab_size": rows})


def _check_same_tokenizer(folder: Path, tokenizer: TokenizerFacts) -> None:
    """A model that brings along a tokenizer of the shards' kind must bring the shards' own, byte for byte.

    The same rule as the planner's: a file of the other kind was derived from it, and may be written in many ways.
    """
    ours = tokenizer.file
    theirs = folder / ("tokenizer.model" if ours.suffix == ".model" else "tokenizer.json")
    if theirs.is_file() and sha256_file(theirs) != sha256_file(ours):
        raise InputError(f"{theirs}: the model's tokenizer is not the one that made the shards ({ours})")
