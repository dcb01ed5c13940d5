"""A little data build and a little checkpoint on disk, real in every file that the planner reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.files import sha256_file
from llemma.core.indexed.writer import IndexedWriter
from llemma.core.schemas import CompanionShard, Mixture, MixtureSource, Shard, TokenizerInfo


def write_shard(prefix: Path, root: Path, documents: list[np.ndarray], dtype: type) -> CompanionShard:
    """Writes documents as a .bin/.idx pair under a build's root."""
    with IndexedWriter(prefix, dtype) as writer:
        for document in documents:
            writer.add_document(document)
    return CompanionShard(
        path=str(prefix.relative_to(root)),
        num_documents=len(documents),
        num_tokens=sum(map(len, documents)),
        bin_sha256=sha256_file(f"{prefix}.bin"),
        idx_sha256=sha256_file(f"{prefix}.idx"),
    )


def write_companion(field: str, prefix: Path, root: Path, lengths: list[int]) -> CompanionShard:
    """What goes with the documents of so many tokens: labels that mask the first half, rewards by turns 1 and -1."""
    place = prefix.with_name(f"{prefix.name}_{field}")
    if field == "rewards":
        numbers = [np.array([1 - 2 * (n % 2)]) for n in range(len(lengths))]
        return write_shard(place, root, numbers, np.int32)
    if field == "rejected":
        return write_shard(place, root, [np.arange(n) % 7 for n in lengths], np.uint16)
    labels = [np.where(np.arange(n) < n // 2, -100, np.arange(n) % 7) for n in lengths]
    return write_shard(place, root, labels, np.int32)


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Path]:
    """Writes shards of so many training tokens a source and returns the path of their mixture.json."""

    def make(
        num_tokens: dict[str, int] | None = None,
        vocab_size: int = 4096,
        name: str = "data",
        document_tokens: int | None = None,
        beside: tuple[str, ...] = (),
    ) -> Path:
        root = tmp_path / name
        tokenizer = root / "tokenizer" / "tokenizer.model"
        tokenizer.parent.mkdir(parents=True)
        tokenizer.write_bytes(b"not opened by the planner, only hashed")
        wanted = num_tokens or {"arxiv": 60_000, "web": 120_000}
        sources = []
        for source, count in wanted.items():
            shards = {}
            for split, size in (("train", count), ("validation", 600), ("test", 0)):
                prefix = root / "data" / source / split
                lengths = [
                    min(document_tokens or size, size - at) for at in range(0, size, document_tokens or size or 1)
                ]
                written = write_shard(prefix, root, [np.arange(n) % vocab_size for n in lengths], np.uint16)
                companions = {field: write_companion(field, prefix, root, lengths) for field in beside}
                shards[split] = Shard(**written.model_dump(), **companions)
            weight = 1 / len(wanted)
            sources.append(MixtureSource(name=source, group="all", weight=weight, epochs=1.0, splits=shards))
        mixture = Mixture(
            name="little",
            tokenizer=TokenizerInfo(
                kind="sentencepiece",
                path="tokenizer/tokenizer.model",
                sha256=sha256_file(tokenizer),
                vocab_size=vocab_size,
                eod_id=2,
                dtype="uint16",
            ),
            planned_tokens=1_000_000,
            sources=tuple(sources),
        )
        mixture.write(root / "mixture.json")
        return root / "mixture.json"

    return make


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    """mixture.json of a little build."""
    return make_data()


TINY_HF = {
    "model_type": "llama",
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "intermediate_size": 512,
    "vocab_size": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Hugging Face folder of the shipped tiny model; keywords change its config.json."""

    def make(name: str = "start", **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
        (folder / "config.json").write_text(json.dumps({**TINY_HF, **rope, **changes}))
        (folder / "model.safetensors").write_bytes(b"not opened by the planner")
        return folder

    return make


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A Hugging Face folder that fits the shipped demo."""
    return make_checkpoint()
