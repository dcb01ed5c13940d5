"""Megatron's indexed token files: writing, reading, and GPT-NeoX's order of samples over them."""

from __future__ import annotations

from llemma.core.indexed.blending import Blend, blend_counts, blend_indices, normalized_weights, samples_per_source
from llemma.core.indexed.layout import best_dtype, bin_path, idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.indexed.samples import SampleOrder, Span
from llemma.core.indexed.writer import IndexedWriter

__all__ = [
    "Blend",
    "IndexedReader",
    "IndexedWriter",
    "SampleOrder",
    "Span",
    "best_dtype",
    "bin_path",
    "blend_counts",
    "blend_indices",
    "idx_path",
    "normalized_weights",
    "samples_per_source",
]
