"""Index maps are taken up for the documents that they were made of, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from neox_runs import call_inside, needs_neox

from llemma.neox_engine.repairs.index_maps import content_hash, drop_unreadable, named_by_content

SIZES = np.arange(10, 20, dtype=np.int32)


def cached_map(
    name: str, data_prefix: str, documents: Any, sizes: Any, label_dataset: Any, *args: Any, **kwargs: Any
) -> Any:
    """GPT-NeoX's way with its cache (megatron/data/gpt2_dataset.py:209): what the name says is what is there."""
    path = Path(f"{data_prefix}_{name}_indexmap_doc_idx.npy")
    if not path.is_file():
        np.save(path, documents)
    return np.load(path, mmap_mode="r").tolist()


def test_map_of_another_split_is_taken_up_and_with_the_repair_is_not(tmp_path: Path) -> None:
    prefix = str(tmp_path / "text")
    first, second = np.arange(0, 9, dtype=np.int32), np.arange(0, 5, dtype=np.int32)
    assert cached_map("train", prefix, first, SIZES, None) == cached_map("train", prefix, second, SIZES, None)
    mended = named_by_content(cached_map)
    assert mended("train", prefix, first, SIZES, None) == first.tolist()
    assert mended("train", prefix, second, SIZES, None) == second.tolist()
    before = sorted(tmp_path.iterdir())
    assert mended("train", prefix, first, SIZES, None) == first.tolist()
    assert sorted(tmp_path.iterdir()) == before  # the right one is found again


def test_content_hash_changes_with_documents_lengths_and_labels(tmp_path: Path) -> None:
    documents = np.arange(9, dtype=np.int32)
    for name, text in (("a", b"1"), ("b", b"2")):
        (tmp_path / f"{name}.bin").write_bytes(text)
    labels = [None, *(SimpleNamespace(_path=str(tmp_path / name)) for name in "ab")]
    longer = SIZES.copy()
    longer[3] += 1
    hashes = {content_hash(documents, SIZES, label) for label in labels}
    hashes |= {content_hash(documents[:8], SIZES, None), content_hash(documents, longer, None)}
    assert len(hashes) == 5
    assert content_hash(documents.astype(np.int64), SIZES, None) in hashes


def test_map_that_was_left_half_written_is_built_again(tmp_path: Path) -> None:
    mended, prefix = named_by_content(cached_map), str(tmp_path / "text")
    documents = np.arange(9, dtype=np.int32)
    mended("train", prefix, documents, SIZES, None)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="mmap"):
        np.load(path, mmap_mode="r")
    assert mended("train", prefix, documents, SIZES, None) == documents.tolist()
    assert path.read_bytes() == whole


def test_unreadable_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("other_train_doc_idx.npy", "text_train_doc_idx.txt"):
        (tmp_path / name).write_bytes(b"")
    drop_unreadable(tmp_path, "text_train")
    assert len(list(tmp_path.iterdir())) == 2


@needs_neox
def test_neox_takes_up_a_map_of_another_split_and_with_the_repair_does_not(
    make_run: Callable[..., Path], tmp_path: Path, little_data: Path
) -> None:
    body = """
from megatron.data.data_utils import build_train_valid_test_datasets
for split in ("90,10,0", "50,50,0"):
    train = build_train_valid_test_datasets(
        values["prefix"], True, "mmap", "packed", True, split, [20, 2, 0], [None] * 3, 64, 1, True
    )[0]
    found[split] = int(max(train.doc_idx))
"""
    source = little_data.parent / "data/only/train"
    for name in ("upstream", "mended"):
        for suffix in (".bin", ".idx"):
            (tmp_path / f"{name}{suffix}").symlink_to(f"{source}{suffix}")
    run = make_run()
    # 40 documents: with half of them none above 19 belongs to the training split.
    assert call_inside(run, body, prefix=str(tmp_path / "upstream")) == {"90,10,0": 35, "50,50,0": 35}
    mended = call_inside(run, body, ["index-maps"], prefix=str(tmp_path / "mended"))
    assert mended == {"90,10,0": 35, "50,50,0": 19}
