"""Reading torch's checkpoint files without running what they ask for.

A torch file holds a pickle, and a pickle may name any function to be called. torch's restricted unpickler
(`weights_only=True`) calls none but its own few and those listed here: what NumPy needs to restore the state of its
random generator, which GPT-NeoX saves with every trained checkpoint. Anything else is refused by name.
"""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError


def load_pickled(path: Path) -> dict[str, Any]:
    """The dictionary in a torch file; its tensors are mapped, not read.

    Raises InputError if the file is missing or names something that is not on the list of harmless types,
    DamagedFileError if it is no whole torch file.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        with torch.serialization.safe_globals(_harmless()):
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


def _harmless() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
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
