"""Tokenizers: ids equal to the reference library's, and no text becomes a control id."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.text.probe import PROBE_TEXTS
from llemma.core.text.sentencepiece_model import PieceType, read_sentencepiece_model
from llemma.core.text.tokenizers import SentencePieceTokenizer, load_tokenizer

LITERALS = ("</s>", "<s>", "<unk>", "text</s>text", "</s></s> <s>", "<pad>", "<|endoftext|>")


def byte_level_json(path: Path, **changes: Any) -> Path:
    """A GPT-2-style byte-level tokenizer.json with <|endoftext|> as an added special token."""
    byte_tokens = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE(
        vocab={**{token: number for number, token in enumerate(byte_tokens)}, "th": 256, "the": 257},
        merges=[("t", "h"), ("th", "e")],
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|pad|>"])
    tokenizer.add_tokens(["  "])
    value = {**json.loads(tokenizer.to_str()), **changes}
    path.write_text(json.dumps(value))
    return path


def test_model_reader_agrees_with_sentencepiece_on_every_piece(llama_model: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(llama_model))
    model = read_sentencepiece_model(llama_model)
    assert len(model.pieces) == processor.vocab_size()
    for number, piece in enumerate(model.pieces):
        assert piece.text == processor.id_to_piece(number)
        assert piece.score == pytest.approx(processor.get_score(number))
        assert (piece.type == PieceType.CONTROL) == processor.is_control(number)
        assert (piece.type == PieceType.BYTE) == processor.is_byte(number)
    assert (model.unk_id, model.bos_id, model.eos_id, model.pad_id) == (0, 1, 2, -1)
    assert model.is_plain_bpe and model.byte_fallback and model.add_dummy_prefix


def test_sentencepiece_ids_are_those_of_the_library(llama_model: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(llama_model))
    tokenizer = load_tokenizer(llama_model)
    assert isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.engine == "native"
    wanted = processor.encode(list(PROBE_TEXTS))
    assert [ids.tolist() for ids in tokenizer.encode_batch(PROBE_TEXTS)] == wanted
    assert [tokenizer.encode(text) for text in PROBE_TEXTS] == wanted


@given(st.text(alphabet=st.sampled_from(list("ab theorm=_(1 2\n\t\r\u2581\u00e9\u4e2d\x00<s>/")), max_size=60))
@settings(max_examples=300, deadline=None)
def test_sentencepiece_ids_of_any_text_are_those_of_the_library(llama_model: Path, text: str) -> None:
    tokenizer = _cached(llama_model)
    assert tokenizer.encode(text) == tokenizer.encode_batch_reference([text])[0].tolist()


_TOKENIZERS: dict[Path, SentencePieceTokenizer] = {}


def _cached(path: Path) -> SentencePieceTokenizer:
    if path not in _TOKENIZERS:
        _TOKENIZERS[path] = SentencePieceTokenizer(path, None)
    return _TOKENIZERS[path]


@pytest.mark.parametrize(
    "changes",
    [
        {"split_by_whitespace": False},  # pieces with a space inside: no cut before spaces
        {"split_digits": False, "split_by_number": False, "split_by_unicode_script": False},
        {"add_dummy_prefix": False},
        {"user_defined_symbols": ["<sep>", "a b"]},
        {"treat_whitespace_as_suffix": True},
        {"remove_extra_whitespaces": True, "normalization_rule_name": "nmt_nfkc"},
        {"model_type": "unigram", "vocab_size": 340},
        {"byte_fallback": False, "vocab_size": 300},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_ids_equal_the_library_whatever_the_vocabulary_was_trained_with(
    train_vocabulary: Callable[..., Path], training_lines: list[str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = train_vocabulary(tmp_path / "tokenizer.model", **changes)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    texts = [*PROBE_TEXTS, *training_lines[:100], "\n".join(training_lines[:50]), "a b<sep>a b"]
    found = load_tokenizer(path).encode_batch(texts)
    assert [ids.tolist() for ids in found] == processor.encode(texts)


@pytest.mark.parametrize("text", LITERALS)
def test_literal_control_tokens_in_text_stay_text(llama_model: Path, tmp_path: Path, text: str) -> None:
    """GPT-NeoX and datatrove let a document that quotes `</s>` end in its middle."""
    spm = load_tokenizer(llama_model)
    byte_level = load_tokenizer(byte_level_json(tmp_path / "tokenizer.json"), eod="<|endoftext|>")
    for tokenizer in (spm, byte_level):
        ids = tokenizer.encode(f"a {text} b")
        assert tokenizer.eod_id not in ids and tokenizer.unk_id not in ids
        assert tokenizer.decode(ids) == f"a {text} b"
    assert not {0, 1, 2} & set(spm.encode(f"a {text} b"))


def test_llama_style_tokenizer_json_keeps_literals_as_text_even_where_merges_make_them(tmp_path: Path) -> None:
    """Merges generated from a whole vocabulary can spell out `</s>` although no added token matches it."""
    tokens = ["<unk>", "<s>", "</s>", "<", "/", "s", ">", "</", "s>", "\u2581", "a"]
    model = {
        "type": "BPE", "unk_token": "<unk>", "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": ["< /", "s >", "</ s>", "< s>"],
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    tokenizer = load_tokenizer(path, eod="</s>")
    assert tokenizer.eod_id == 2
    assert tokenizer.encode("a</s><s>a") == [10, 7, 8, 3, 8, 10]


def test_tokenizer_json_that_truncates_and_pads_does_neither_here(tmp_path: Path) -> None:
    """Many published tokenizer.json files hold the truncation they were last saved with."""
    path = byte_level_json(
        tmp_path / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>",
        },
    )  # fmt: skip
    tokenizer = load_tokenizer(path, eod="<|endoftext|>")
    assert len(tokenizer.encode("the the the the")) == 7
    assert [len(ids) for ids in tokenizer.encode_batch(["the the the the", "x"])] == [7, 1]


def test_tokenizer_json_keeps_added_tokens_that_are_not_special(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(byte_level_json(tmp_path / "tokenizer.json"), eod="<|endoftext|>")
    assert tokenizer.encode("a  b") == [tokenizer.encode("a")[0], 260, tokenizer.encode("b")[0]]
    assert tokenizer.vocab_size == 261


def test_end_of_document_is_never_the_unknown_token_and_never_guessed(llama_model: Path, tmp_path: Path) -> None:
    assert load_tokenizer(llama_model).eod_id == 2
    assert load_tokenizer(llama_model, eod="<s>").eod_id == 1
    assert load_tokenizer(llama_model, eod=2).eod_id == 2
    for eod, words in (("<unk>", "of kind 'unknown'"), (0, "of kind 'unknown'"), ("<|endoftext|>", "has no piece"),
                       (600, "from 0 to 599"), (-1, "from 0 to 599"), ("\u2581the", "text can become")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            load_tokenizer(llama_model, eod=eod)
    path = byte_level_json(tmp_path / "tokenizer.json")
    with pytest.raises(InputError, match=r"name it \(eod\).*<\|endoftext\|>"):
        load_tokenizer(path)
    for eod in ("</s>", 900):
        with pytest.raises(InputError, match="has no token"):
            load_tokenizer(path, eod=eod)


def test_user_defined_end_of_document_piece_is_refused(train_vocabulary: Callable[..., Path], tmp_path: Path) -> None:
    path = train_vocabulary(tmp_path / "tokenizer.model", user_defined_symbols=["<|end|>"])
    with pytest.raises(InputError, match="of kind 'user-defined', which text can become"):
        load_tokenizer(path, eod="<|end|>")


def test_vocabulary_whose_end_of_sentence_has_another_name_asks_for_the_end_of_document(
    train_vocabulary: Callable[..., Path], tmp_path: Path
) -> None:
    path = train_vocabulary(tmp_path / "tokenizer.model", eos_piece="<|end|>")
    with pytest.raises(InputError, match="end-of-document"):
        load_tokenizer(path)
    assert load_tokenizer(path, eod="<|end|>").eod_id == 2


def test_folder_is_read_by_the_file_it_holds(llama_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither"):
        load_tokenizer(tmp_path)
    byte_level_json(tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path, eod="<|endoftext|>").kind == "huggingface"
    (tmp_path / "tokenizer.model").write_bytes(llama_model.read_bytes())
    assert load_tokenizer(tmp_path).kind == "sentencepiece"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tokenizer.model", b""),
        ("tokenizer.model", b"hello world, this is no model"),
        ("tokenizer.model", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"[1, 2]"),
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}'),
        ("tokenizer.json", b'{"model": {"type": "Nonsense", "vocab": {"a": 0, "e": 1}}}'),
    ],
)
def test_file_that_is_no_tokenizer_is_reported_as_damaged(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DamagedFileError, match=name):
        load_tokenizer(tmp_path / name, eod="e")


def test_truncated_model_is_reported_as_damaged(llama_model: Path, tmp_path: Path) -> None:
    data = llama_model.read_bytes()
    for length in (10, len(data) // 2, len(data) - 3):
        (tmp_path / "tokenizer.model").write_bytes(data[:length])
        with pytest.raises(DamagedFileError):
            load_tokenizer(tmp_path / "tokenizer.model")


def test_missing_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        load_tokenizer(tmp_path / "tokenizer.model")
    (tmp_path / "vocab.txt").write_text("a")
    with pytest.raises(InputError, match=r"\.txt"):
        load_tokenizer(tmp_path / "vocab.txt")


def test_lone_surrogate_is_a_value_error_that_names_its_place(llama_model: Path, tmp_path: Path) -> None:
    for tokenizer in (load_tokenizer(llama_model), load_tokenizer(byte_level_json(tmp_path / "tokenizer.json"), 258)):
        with pytest.raises(ValueError, match="character 3"):
            tokenizer.encode_batch(["fine", "bad\ud800"])


def test_tokenizer_survives_pickling(llama_model: Path, tmp_path: Path) -> None:
    for tokenizer in (load_tokenizer(llama_model), load_tokenizer(byte_level_json(tmp_path / "tokenizer.json"), 258)):
        again = pickle.loads(pickle.dumps(tokenizer))
        assert again.eod_id == tokenizer.eod_id and again.sha256 == tokenizer.sha256
        assert np.array_equal(again.encode("the proof"), tokenizer.encode("the proof"))
