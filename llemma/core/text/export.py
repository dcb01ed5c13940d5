"""A SentencePiece BPE vocabulary as Hugging Face's tokenizer.json, proven to give the same ids.

    tokenizer.json             BPE with byte fallback; vocabulary and merges taken from the .model file itself
    tokenizer_config.json      PreTrainedTokenizerFast: transformers loads tokenizer.json as it stands.  Its own
                               LlamaTokenizer rebuilds the merges, and then differs on some texts.
    special_tokens_map.json    for transformers 4
    tokenizer.model            the vocabulary as it was given

Like Llama's, the tokenizer puts <s> in front of a text unless told not to (add_special_tokens=False).  Unlike
Llama's, a literal `</s>` in a text stays text (split_special_tokens), as in the training data.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError, WorkError
from llemma.core.files import atomic_path, write_json
from llemma.core.text.probe import PROBE_TEXTS, probe_equal_ids
from llemma.core.text.sentencepiece_model import SPACE, PieceType, SentencePieceModel, read_sentencepiece_model
from llemma.core.text.tokenizers import SentencePieceTokenizer

MAX_LENGTH = 1_000_000_000  # "no limit": how transformers writes it is a float that JSON readers disagree on
EXPORTED_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model")


def hf_tokenizer_files(model_path: str | Path, out: str | Path) -> None:
    """Writes the files named above into `out`. Nothing is written unless the ids are equal on all probe texts.

    Raises InputError if the vocabulary is not plain BPE with byte fallback, WorkError if the ids differ.
    """
    import tokenizers

    model_path, out = Path(model_path), Path(out)
    model = read_sentencepiece_model(model_path)
    if not model.is_plain_bpe or not model.byte_fallback:
        raise InputError(
            f"{model_path}: only BPE vocabularies with byte fallback and without normalization, as Llama's, "
            f"can be written as tokenizer.json; this one is {model.model_type}"
        )
    reference = SentencePieceTokenizer(model_path, None)
    texts = [*PROBE_TEXTS, *(piece.text.replace(SPACE, " ") for piece in model.pieces), *run_texts(model)]
    difference: WorkError | None = None
    for merges in (longest_left_first(model), shortest_left_first(model)):
        value = tokenizer_json(model, merges)
        engine = tokenizers.Tokenizer.from_str(_compact(value))
        engine.encode_special_tokens = True
        try:
            probe_equal_ids(reference.encode_batch_reference, _encoder(engine), texts)
        except WorkError as error:
            difference = difference or error
            continue
        break
    else:
        raise WorkError(f"{model_path}: no order of merges gives SentencePiece's ids: {difference}")
    write_json(out / "tokenizer.json", value)
    write_json(out / "tokenizer_config.json", tokenizer_config(model))
    write_json(out / "special_tokens_map.json", _special_tokens(model))
    target = out / "tokenizer.model"
    if not target.exists() or not target.samefile(model_path):
        with atomic_path(target) as temporary:
            shutil.copyfile(model_path, temporary)


def tokenizer_json(model: SentencePieceModel, merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The value of tokenizer.json."""
    normalizers: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if model.add_dummy_prefix:
        normalizers.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(model, number) for number in _added_ids(model)],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "post_processor": _bos_template(model),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": model.pieces[model.unk_id].text,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: number for number, piece in enumerate(model.pieces)},
            "merges": [list(merge) for merge in merges],
        },
    }


def tokenizer_config(model: SentencePieceModel) -> dict[str, Any]:
    """The value of tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **_special_tokens(model),
        "add_bos_token": model.bos_id >= 0,
        "add_eos_token": False,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LENGTH,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def longest_left_first(model: SentencePieceModel) -> list[tuple[str, str]]:
    """Merges in the order of the pieces they make; of two that make the same piece, the longer left part first.

    SentencePiece merges the leftmost of two equal candidates, Hugging Face the one that is listed first.  They meet
    in runs of one character, which grow from the left, so that the left part is the longer one.
    """
    return _merges(model, reverse=True)


def shortest_left_first(model: SentencePieceModel) -> list[tuple[str, str]]:
    """The other order of merges that make the same piece."""
    return _merges(model, reverse=False)


def run_texts(model: SentencePieceModel) -> list[str]:
    """Runs of each character that the vocabulary repeats, up to four times as long as its longest run, in company."""
    longest: dict[str, int] = {}
    for piece in model.pieces:
        if piece.type == PieceType.NORMAL and len(piece.text) > 1 and len(set(piece.text)) == 1:
            longest[piece.text[0]] = max(longest.get(piece.text[0], 0), len(piece.text))
    return [
        f"{left}{character.replace(SPACE, ' ') * length}{right}"
        for character, size in longest.items()
        for length in range(1, 4 * size + 1)
        for left, right in (("", ""), ("x", "x"), ("\n", "if"), ("1", ")"))
    ]


def _merges(model: SentencePieceModel, *, reverse: bool) -> list[tuple[str, str]]:
    mergeable = {piece.text: piece.score for piece in model.pieces if piece.type == PieceType.NORMAL}
    found: list[tuple[float, int, str, str]] = []
    for text, score in mergeable.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in mergeable and right in mergeable:
                found.append((-score, -cut if reverse else cut, left, right))
    found.sort()
    return [(left, right) for _, _, left, right in found]


def _added_ids(model: SentencePieceModel) -> list[int]:
    kinds = (PieceType.UNKNOWN, PieceType.CONTROL, PieceType.USER_DEFINED)
    return [number for number, piece in enumerate(model.pieces) if piece.type in kinds]


def _added_token(model: SentencePieceModel, number: int) -> dict[str, Any]:
    piece = model.pieces[number]
    return {
        "id": number,
        "content": piece.text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": piece.type != PieceType.USER_DEFINED,
    }


def _special_tokens(model: SentencePieceModel) -> dict[str, str]:
    names = {"bos_token": model.bos_id, "eos_token": model.eos_id, "unk_token": model.unk_id, "pad_token": model.pad_id}
    return {name: model.pieces[number].text for name, number in names.items() if 0 <= number < len(model.pieces)}


def _bos_template(model: SentencePieceModel) -> dict[str, Any] | None:
    """What puts <s> in front of each text."""
    if model.bos_id < 0:
        return None
    bos = model.pieces[model.bos_id].text
    begin = [{"SpecialToken": {"id": bos, "type_id": number}} for number in (0, 1)]
    text = [{"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB")]
    return {
        "type": "TemplateProcessing",
        "single": [begin[0], text[0]],
        "pair": [begin[0], text[0], begin[1], text[1]],
        "special_tokens": {bos: {"id": bos, "ids": [model.bos_id], "tokens": [bos]}},
    }


def _compact(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _encoder(engine: Any) -> Callable[[Sequence[str]], list[list[int]]]:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in engine.encode_batch_fast(list(texts), add_special_tokens=False)]

    return encode
