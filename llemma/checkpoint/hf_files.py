"""Hugging Face checkpoints: config.json and safetensors, read and written one tensor at a time."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llemma.checkpoint.architecture import Architecture, architecture_from_hf
from llemma.checkpoint.mapping import ROTARY_BUFFER
from llemma.checkpoint.tensors import (
    TensorFacts,
    check_rotary_buffer,
    dtype_name,
    mapped_file,
    named_shapes,
    refuse,
)
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, sync_file, write_json

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

CARD_NAMES = {
    "SOURCE_README.md": ("SOURCE_README.md", "README.md"),
    "LICENSE": ("LICENSE", "LICENSE.txt"),
    "USE_POLICY.md": ("USE_POLICY.md",),
}
"""What the makers of a model say about it: name in the target, names in a source, the first wins."""

_SAFETENSORS_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_NAMES = {code: name for name, code in _SAFETENSORS_NAMES.items()}
_MISFIT = "the tensors do not fit the configuration"
_OUTPUT_NAME = "lm_head.weight"
_EMBEDDING_NAME = "model.embed_tokens.weight"


class HfSource:
    """A folder with config.json and safetensors files."""

    layout_name: Literal["hf"] = "hf"

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

    def read(self, name: str, room: torch.Tensor | None = None) -> torch.Tensor:
        """One whole tensor, as it lies in its file. Raises DamagedFileError if its file is damaged."""
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
    """safetensors files made at their full size first and then filled in place; several where they are large."""

    def __init__(self, folder: Path, facts: list[TensorFacts], shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._shards = _shards(facts, shard_bytes)
        self._names = (
            [SINGLE_NAME]
            if len(self._shards) == 1
            else [f"model-{n + 1:05d}-of-{len(self._shards):05d}.safetensors" for n in range(len(self._shards))]
        )
        self._headers = [_header(shard) for shard in self._shards]
        self._starts: dict[str, tuple[int, int]] = {}
        for shard, header in enumerate(self._headers):
            at = len(header)
            for fact in self._shards[shard]:
                self._starts[fact.name] = (shard, at)
                at += fact.num_bytes
        self._facts = {fact.name: fact for fact in facts}
        self._mapped: list[torch.Tensor] = []

    def problems(self) -> list[str]:
        """Any mixture of types can be written."""
        return []

    def make_room(self) -> None:
        """Makes the files, at their full size, and their index where there are several."""
        for shard, header in enumerate(self._headers):
            path = self._folder / self._names[shard]
            mapped_file(path, self._size(shard))
            with open(path, "r+b") as file:
                file.write(header)
        if len(self._shards) > 1:
            weight_map = {name: self._names[shard] for name, (shard, _) in self._starts.items()}
            total = sum(fact.num_bytes for fact in self._facts.values())
            write_json(self._folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})

    def open(self) -> None:
        """Maps the files that make_room made."""
        self._mapped = [mapped_file(self._folder / name, self._size(at)) for at, name in enumerate(self._names)]

    def place(self, fact: TensorFacts) -> torch.Tensor | None:
        """The room of one tensor in its file; None where it lies at an odd address, behind a tensor of another type."""
        import torch

        dtype: torch.dtype = getattr(torch, fact.dtype)
        if self._starts[fact.name][1] % dtype.itemsize:
            return None
        return self._bytes(fact).view(dtype).view(fact.shape)

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Takes one tensor; one that was put together in its place is there already."""
        import torch

        fact = self._facts[name]
        assert (tuple(tensor.shape), dtype_name(tensor.dtype)) == (fact.shape, fact.dtype)
        room = self._bytes(fact)
        if tensor.data_ptr() != room.data_ptr():
            room.copy_(tensor.contiguous().view(-1).view(torch.uint8))

    def sync(self) -> None:
        """Puts what was written so far on the disk."""
        for name in self._names:
            sync_file(self._folder / name)

    def close(self) -> None:
        """Completes the files, on the disk."""
        self._mapped = []
        self.sync()

    def _bytes(self, fact: TensorFacts) -> torch.Tensor:
        shard, start = self._starts[fact.name]
        return self._mapped[shard][start : start + fact.num_bytes]

    def _size(self, shard: int) -> int:
        return len(self._headers[shard]) + sum(fact.num_bytes for fact in self._shards[shard])


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
