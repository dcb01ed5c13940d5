"""Lets a batch go once it has been used.

GPT-NeoX loops over its data loaders by itertools.cycle (megatron/data/data_utils.py:784 at ea7aefd8), which keeps
every batch of the first pass in memory: some 126 MB per 1,000 micro-batches of 4 x 4097 tokens. Here each pass asks
the loader anew. (After a resume, cycle would also begin its second pass where the first began, not at the start.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "loader-cache"
_MENDED = {
    "megatron/data/data_utils.py": (
        "from itertools import zip_longest, cycle",
        "train_data_iterator = cycle(train_dataloader)",
        "valid_data_iterator = cycle(valid_dataloader)",
    ),
}


def apply(context: EngineContext) -> None:
    """Replaces the name `cycle` in the module that makes the loops."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron.data import data_utils

    data_utils.cycle = repeat


def repeat(loader: Iterable[Any]) -> Iterator[Any]:
    """All items of a loader, again and again, none of them kept. Ends where a pass brings nothing."""
    while True:
        is_empty = True
        for item in loader:
            is_empty = False
            yield item
        if is_empty:
            return
