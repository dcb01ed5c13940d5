"""Reading torch's checkpoint files without running what they ask for.

A torch file holds a pickle, and a pickle may name any function to be called. torch's restricted unpickler
(`weights_only=True`) calls none but its own few and those listed here: what NumPy needs to restore the state of its
random generator, which GPT-NeoX saves with every trained checkpoint, and a few small classes that DeepSpeed saves with
the optimizer's state. Anything else is refused by name, also where another library has made torch's own list longer.
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.checkpoint.tensors import take_room
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import TEMPORARY_PREFIX

if TYPE_CHECKING:
    import torch

Listed = Callable[..., Any] | tuple[Callable[..., Any], str]

_DEEPSPEED = re.compile(
    r"deepspeed\.(utils\.tensor_fragment\.fragment_address|runtime\.zero\.config\.ZeroStageEnum|"
    r"runtime\.fp16\.loss_scaler\.(LossScaler|DynamicLossScaler|LossScalerBase))\Z"
)
"""Classes that the optimizer's state of a DeepSpeed checkpoint holds: where a piece begins, a number, a loss scale."""


def load_pickled(path: Path, more: Sequence[Listed] = (), is_shared: bool = False) -> dict[str, Any]:
    """The dictionary in a torch file; its tensors are mapped, not read. `is_shared`: writing to them writes the file.

    Raises InputError if the file is missing or names something that is neither on the list of harmless types nor in
    `more`, DamagedFileError if it is no whole torch file.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    mapping = mmap.MAP_SHARED if is_shared else mmap.MAP_PRIVATE
    try:
        with _nothing_but([*_harmless(), *more]), torch.serialization.set_default_mmap_options(mapping):
            value = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise DamagedFileError(f"{path}: this is no whole torch file") from None
        raise InputError(
            f"{path}: asks to create '{named.group(1)}', which is not on the list of harmless types; a checkpoint of "
            "GPT-NeoX has no need of it: do not load this file"
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, IndexError, AttributeError, TypeError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(f"{path}: this is no whole torch file ({first_line})") from None
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path}: holds a {type(value).__name__}, but a checkpoint is a dictionary")
    return value


def deepspeed_classes(path: Path) -> list[Listed]:
    """Those of DeepSpeed's harmless classes that a file names. Raises InputError where DeepSpeed is not installed."""
    import torch

    try:
        with _nothing_but([]):
            named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DamagedFileError(f"{path}: this is no whole torch file ({error})") from None
    found: list[Listed] = []
    for name in filter(_DEEPSPEED.match, named):
        module, _, attribute = name.rpartition(".")
        try:
            found.append((getattr(importlib.import_module(module), attribute), name))
        except (ImportError, AttributeError):
            raise InputError(
                f"{path}: holds a {name}, and DeepSpeed is not installed here: keep the optimizer's state in the "
                "Python that trained, or leave it out (--optimizer drop)"
            ) from None
    return found


@contextlib.contextmanager
def _nothing_but(listed: Sequence[Listed]) -> Iterator[None]:
    """torch's list of allowed names is one for the process, and libraries add to it: here it is ours alone."""
    from torch import serialization

    before = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals(list(listed))
    try:
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def make_torch_file(path: Path, state: dict[str, Any], more: Sequence[Listed] = ()) -> None:
    """Writes a torch file at its full size in which meta tensors are room full of zeros, to be filled by mapping it.

    `state` may hold real tensors too, such as the states of random generators: they are written.
    """
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    # torch asks for the storage of each tensor, though it leaves out what stands there: all are one empty sparse file.
    # (FakeTensorMode, which was meant for this, imports half of torch for seconds.)
    hollow = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    hollow.touch()
    os.truncate(hollow, max(tensor.nbytes for tensor, _ in _tensors(state, state, is_meta=True)))
    try:
        with torch.serialization.skip_data():
            torch.save(_with_storages(state, hollow), path)
    finally:
        hollow.unlink()
    take_room(path, path.stat().st_size)  # zeros, which is what rows of padding are
    if any(True for _ in _tensors(state, state, is_meta=False)):
        for tensor, room in _tensors(state, load_pickled(path, more, is_shared=True), is_meta=False):
            room.copy_(tensor)


def _with_storages(state: Any, hollow: Path) -> Any:
    """A tree of dictionaries and lists in which every meta tensor has a storage, each its own, that takes no memory."""
    import torch

    if isinstance(state, torch.Tensor) and state.is_meta:
        return torch.from_file(str(hollow), shared=True, size=state.numel(), dtype=state.dtype).view(state.shape)
    if isinstance(state, dict):
        return type(state)((key, _with_storages(value, hollow)) for key, value in state.items())
    return [_with_storages(value, hollow) for value in state] if isinstance(state, list) else state


def _tensors(state: Any, other: Any, *, is_meta: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The meta or the real tensors of a tree, each with what stands at its place in another."""
    import torch

    if isinstance(state, torch.Tensor):
        if state.is_meta == is_meta:
            yield state, other
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from _tensors(value, other[key], is_meta=is_meta)
    elif isinstance(state, list | tuple):
        for mine, theirs in zip(state, other, strict=True):
            yield from _tensors(mine, theirs, is_meta=is_meta)


def _harmless() -> list[Listed]:
    """What NumPy's arrays and random states are rebuilt from, under the names of NumPy 1 and 2."""
    import codecs

    import numpy as np

    try:
        rebuild = importlib.import_module("numpy._core.multiarray")._reconstruct
    except ImportError:  # NumPy 1
        rebuild = importlib.import_module("numpy.core.multiarray")._reconstruct
    kinds = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
    listed: list[Any] = [np.ndarray, np.dtype, (codecs.encode, "_codecs.encode")]
    listed += [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    listed += [type(np.dtype(kind)) for kind in kinds]
    return listed
