"""What a source of tensors and a place for them are, whichever layout they have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llemma.checkpoint.architecture import Architecture
from llemma.checkpoint.mapping import Layout, Part, rules_of
from llemma.core.errors import InputError
from llemma.rope import inverse_frequencies

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """Name (Hugging Face's), shape and type of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_bytes(self) -> int:
        """Bytes of the values."""
        count = 4 if self.dtype == "float32" else 2
        for length in self.shape:
            count *= length
        return count


class Source(Protocol):
    """A checkpoint to read: its tensors under Hugging Face's names, one at a time."""

    place: Path
    architecture: Architecture

    def facts(self) -> list[TensorFacts]:
        """All tensors, in the order in which they are best read. Raises InputError listing all that do not fit."""

    def read(self, name: str, room: torch.Tensor) -> torch.Tensor:
        """One whole tensor: as it lies in its file, where it lies in one piece, else put together in `room`."""


class Sink(Protocol):
    """A checkpoint being written, in files that have their full size from the beginning."""

    def problems(self) -> list[str]:
        """Why these tensors cannot be written so, in words; empty if they can."""

    def make_room(self) -> None:
        """Makes the files, at their full size."""

    def open(self) -> None:
        """Maps the files that make_room made, now or in a process that was killed."""

    def place(self, fact: TensorFacts) -> torch.Tensor | None:
        """The room of one tensor in its file, where it lies there in one piece."""

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Takes one whole tensor, in any order and as often as one likes."""

    def sync(self) -> None:
        """Puts what was written so far on the disk."""

    def close(self) -> None:
        """Completes the files, on the disk."""


class Buffer:
    """Room for one tensor at a time, in a file: what stands in it can go to the disk and is no memory of ours."""

    def __init__(self, path: Path, num_bytes: int) -> None:
        self._path, self._bytes = path, num_bytes
        self._mapped: torch.Tensor | None = None

    def room(self, fact: TensorFacts) -> torch.Tensor:
        """Room for a tensor; what stood there before is lost."""
        if self._mapped is None:
            self._mapped = mapped_file(self._path, self._bytes)
        import torch

        dtype: torch.dtype = getattr(torch, fact.dtype)
        return self._mapped[: fact.num_bytes].view(dtype).view(fact.shape)

    def close(self) -> None:
        """Gives the file back."""
        self._mapped = None
        self._path.unlink(missing_ok=True)


def mapped_file(path: Path, num_bytes: int) -> torch.Tensor:
    """A file's bytes (uint8) as a shared mapping: what is written there is written to the file.

    A file that is shorter is made so long first, with its room on the disk taken.
    """
    import torch

    if not path.exists() or path.stat().st_size < num_bytes:
        take_room(path, num_bytes)
    return torch.from_file(str(path), shared=True, size=num_bytes, dtype=torch.uint8)


def take_room(path: Path, num_bytes: int) -> None:
    """Gives a file so many bytes of the disk, zeros where nothing was written. Raises OSError where it is full.

    A write into a hole of a mapped file on a full disk would kill the process, taking the room first is an error.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(handle, 0, num_bytes)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(handle)


def refuse(place: Path, what: str, problems: list[str], remedy: str) -> None:
    """Raises InputError with all problems of a checkpoint under one heading, if there are any."""
    if not problems:
        return
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"... and {len(problems) - _SHOWN} more")
    lines = "\n  ".join(shown)
    raise InputError(f"{place}: {what}:\n  {lines}\n{remedy}")


def named_shapes(architecture: Architecture) -> Iterator[tuple[Part, tuple[int, ...]]]:
    """Every Hugging Face tensor of a model and its shape."""
    layout = Layout(architecture=architecture, tensor_parallel=1, rows=architecture.vocab_size)
    for rule in rules_of(architecture):
        for part in rule.parts:
            yield part, layout.hf_shape(part)


def check_rotary_buffer(frequencies: torch.Tensor, architecture: Architecture, place: str) -> None:
    """Raises InputError if stored rotary frequencies contradict the configuration's RoPE base."""
    found = frequencies.detach().float().numpy()
    wanted = inverse_frequencies(architecture.head_dim, architecture.rope_base)
    # bfloat16 keeps 8 bits; another base differs by far more than a hundredth in the last frequency.
    if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-2, atol=0):
        told = ""
        if found.shape == wanted.shape and len(found) > 1 and 0 < found[1] < 1:
            told = f" (they are those of a base near {float(found[1]) ** -len(found):.3g})"
        raise InputError(
            f"{place}: the stored rotary frequencies are not those of the configured RoPE base "
            f"{architecture.rope_base:g}{told}: correct the configuration; a deliberate change is made with --rope-base"
        )


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The values of a tensor as they lie in memory, without a copy where it is contiguous."""
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def tensor_sha256(data: memoryview) -> str:
    """SHA-256 of a tensor's values, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.bfloat16` → `bfloat16`."""
    return str(dtype).removeprefix("torch.")
