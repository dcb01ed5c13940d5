"""A SentencePiece vocabulary like Llama's and a byte-level one with tokens for turns, both tiny."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
import tokenizers

from llemma.core.text.tokenizers import Tokenizer, load_tokenizer

WORDS = "What is the sum of two primes? It is even unless one of them is 2. Problem: Solution: so we add. " * 30


@pytest.fixture(scope="session")
def llama_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.model of 400 pieces, byte fallback, a space before the first word, </s> to end documents."""
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.model"
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS]),
        model_writer=model,
        vocab_size=380,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def chat_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json of bytes, with <|im_start|>, <|im_end|> and <|endoftext|>."""
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    byte_tokens = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE(vocab={token: number for number, token in enumerate(byte_tokens)}, merges=[])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(path))
    return path


@pytest.fixture
def llama_tokenizer(llama_like: Path) -> Tokenizer:
    return load_tokenizer(llama_like)


@pytest.fixture
def chat_tokenizer(chat_like: Path) -> Tokenizer:
    return load_tokenizer(chat_like, "<|endoftext|>")
