"""A model small enough to be asked for real in a test, and local copies of data sets in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two narrow layers with random weights, on a byte-level tokenizer without merges."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two problems of each MATH subset and three of GSM8K, in the documented layout and of our own writing."""
    from eval_tasks.benchmarks import MATH_SUBSETS

    folder = tmp_path_factory.mktemp("data")
    for number, subset in enumerate(MATH_SUBSETS):
        rows = [
            {
                "problem": f"What is ${number} + 5$?",
                "solution": rf"It is $\boxed{{{number + 5}}}$.",
                "level": "Level 1",
            },
            {"problem": f"Halve ${number}$.", "solution": rf"It is $\boxed{{\frac{{{number}}}{{2}}}}$."},
        ]
        _write_lines(folder / "minerva_math" / f"{subset}.jsonl", rows)
    rows = [
        {
            "question": f"A cook has {n} eggs and buys 1,000 more. How many are there?",
            "answer": f"Add.\n#### {n + 1000:,}",
        }
        for n in (3, 14, 159)
    ]
    _write_lines(folder / "gsm8k" / "main" / "test.jsonl", rows)
    return folder


def _write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
