"""Small vocabularies, trained on the spot."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = """theorem lemma proof by induction on n we have the sum of all natural numbers below is even therefore
def return import numpy as np for x in range if else while print matrix vector group ring field integral"""


@pytest.fixture(scope="session")
def training_lines() -> list[str]:
    """Lines of words, numbers, signs and indentation, the same in every run."""
    words = WORDS.split()
    lines = []
    for number in range(1500):
        picked = [words[(number * step + step * step) % len(words)] for step in range(1, 9)]
        indent = " " * (4 * (number % 4))
        lines.append(
            f"{indent}{' '.join(picked)} = {number * 37 % 1000} + x_{number % 7} -> \\alpha ({picked[0]}) ====="
        )
    return lines


@pytest.fixture(scope="session")
def train_vocabulary(training_lines: list[str]) -> Callable[..., Path]:
    """A function that writes a .model file with Llama's settings, except for those given."""
    import sentencepiece

    def train(path: Path, **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "model_type": "bpe", "vocab_size": 600, "byte_fallback": True, "split_digits": True,
            "normalization_rule_name": "identity", "add_dummy_prefix": True, "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True, "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1,
            "num_threads": 1, "minloglevel": 2, **changes,
        }  # fmt: skip
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(training_lines), model_writer=model, **settings)
        path.write_bytes(model.getvalue())
        return path

    return train


@pytest.fixture(scope="session")
def llama_model(train_vocabulary: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama-style .model of 600 pieces."""
    return train_vocabulary(tmp_path_factory.mktemp("vocabulary") / "tokenizer.model")
