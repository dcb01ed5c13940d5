"""Byte-level tokenizers in machine code: the library's ids for each known regular expression, and for no other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from llemma.core.text import pretokens
from llemma.core.text.pieces import text_buffer
from llemma.core.text.probe import PROBE_TEXTS
from llemma.core.text.tokenizers import HuggingFaceTokenizer, load_tokenizer

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Source: the tokenizer.json files of Llama 3, Qwen 2.5, GPT-2 and (its last part) DeepSeek V3."""

EOD = "<|end_of_text|>"
Make = Callable[..., HuggingFaceTokenizer]


@pytest.fixture(scope="module")
def make(training_lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that trains a byte-level tokenizer.json and loads it; `changes` go into the file."""

    def train(pattern: str | None, added: tuple[str, ...] = (), **changes: Any) -> HuggingFaceTokenizer:
        engine = tokenizers.Tokenizer(models.BPE(ignore_merges=changes.pop("ignore_merges", False)))
        own = pattern is None
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own)
        engine.pre_tokenizer = (
            level if own else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), level])
        )
        engine.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        texts = [*training_lines, "don't we'll I'VE", "x²  ½\n\n\t é中 1234 56", "-- != =="] * 3
        trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=sorted(alphabet), show_progress=False)
        engine.train_from_iterator(texts, trainer)
        engine.add_special_tokens(["<|begin_of_text|>", EOD])
        engine.add_tokens(list(added))
        value = json.loads(engine.to_str())
        value["model"].update(changes.pop("model", {}))
        path = tmp_path_factory.mktemp("byte-level") / "tokenizer.json"
        path.write_text(json.dumps({**value, **changes}))
        return HuggingFaceTokenizer(path, EOD)

    return train


@pytest.fixture(scope="module")
def kinds(make: Make) -> dict[str, HuggingFaceTokenizer]:
    """One tokenizer of each known kind."""
    return {
        "llama 3": make(LLAMA3, ignore_merges=True),
        "qwen 2": make(QWEN2, ("<tool_call>",), normalizer={"type": "NFC"}),
        "gpt-2": make(GPT2),
        "gpt-2 as ByteLevel": make(None),
    }


def assert_equal_ids(tokenizer: HuggingFaceTokenizer, texts: list[str]) -> None:
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(texts)]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == wanted
    data, offsets = text_buffer(texts)
    batch = tokenizer.encode_buffer(data, offsets, np.int32, with_eod=True)
    assert [ids.tolist() for ids in batch.documents()] == [[*ids, tokenizer.eod_id] for ids in wanted]


CHARACTERS = list(
    "abT'sSltdDrReEvV 01½٣\n\r\t\v\x00.,-=<>|_(²é\u0301\u0344\u017f\u212a中\u1100\u1161\u00a0\u3000\u2028𝔸🧮"
)
FRAGMENTS = ["'ll", " the", "  ", "\r\n", "1234567", EOD, "<tool_call>", "<tool", "\u0f73", "=====", "x" * 140]


@given(st.lists(st.lists(st.sampled_from(CHARACTERS + FRAGMENTS), max_size=30).map("".join), max_size=4))
@settings(max_examples=150, deadline=None)
def test_ids_of_any_batch_are_those_of_the_library(kinds: dict[str, HuggingFaceTokenizer], texts: list[str]) -> None:
    for tokenizer in kinds.values():
        assert_equal_ids(tokenizer, texts)


@given(st.lists(st.text(max_size=30), max_size=4))
@settings(max_examples=100, deadline=None)
def test_ids_of_any_characters_are_those_of_the_library(
    kinds: dict[str, HuggingFaceTokenizer], texts: list[str]
) -> None:
    for tokenizer in kinds.values():
        assert_equal_ids(tokenizer, texts)


@pytest.mark.parametrize("kind", ["llama 3", "qwen 2", "gpt-2", "gpt-2 as ByteLevel"])
def test_known_kinds_are_encoded_natively_with_literal_special_tokens_as_text(
    kinds: dict[str, HuggingFaceTokenizer], training_lines: list[str], kind: str
) -> None:
    tokenizer = kinds[kind]
    assert tokenizer.engine == "native"
    assert_equal_ids(tokenizer, [*PROBE_TEXTS, *training_lines[:200], "\n".join(training_lines), ""])
    ids = tokenizer.encode(f"a {EOD} b{EOD}")
    assert tokenizer.eod_id not in ids
    assert tokenizer.decode(ids) == f"a {EOD} b{EOD}"


def test_every_character_has_the_class_that_the_library_gives_it(kinds: dict[str, HuggingFaceTokenizer]) -> None:
    """Python's Unicode tables are of another version than the library's regular expressions."""
    points = [p for p in range(0x20000) if not 0xD800 <= p < 0xE000] + [0x2FA1D, 0x323AF, 0xE0001, 0x10FFFF]
    random.Random(0).shuffle(points)
    text = "".join(f"{chr(p)}{'a1 .'[n % 4]}" for n, p in enumerate(points[:30_000]))
    for name in ("llama 3", "gpt-2"):
        assert_equal_ids(kinds[name], [text])


@pytest.mark.parametrize(
    "changes",
    [
        {"pattern": DEEPSEEK},
        {"pattern": LLAMA3, "normalizer": {"type": "Lowercase"}},
        {"pattern": LLAMA3, "model": {"dropout": 0.0, "byte_fallback": True}},
    ],
    ids=["DeepSeek's pattern", "lower-casing", "byte fallback"],
)
def test_other_kinds_are_left_to_the_library(make: Make, changes: dict[str, Any]) -> None:
    tokenizer = make(**changes)
    assert tokenizer.engine == "tokenizers"
    assert_equal_ids(tokenizer, ["don't Stop 1234 中文 x=1", "", EOD])


def test_documents_that_need_more_than_pieces_are_few_and_get_the_librarys_ids(
    kinds: dict[str, HuggingFaceTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text that NFC changes, and added tokens that are text, go to the library; what stands beside them does not."""
    tokenizer = kinds["qwen 2"]
    texts = ["plain é", "e\u0301 decomposed", "call <tool_call> now", "plain again", "", "\u212b", "the end"]
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(texts)]
    asked: list[str] = []
    native = tokenizer._native
    reference = native._reference
    monkeypatch.setattr(native, "_reference", lambda some: asked.extend(some) or reference(some))
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == wanted
    assert asked == [texts[1], texts[2], texts[5]]
    assert wanted[0] != wanted[1] and tokenizer.decode(wanted[1]) == "é decomposed"


