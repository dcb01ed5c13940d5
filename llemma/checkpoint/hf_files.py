"""Hugging Face checkpoints: config.json and safetensors, read and written one tensor at a time."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from llemma.checkpoint.architecture import Architecture, architecture_from_hf
from llemma.checkpoint.mapping import ROTARY_BUFFER
from llemma.checkpoint.tensors import (
    TensorFacts,
    check_rotary_buffer,
    dtype_name,
    named_shapes,
    refuse,
    tensor_bytes,
)
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, write_json

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "config.json"
SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""Largest file of an export; the size that transformers has long written."""

CARRIED_NAMES = (
    "generation_config.json",
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
"""Files that go with the weights and are copied as they are."""

_SAFETENSORS_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_NAMES = {code: name for name, code in _SAFETENSORS_NAMES.items()}
_MISFIT = "the tensors do not fit the configuration"
_OUTPUT_NAME = "lm_head.weight"
_EMBEDDING_NAME = "model.embed_tokens.weight"


class HfSource:
    """A folder with config.json and safetensors files."""

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self.config: dict[str, Any] = read_json(folder / CONFIG_NAME)
        self.architecture: Architecture = architecture_from_hf(self.config, str(folder / CONFIG_NAME))
        self._stack = contextlib.ExitStack()
        self._files: dict[str, Any] = {}
        self._home: dict[str, str] = self._find_tensors()

    def facts(self) -> list[TensorFacts]:
        """All tensors in the model's order. Raises InputError listing all that are missing, extra or misshapen."""
        problems: list[str] = []
        facts: list[TensorFacts] = []
        left = set(self._home)
        for part, shape in named_shapes(self.architecture):
            if part.name not in self._home:
                problems.append(f"{part.name}: missing")
                continue
            left.discard(part.name)
            piece = self._slice(part.name)
            found, code = tuple(piece.get_shape()), piece.get_dtype()
            if found != shape:
                problems.append(f"{part.name}: shape {list(found)}, but the configuration makes it {list(shape)}")
            elif code not in _NAMES:
                problems.append(f"{part.name}: type {code}, but only {', '.join(_NAMES)} can be converted")
            else:
                facts.append(TensorFacts(name=part.name, shape=shape, dtype=_NAMES[code]))
        for name in sorted(left):
            if ROTARY_BUFFER.search(name):
                check_rotary_buffer(self.read(name), self.architecture, f"{self.place / self._home[name]}: {name}")
            elif name == _OUTPUT_NAME and self.architecture.is_tied and not problems:
                self._check_tied()
            else:
                problems.append(f"{name}: not a tensor of this model")
        refuse(self.place, _MISFIT, problems, f"Check {self.place / CONFIG_NAME}, or fetch the checkpoint anew.")
        return facts

    def read(self, name: str) -> torch.Tensor:
        """One whole tensor. Raises DamagedFileError if its file is damaged."""
        tensor: torch.Tensor = self._open(self._home[name]).get_tensor(name)
        return tensor

    def _check_tied(self) -> None:
        import torch

        if not torch.equal(self.read(_OUTPUT_NAME), self.read(_EMBEDDING_NAME)):
            raise InputError(
                f"{self.place / CONFIG_NAME}: 'tie_word_embeddings' is true, but {_OUTPUT_NAME} differs from "
                f"{_EMBEDDING_NAME}: set it to false if the model was trained with its own output layer"
            )

    def _slice(self, name: str) -> Any:
        return self._open(self._home[name]).get_slice(name)

    def _open(self, file_name: str) -> Any:
        if file_name not in self._files:
            from safetensors import SafetensorError, safe_open

            path = self.place / file_name
            if not path.is_file():
                raise InputError(f"{path}: this file is missing, but {INDEX_NAME} names it: fetch the checkpoint anew")
            try:
                self._files[file_name] = self._stack.enter_context(safe_open(path, framework="pt"))
            except SafetensorError as error:
                raise DamagedFileError(f"{path}: this is no whole safetensors file ({error})") from None
        return self._files[file_name]

    def _find_tensors(self) -> dict[str, str]:
        """Name of each tensor → name of its file."""
        if (self.place / SINGLE_NAME).is_file():
            return dict.fromkeys(self._open(SINGLE_NAME).keys(), SINGLE_NAME)
        index = self.place / INDEX_NAME
        if not index.is_file():
            pickled = sorted(path.name for path in self.place.glob("pytorch_model*.bin"))
            hint = f" ({pickled[0]} is a pickle: save the model with transformers' save_pretrained)" if pickled else ""
            raise InputError(f"{self.place}: holds neither {SINGLE_NAME} nor {INDEX_NAME}{hint}")
        home = read_json(index)
        home = home.get("weight_map") if isinstance(home, dict) else None
        if not isinstance(home, dict) or not home:
            raise DamagedFileError(f"{index}: has no 'weight_map' that tells which file holds which tensor")
        for name, file_name in home.items():
            if not isinstance(file_name, str) or Path(file_name).name != file_name or file_name.startswith("."):
                raise DamagedFileError(f"{index}: '{name}' is said to lie in {file_name!r}, which is no file name")
        for file_name in sorted(set(home.values())):
            holds = set(self._open(file_name).keys())
            absent = sorted(name for name, where in home.items() if where == file_name and name not in holds)
            if absent:
                raise DamagedFileError(f"{self.place / file_name}: has no tensor {absent[0]}, but {INDEX_NAME} says so")
        return home


class HfSink:
    """Writes safetensors files tensor by tensor, in the order of `facts`, into several files where they are large."""

    def __init__(self, folder: Path, facts: list[TensorFacts], shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._shards = _shards(facts, shard_bytes)
        self._names = (
            [SINGLE_NAME]
            if len(self._shards) == 1
            else [f"model-{n + 1:05d}-of-{len(self._shards):05d}.safetensors" for n in range(len(self._shards))]
        )
        self._waiting = [(shard, fact) for shard, facts in enumerate(self._shards) for fact in facts]
        self._next = 0
        self._shard = -1
        self._file: IO[bytes] | None = None

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Takes the next tensor."""
        shard, fact = self._waiting[self._next]
        assert (name, tuple(tensor.shape), dtype_name(tensor.dtype)) == (fact.name, fact.shape, fact.dtype)
        if shard != self._shard:
            self._finish_file()
            self._shard = shard
            self._file = open(self._folder / self._names[shard], "wb")  # noqa: SIM115 (closed by _finish_file)
            self._file.write(_header(self._shards[shard]))
        assert self._file is not None
        self._file.write(tensor_bytes(tensor))
        self._next += 1

    def close(self) -> None:
        """Completes the last file and, where there are several, writes their index."""
        self._finish_file()
        assert self._next == len(self._waiting)
        if len(self._shards) > 1:
            weight_map = {fact.name: self._names[shard] for shard, fact in self._waiting}
            total = sum(fact.num_bytes for _, fact in self._waiting)
            write_json(self._folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})

    def _finish_file(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def _shards(facts: list[TensorFacts], shard_bytes: int) -> list[list[TensorFacts]]:
    shards: list[list[TensorFacts]] = [[]]
    size = 0
    for fact in facts:
        if shards[-1] and size + fact.num_bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(fact)
        size += fact.num_bytes
    return shards


def _header(facts: list[TensorFacts]) -> bytes:
    """The beginning of a safetensors file: length (uint64) and JSON, padded to 8 bytes. Source: its format README."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for fact in facts:
        end = at + fact.num_bytes
        code = _SAFETENSORS_NAMES[fact.dtype]
        entries[fact.name] = {"dtype": code, "shape": list(fact.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
