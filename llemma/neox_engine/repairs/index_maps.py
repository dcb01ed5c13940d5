"""Index maps named by what they are made of.

GPT-NeoX caches its order of documents in files named by prefix, samples, length and seed alone
(megatron/data/gpt2_dataset.py:209 at ea7aefd8): with another `split`, or another corpus under the same name, it takes
up the old order without a word. The name now holds a hash of the documents, their lengths and their labels. A map that
a killed process left half written is removed and built again.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llemma.core.files import sha256_file
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "index-maps"
_MENDED = {
    "megatron/data/gpt2_dataset.py": (
        "self.doc_idx, self.sample_idx, self.shuffle_idx = _build_index_mappings(",
        "def _build_index_mappings(\n    name,\n    data_prefix,\n    documents,\n    sizes,\n    label_dataset,\n",
        '_filename += "_{}_indexmap".format(name)',
        '_doc_idx.npy"',
    ),
}


def apply(context: EngineContext) -> None:
    """Wraps the function that builds and names the maps."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron.data import gpt2_dataset

    gpt2_dataset._build_index_mappings = named_by_content(gpt2_dataset._build_index_mappings)


def named_by_content(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """The builder with a hash behind the data set's name."""

    def _build_index_mappings(
        name: str, data_prefix: str, documents: Any, sizes: Any, label_dataset: Any, *args: Any, **kwargs: Any
    ) -> Any:
        hashed = f"{name}_{content_hash(documents, sizes, label_dataset)}"
        is_shared = kwargs.get("use_shared_fs", True)
        if os.environ.get("RANK" if is_shared else "LOCAL_RANK", "0") == "0":
            drop_unreadable(Path(data_prefix).parent, f"{Path(data_prefix).name}_{hashed}_indexmap")
        return upstream(hashed, data_prefix, documents, sizes, label_dataset, *args, **kwargs)

    return _build_index_mappings


def content_hash(documents: Any, sizes: Any, label_dataset: Any) -> str:
    """16 hexadecimal digits of what a map depends on: which documents, how long each is, how they are labelled."""
    import numpy as np

    digest = hashlib.sha256()
    for array in (documents, sizes):
        values = np.ascontiguousarray(array, dtype=np.int64)
        digest.update(len(values).to_bytes(8, "little"))
        digest.update(values.tobytes())
    if label_dataset is not None:
        digest.update(_file_hash(f"{label_dataset._path}.bin").encode())
    return digest.hexdigest()[:16]


@functools.cache
def _file_hash(path: str) -> str:
    return sha256_file(path)


def drop_unreadable(folder: Path, prefix: str) -> None:
    """Removes maps of a name that NumPy cannot open."""
    import numpy as np

    for path in folder.glob("*_idx.npy"):
        if path.name.startswith(prefix):
            try:
                np.load(path, mmap_mode="r")
            except (ValueError, OSError):
                path.unlink()
