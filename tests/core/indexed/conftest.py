"""Small indexed data sets for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.indexed import IndexedWriter

MakePair = Callable[..., Path]


@pytest.fixture
def make_pair(tmp_path: Path) -> MakePair:
    """Writes a .bin/.idx pair whose token ids count upwards, and returns its prefix."""

    def make(name: str, lengths: list[int] | np.ndarray, dtype: type = np.int32, first: int = 0) -> Path:
        prefix = tmp_path / name
        with IndexedWriter(prefix, dtype) as writer:
            for length in lengths:
                writer.add_document(np.arange(first, first + int(length), dtype=dtype))
                first += int(length)
        return prefix

    return make
