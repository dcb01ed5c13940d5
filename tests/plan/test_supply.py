"""What an epoch is, for each way in which GPT-NeoX makes samples of documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.plan.compile import Request, compile_plan
from llemma.plan.supply import SourceSupply, packed_samples


def pack_as_neox(lengths: list[int], seq_length: int) -> list[list[int]]:
    """GPT-NeoX's loop over one pass (megatron/data/gpt2_dataset.py:298-345), which keeps the documents themselves."""
    samples: list[list[int]] = []
    running = 0
    for length in lengths:
        if running == 0:
            samples.append([length])
            running += length
        elif running + length > seq_length + 1:
            running = length
            samples.append([length])
        else:
            running += length
            samples[-1].append(length)
    return samples


@pytest.mark.parametrize("seq_length", [40, 64, 1000])
def test_packed_samples_are_as_many_as_neox_fills(seq_length: int) -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        lengths = random.integers(1, 90, 200).tolist()
        assert packed_samples(lengths, seq_length) == len(pack_as_neox(lengths, seq_length))


def test_samples_of_a_source_follow_its_packing() -> None:
    source = SourceSupply(name="tir", weight=1.0, tokens=42_000_000, documents=60_000)
    assert source.samples("packed", 1024) == 42_000_000 / 1024
    assert source.samples("unpacked", 1024) == 60_000
    assert source.samples("pack_until_overflow", 1024) == 60_000  # of 700 tokens each, one in a sequence
    assert source.samples("pack_until_overflow", 1400) == 30_000
    unknown = SourceSupply(name="x", weight=1.0, tokens=None, documents=None)
    assert {unknown.samples(packing, 1024) for packing in ("packed", "unpacked", "pack_until_overflow")} == {None}


def test_stage_of_epochs_over_whole_documents_is_long_enough_for_the_padding(
    tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    """Counted in tokens, three epochs of documents that do not fill their sequences used to end before the third."""
    data = make_data({"tasks": 6000}, document_tokens=60, beside=("labels",))
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        "title: T\nmodel: tiny\ntraining: smoke_cpu_sft\ncluster: cpu\nstart: checkpoint\nstages:\n"
        "- {name: one, objective: sft, seq_length: 100, epochs: 3, learning_rate: {shape: constant, peak: 1e-4}}\n"
    )
    stage = compile_plan(Request(recipe=str(recipe), data=data)).stages[0]
    assert stage.config.train_iters == 3 * 100 // 4  # 100 documents, one in a sequence, four sequences a step
    assert stage.sources[0].epochs == 3
