"""The model that a person names: a Hugging Face folder as it is, a NeoX checkpoint converted on the way."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from llemma.core.errors import DamagedFileError, InputError, WorkError
from llemma.core.files import read_json, sha256_file, stable_hash

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_HASHED = ("*.safetensors", "*.bin", "*.json", "*.model")
SMALL_MODEL_BYTES = 1 << 30  # below it 64 prompts at a time fit anywhere (chosen by us)


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder that transformers loads, the path that the person gave, and a hash of all that makes the model."""

    path: Path
    given: Path
    sha256: str
    num_bytes: int
    context_length: int


def find_model(given: Path, work_dir: Path) -> ModelFolder:
    """The model folder for what a person gave. Raises InputError where it is not one, and says what is missing."""
    if not given.exists():
        raise InputError(
            f"{given}: there is no such folder. Give a model in Hugging Face form (config.json, weights, tokenizer), "
            "for example RUN/export/hf, or a GPT-NeoX checkpoint folder"
        )
    if not given.is_dir():
        raise InputError(f"{given}: this is a file, but a model's folder is wanted")
    if _is_neox_checkpoint(given):
        return _described(_convert(given, work_dir), given)
    missing = []
    if not (given / "config.json").is_file():
        missing.append("config.json")
    if not any((given / name).is_file() for name in _WEIGHTS):
        missing.append("weights (model.safetensors)")
    if not any((given / name).is_file() for name in _TOKENIZERS):
        missing.append("a tokenizer (tokenizer.json or tokenizer.model)")
    if missing:
        hint = ""
        if (given / "trainer.json").is_file():
            hint = ". This is a training checkpoint: the exported model lies in RUN/export/hf"
        raise InputError(f"{given}: not a model that can be loaded, it lacks {', '.join(missing)}{hint}")
    return _described(given, given)


def find_served_model(name: str, base_url: str, tokenizer: Path) -> ModelFolder:
    """A model behind a server: `tokenizer` is a local folder with its tokenizer and config.json.

    The weights are not seen: the hash is that of the server's address, the model's name there and the tokenizer.
    """
    missing = [] if (tokenizer / "config.json").is_file() else ["config.json"]
    if not any((tokenizer / file).is_file() for file in _TOKENIZERS):
        missing.append("a tokenizer (tokenizer.json or tokenizer.model)")
    if missing:
        raise InputError(f"--tokenizer {tokenizer}: wanted is a folder with the served model's {' and '.join(missing)}")
    folder = _described(tokenizer, Path(name))
    return replace(folder, sha256=stable_hash([base_url, name, folder.sha256]), num_bytes=0)


def _is_neox_checkpoint(path: Path) -> bool:
    if (path / "config.json").is_file():
        return False
    return (
        (path / "latest").is_file()
        or any(path.glob("global_step*"))
        or any(path.glob("layer_*-model_*.pt"))
        or any(path.glob("mp_rank_*"))
    )


def _convert(given: Path, work_dir: Path) -> Path:
    """Converts a NeoX checkpoint with `llemma convert`, once: a finished conversion of the same files is used again."""
    files = sorted(path for path in given.rglob("*") if path.is_file())
    seen = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    target = work_dir / f"converted-{stable_hash(seen)[:16]}"
    if (target / "config.json").is_file():
        return target
    command = [sys.executable, "-m", "llemma", "convert", str(given), str(target), "--to", "hf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise WorkError(f"{given}: this NeoX checkpoint could not be converted:\n{reason}")
    return target


def _described(path: Path, given: Path) -> ModelFolder:
    config = read_json(path / "config.json")
    if not isinstance(config, dict):
        raise DamagedFileError(f"{path / 'config.json'}: must hold a JSON object")
    length = config.get("max_position_embeddings", 2048)
    if not isinstance(length, int) or length < 2:
        raise DamagedFileError(f"{path / 'config.json'}: max_position_embeddings is {length!r}, wanted a whole number")
    files = sorted({file for pattern in _HASHED for file in path.glob(pattern) if file.is_file()})
    hashes = [[file.name, sha256_file(file)] for file in files]
    return ModelFolder(
        path=path,
        given=given,
        sha256=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
        num_bytes=sum(file.stat().st_size for file in files),
        context_length=length,
    )
