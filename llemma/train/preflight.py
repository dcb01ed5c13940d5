"""Everything that can be found wrong before a step is made, found before torch is even imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.errors import ConfigError, DamagedFileError, InputError, Problem
from llemma.core.files import read_json, sha256_file
from llemma.core.indexed.layout import idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.schemas import Mixture, Shard
from llemma.guard.checkpoints import list_checkpoints
from llemma.neox.config import NeoxConfig
from llemma.neox.units import padded_vocab_rows
from llemma.train.places import StagePlaces
from llemma.train.settings import Settings, read_settings

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """What the trainer needs to know of the tokenizer that made the shards."""

    folder: Path
    vocab_size: int
    eod_id: int


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
        wanted = padded_vocab_rows(vocab_size, settings.config.make_vocab_size_divisible_by, 1)
        if rows != wanted:
            raise InputError(
                f"{settings.stage}: padded_vocab_size is {rows}, but {file} has {vocab_size} pieces, padded {wanted}: "
                "the model and the tokenizer do not belong together"
            )
    return TokenizerFacts(folder=file.parent, vocab_size=vocab_size, eod_id=eod_id)


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


def check_model_folder(folder: Path, settings: Settings) -> None:
    """Checks that a folder holds a Hugging Face Llama of the configured architecture. Raises InputError."""
    if not folder.exists():
        raise InputError(f"{folder}: there is no such checkpoint (the weights to begin {settings.stage} with)")
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: this is no Hugging Face folder (it has no config.json); a checkpoint of GPT-NeoX is converted "
            "with  llemma convert CHECKPOINT OUT --to hf"
        )
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise InputError(f"{folder}: it has no model.safetensors (pickled weights are not loaded)")
    found = read_json(folder / "config.json")
    if not isinstance(found, dict) or found.get("model_type") != "llama":
        raise InputError(f"{folder / 'config.json'}: the model_type must be 'llama'")
    try:
        faults = architecture_faults(found, settings.config)
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{folder / 'config.json'}: a number or a block of numbers is of the wrong type") from None
    if faults:
        listed = "\n".join(f"{folder / 'config.json'}: {fault}" for fault in faults)
        raise InputError(f"{listed}\nthe weights do not fit {settings.stage}/neox.yml")


def architecture_faults(found: dict[str, Any], config: NeoxConfig) -> list[str]:
    """In words, each value of a Hugging Face config.json that the NeoX configuration contradicts."""
    heads = found.get("num_attention_heads")
    wanted: dict[str, tuple[Any, Any]] = {
        "vocab_size": (found.get("vocab_size"), config.padded_vocab_size or found.get("vocab_size") or "given"),
        "hidden_size": (found.get("hidden_size"), config.hidden_size),
        "num_hidden_layers": (found.get("num_hidden_layers"), config.num_layers),
        "num_attention_heads": (heads, config.num_attention_heads),
        "num_key_value_heads": (found.get("num_key_value_heads") or heads, config.num_kv_heads_or_all),
        "head_dim": (found.get("head_dim") or config.head_dim, config.head_dim),
        "intermediate_size": (found.get("intermediate_size"), config.true_ffn_width),
        "hidden_act": (found.get("hidden_act", "silu"), "silu"),
        "tie_word_embeddings": (bool(found.get("tie_word_embeddings", False)), config.tie_embeddings),
        "attention_bias": (bool(found.get("attention_bias", False)), False),
        "mlp_bias": (bool(found.get("mlp_bias", False)), False),
        "rms_norm_eps": (found.get("rms_norm_eps", 1e-6), config.rms_norm_epsilon),
    }
    faults = [f"'{key}' is {is_now}, but must be {must}" for key, (is_now, must) in wanted.items() if is_now != must]
    return [*faults, *_rope_faults(found, config.rotary_emb_base)]


def _rope_faults(found: dict[str, Any], base: int) -> list[str]:
    """The RoPE base stands in `rope_theta` (transformers 4) or in `rope_parameters` (transformers 5), or in both."""
    parameters = found.get("rope_parameters") or {}
    scaling = found.get("rope_scaling") or {}
    for block in (parameters, scaling):
        kind = block.get("rope_type", block.get("type", "default"))
        if kind != "default":
            return [f"the RoPE type is {kind!r}, but GPT-NeoX knows only the default"]
    bases = {float(value) for value in (parameters.get("rope_theta"), found.get("rope_theta")) if value is not None}
    if len(bases) > 1:
        return [f"'rope_theta' and 'rope_parameters' contradict each other: {sorted(bases)}"]
    theta = bases.pop() if bases else 10000.0
    if theta == base:
        return []
    return [
        f"the RoPE base is {theta:g}, but rotary_emb_base is {base}: change it on purpose, with  "
        f"llemma convert MODEL OUT --to hf --rope-base {base}"
    ]


def _check_same_tokenizer(folder: Path, tokenizer: TokenizerFacts) -> None:
    """A model that brings its SentencePiece model along must bring the one that made the shards."""
    theirs, ours = folder / "tokenizer.model", tokenizer.folder / "tokenizer.model"
    if theirs.is_file() and ours.is_file() and sha256_file(theirs) != sha256_file(ours):
        raise InputError(f"{theirs}: the model's tokenizer is not the one that made the shards ({ours})")
