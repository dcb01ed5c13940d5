"""What a source of tensors and a place for them are, whichever layout they have."""

from __future__ import annotations

import hashlib
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

    def facts(self) -> list[TensorFacts]:
        """All tensors, in the order in which they are best read. Raises InputError listing all that do not fit."""

    def read(self, name: str) -> torch.Tensor:
        """One whole tensor."""


class Sink(Protocol):
    """A checkpoint being written."""

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Takes one whole tensor; they come in the order of the facts that the sink was made with."""

    def close(self) -> None:
        """Completes the files, on the disk."""


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
