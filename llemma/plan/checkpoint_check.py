"""Whether the checkpoint that a run starts from is there, and is the model that the configuration describes.

A Hugging Face folder says what it is in its config.json. A NeoX checkpoint says it in the configuration that NeoX saves
with it, or in the neox_model.yml of our converter; where it has neither, a warning says that nobody could check.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llemma.core.errors import InputError, LlemmaError
from llemma.core.files import read_json, sha256_file
from llemma.neox.config import NeoxConfig
from llemma.neox.keytable import known_keys
from llemma.neox.saved_keys import saved_keys
from llemma.plan.sources import Data
from llemma.rope import read_base

_TOKENIZER_FILES = {"sentencepiece": "tokenizer.model", "huggingface": "tokenizer.json"}


@dataclass(frozen=True, kw_only=True)
class StartCheckpoint:
    """A checkpoint to start from; `kind` is None where the path holds none."""

    path: Path
    kind: Literal["hf", "neox"] | None

    @classmethod
    def find(cls, path: Path) -> StartCheckpoint:
        """What lies at a path: a Hugging Face folder, a NeoX checkpoint, or neither."""
        kind: Literal["hf", "neox"] | None = None
        if (path / "config.json").is_file():
            kind = "hf"
        elif (path / "latest").is_file():
            kind = "neox"
        return cls(path=path.resolve(), kind=kind)


def checkpoint_problems(start: StartCheckpoint, config: NeoxConfig, data: Data | None) -> tuple[list[str], list[str]]:
    """(problems, warnings) of starting from this checkpoint."""
    if not start.path.exists():
        return [f"{start.path}: there is no such checkpoint"], []
    try:
        if start.kind == "hf":
            return _hf_problems(start.path, config, data), []
        if start.kind == "neox":
            return _neox_problems(start.path, config)
    except LlemmaError as error:
        return str(error).split("\n"), []
    return [
        f"{start.path}: this is no checkpoint: a Hugging Face folder has a config.json, a NeoX checkpoint "
        "a file 'latest'"
    ], []


def _hf_problems(folder: Path, config: NeoxConfig, data: Data | None) -> list[str]:
    path = folder / "config.json"
    problems = hf_problems(path, read_json(path), config)
    return problems + _missing_weights(folder) + _tokenizer_problems(folder, data)


def hf_problems(path: Path, found: Any, config: NeoxConfig) -> list[str]:
    """What the config.json at `path`, read as `found`, says of its model that the configuration contradicts."""
    if not isinstance(found, dict):
        return [f"{path}: this is not a model's configuration"]
    problems = []
    if found.get("model_type") != "llama":
        problems.append(f"{path}: 'model_type' is {found.get('model_type')!r}, but must be 'llama'")
    heads = found.get("num_attention_heads")
    wanted: dict[str, tuple[Any, Any]] = {
        "num_hidden_layers": (found.get("num_hidden_layers"), config.num_layers),
        "hidden_size": (found.get("hidden_size"), config.hidden_size),
        "num_attention_heads": (heads, config.num_attention_heads),
        "num_key_value_heads": (found.get("num_key_value_heads") or heads, config.num_kv_heads_or_all),
        "head_dim": (found.get("head_dim") or config.head_dim, config.head_dim),
        "intermediate_size": (found.get("intermediate_size"), config.true_ffn_width),
        "vocab_size": (found.get("vocab_size"), config.vocab_rows),
        "hidden_act": (found.get("hidden_act", "silu"), "silu"),
        "rms_norm_eps": (found.get("rms_norm_eps", 1e-6), config.rms_norm_epsilon),
        "tie_word_embeddings": (found.get("tie_word_embeddings", False), config.tie_embeddings),
        "attention_bias": (found.get("attention_bias", False), False),
        "mlp_bias": (found.get("mlp_bias", False), False),
    }
    problems += [
        f"{path}: '{key}' is {has!r}, but the configuration's model has {want!r}"
        for key, (has, want) in wanted.items()
        if has != want
    ]
    try:
        base = read_base(found, str(path))
    except InputError as error:
        return [*problems, str(error)]
    if base != config.rotary_emb_base:
        problems.append(
            f"{path}: the checkpoint's RoPE base is {base:,.0f}, the configuration's {config.rotary_emb_base:,}: to "
            f"change it on purpose run  llemma convert {path.parent} OUT --to hf --rope-base {config.rotary_emb_base}"
        )
    return problems


def _missing_weights(folder: Path) -> list[str]:
    if (folder / "model.safetensors").is_file():
        return []
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [f"{folder}: it has no model.safetensors"]
    weight_map = read_json(index)
    weight_map = weight_map.get("weight_map") if isinstance(weight_map, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        return [f"{index}: it has no 'weight_map' that tells which file holds which tensor"]
    missing = sorted({str(name) for name in weight_map.values() if not (folder / str(name)).is_file()})
    return [f"{folder / name}: this file of the checkpoint is missing" for name in missing]


def _tokenizer_problems(folder: Path, data: Data | None) -> list[str]:
    """The checkpoint's own tokenizer, where it carries one of the same kind, must be the data's, byte for byte."""
    if data is None:
        return []
    path = folder / _TOKENIZER_FILES[data.mixture.tokenizer.kind]
    if not path.is_file() or sha256_file(path) == data.mixture.tokenizer.sha256:
        return []
    return [f"{path}: the checkpoint's tokenizer is not the one that made the shards of {data.path}"]


def _neox_problems(folder: Path, config: NeoxConfig) -> tuple[list[str], list[str]]:
    name = (folder / "latest").read_text(encoding="utf-8", errors="replace").strip()
    step = folder / name
    if not name or "/" in name or not step.is_dir():
        return [f"{folder / 'latest'}: it names '{name}', but there is no such folder beside it"], []
    ranks = len(list(step.glob("mp_rank_*_model_states.pt")))
    problems = []
    if ranks != config.model_parallel_size:
        problems.append(
            f"{step}: it is for tensor parallel {ranks}, the plan for {config.model_parallel_size}: convert it with  "
            f"llemma convert {folder} OUT --to neox --tensor-parallel {config.model_parallel_size}"
        )
    # NeoX's own check at loading ignores the RoPE base: a wrong one loads without a word.
    found = saved_keys(folder, step)
    if found is None:
        wanted = config.rotary_emb_base
        return problems, [f"{folder}: this checkpoint does not say its RoPE base: make sure that it is {wanted:,}"]
    values, place = found
    for key in _COMPARED_NEOX_KEYS:
        has, want = values.get(key, known_keys()[key].default), getattr(config, key)
        if key == "num_kv_heads":
            has, want = has or values.get("num_attention_heads"), config.num_kv_heads_or_all
        if has != want and not (key == "padded_vocab_size" and has is None):
            problems.append(f"{place}: '{key}' is {has!r}, but the configuration has {want!r}")
    return problems, []


_COMPARED_NEOX_KEYS = (
    "num_layers", "hidden_size", "num_attention_heads", "num_kv_heads", "intermediate_size", "padded_vocab_size",
    "rotary_emb_base", "rms_norm_epsilon", "no_weight_tying",
)  # fmt: skip