def test_tokens_that_merging_cannot_make_are_found_whole_where_the_model_says_so(make: Make, tmp_path: Path) -> None:
    """Llama 3 has ignore_merges: a piece that is a token becomes it, whatever its merges would give."""
    tokenizer = make(LLAMA3, ignore_merges=True)
    value = json.loads(tokenizer.path.read_text())
    model = value["model"]
    for text in ("Ġtherefore", "Ġthe", "zz", "theoremtheoremtheorem"):
        model["vocab"].setdefault(text, len(model["vocab"]))
        model["merges"] = [merge for merge in model["merges"] if "".join(merge) != text]
    for number, added in enumerate(value["added_tokens"]):
        added["id"] = len(model["vocab"]) + number
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(value))
    changed = load_tokenizer(path, EOD)
    assert isinstance(changed, HuggingFaceTokenizer) and changed.engine == "native"
    texts = [" therefore the zz theoremtheoremtheorem", "the", " the", "zz zzz"]
    assert_equal_ids(changed, texts)
    assert changed.encode("zz") == [model["vocab"]["zz"]]
    assert changed.encode("theoremtheoremtheorem") == [model["vocab"]["theoremtheoremtheorem"]]
    changed._native._encoder.forget()
    assert_equal_ids(changed, texts)


def test_byte_characters_are_those_of_the_library() -> None:
    assert sorted(pretokens.byte_characters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(pretokens.byte_characters().values()) == list(range(256))


def test_vocabulary_of_over_65500_entries_makes_int32_tokens(make: Make, tmp_path: Path) -> None:
    tokenizer = make(LLAMA3)
    value = json.loads(tokenizer.path.read_text())
    size = len(value["model"]["vocab"]) + 2
    value["added_tokens"] += [
        {**value["added_tokens"][0], "id": size + n, "content": f"<|reserved_{n}|>"} for n in range(70_000 - size)
    ]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(value))
    large = HuggingFaceTokenizer(path, "<|reserved_0|>")
    assert large.vocab_size == 70_000 and large.engine == "native"
    data, offsets = text_buffer(["the sum <|reserved_0|>"])
    batch = large.encode_buffer(data, offsets, np.int32, with_eod=True)
    assert batch.tokens[-1] == large.eod_id == size and large.eod_id not in batch.tokens[:-1]
