"""The last row of packed documents can be read.

With pack_until_overflow GPT-NeoX ends a row where the next one begins, and reads one token of that next document, too.
Behind the last row no document is listed (megatron/data/gpt2_dataset.py:335 at ea7aefd8), so that drawing it raises an
IndexError; the sample taken in its place is found by the same shuffled number (:194), which may be the last row again:
then the run dies of a RecursionError. Validation sets of a few rows meet it at once. One document more is listed now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "last-row"
_MENDED = {
    "megatron/data/gpt2_dataset.py": (
        "self.doc_idx, self.sample_idx, self.shuffle_idx = _build_index_mappings(",
        "                sample_idx.append(np.array([len(doc_idx), 0]))\n                np.save(doc_idx_filename,",
        "dataset.get(self.doc_idx[doc_index_l], length=offset_l + 1)",
        "return doc_idx, sample_idx, shuffle_idx",
    ),
}


def apply(context: EngineContext) -> None:
    """Wraps the function that builds the maps, for a stage that packs whole documents."""
    if context.values.get("pack_impl") != "pack_until_overflow":
        return
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron.data import gpt2_dataset

    gpt2_dataset._build_index_mappings = with_an_end(gpt2_dataset._build_index_mappings)


def with_an_end(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """The builder with a document behind the last row, as behind every other: its first token is all that is read."""

    def _build_index_mappings(*args: Any, **kwargs: Any) -> Any:
        import numpy as np

        doc_idx, sample_idx, shuffle_idx = upstream(*args, **kwargs)
        if len(doc_idx) and int(sample_idx[-1][0]) == len(doc_idx):
            doc_idx = np.append(doc_idx, doc_idx[:1])
        return doc_idx, sample_idx, shuffle_idx

    return _build_index_mappings
