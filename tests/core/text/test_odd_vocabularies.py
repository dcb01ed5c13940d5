"""Vocabularies that nobody trains but anyone can hand in: the ids are the library's, by whichever engine."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from llemma.core.errors import InputError
from llemma.core.text.pieces import text_buffer
from llemma.core.text.tokenizers import Tokenizer, load_tokenizer

EOD = "<|endoftext|>"


def with_pieces(model: bytes, pieces: dict[str, float]) -> bytes:
    """A .model with more pieces: protocol buffers that stand one after the other are one."""
    for text, score in pieces.items():
        data = text.encode()
        body = b"\x0a" + bytes([len(data)]) + data + b"\x15" + struct.pack("<f", score)
        model += b"\x0a" + bytes([len(body)]) + body
    return model


def byte_level(path: Path, merges: list[str], **changes: Any) -> Path:
    """A byte-level tokenizer.json with these merges, `changes` of its model, and EOD as its special token."""
    vocabulary = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for merge in merges:
        vocabulary.setdefault(merge.replace(" ", ""), len(vocabulary))
    added = {"id": vocabulary.get(EOD, len(vocabulary)), "content": EOD, "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    value = {
        "version": "1.0",
        "added_tokens": [{**added, **flags}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }
    value["model"].update(changes.pop("model", {}))
    path.write_text(json.dumps({**value, **changes}))
    return path


def assert_ids_of_library(tokenizer: Tokenizer, texts: list[str]) -> None:
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(texts)]
    data, offsets = text_buffer(texts)
    batch = tokenizer.encode_buffer(data, offsets, np.int32, with_eod=True)
    assert [ids.tolist() for ids in batch.documents()] == [[*ids, tokenizer.eod_id] for ids in wanted]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == wanted


@pytest.mark.parametrize("scores", [(-0.0, 0.0), (0.0, -0.0), (-0.5, -0.5), (float("nan"), -0.5)])
def test_scores_that_sentencepiece_orders_in_its_own_way_are_left_to_it(
    llama_model: Path, tmp_path: Path, scores: tuple[float, float]
) -> None:
    """It puts 0.0 before -0.0, we took them for equal, and no text of the proof told the two apart."""
    path = tmp_path / "tokenizer.model"
    pieces = {"ααβ": scores[0], "αβ": 5.0, "αββ": scores[1], "β": -1.0}
    path.write_bytes(with_pieces(llama_model.read_bytes(), pieces))
    assert_ids_of_library(load_tokenizer(path), ["ααββαβα", "αα", "the proof of ααββ\nis αβ", "ααββα" * 30, ""])


def test_merge_that_is_listed_twice_counts_from_its_later_place(tmp_path: Path) -> None:
    """The earlier place was taken, and the proof did not see it: no text of it held what the merges were about."""
    path = byte_level(tmp_path / "tokenizer.json", ["q z", "z j", "x w", "q z"])
    tokenizer = load_tokenizer(path, EOD)
    assert tokenizer.engine == "native"
    ids = json.loads(path.read_text())["model"]["vocab"]
    assert tokenizer.encode_batch(["qzj"])[0].tolist() == [ids["q"], ids["zj"]]
    assert_ids_of_library(tokenizer, ["qzj qz zj xw", "qzqzj"])


def test_proof_tries_every_entry_of_a_byte_level_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a merge that no probe text needs must cost speed, not ids."""
    from llemma.core.text import pretokens

    right = pretokens.hash_table
    monkeypatch.setattr(pretokens, "hash_table", lambda keys, values: right(keys[:-1], values[:-1]))
    tokenizer = load_tokenizer(byte_level(tmp_path / "tokenizer.json", ["x w", "q z", "qz j"]), EOD)
    assert tokenizer.engine == "tokenizers"
    assert_ids_of_library(tokenizer, ["qzj", "xw"])


def test_engine_of_the_library_gives_the_same_ids(llama_model: Path, tmp_path: Path) -> None:
    path = byte_level(tmp_path / "tokenizer.json", ["t h", "th e"])
    for fast, slow in (
        (load_tokenizer(llama_model), load_tokenizer(llama_model, native=False)),
        (load_tokenizer(path, EOD), load_tokenizer(path, EOD, native=False)),
    ):
        assert (fast.engine, slow.engine != "native") == ("native", True)
        texts = ["the theorem", "", f"a{EOD}</s>"]
        assert [ids.tolist() for ids in fast.encode_batch(texts)] == [ids.tolist() for ids in slow.encode_batch(texts)]


def test_control_token_that_a_whole_text_becomes_is_refused(tmp_path: Path) -> None:
    """With ignore_merges a piece that is a token becomes it: a text that is nothing but `</s>` was a control id."""
    merges = ["< /", "s >", "</ s>"]
    whole = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    path = byte_level(tmp_path / "tokenizer.json", merges, model={"ignore_merges": True}, pre_tokenizer=whole)
    for eod in (EOD, "</s>"):
        with pytest.raises(InputError, match=r"that holds '</s>' becomes the id 258, "):
            load_tokenizer(path, eod)
    path = byte_level(tmp_path / "tokenizer.json", merges, pre_tokenizer=whole)
    tokenizer = load_tokenizer(path, "</s>")
    assert tokenizer.eod_id == 258 and 258 not in tokenizer.encode("</s>")


def test_vocabulary_of_tiktoken_is_named_as_such(tmp_path: Path) -> None:
    """Llama 3's tokenizer.model is one: it was "not a SentencePiece model (unknown kind of field 7 at byte 1)"."""
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"IQ== 0\nIg== 1\nIw== 2\nIHRoZQ== 3\n")
    with pytest.raises(InputError, match=r"vocabulary of tiktoken .* give the tokenizer\.json"):
        load_tokenizer(path)
