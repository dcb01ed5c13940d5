"""tokenizer.json made from a SentencePiece vocabulary: transformers loads it and gives the same ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece

from llemma.core.errors import InputError, WorkError
from llemma.core.text.export import EXPORTED_FILES, hf_tokenizer_files
from llemma.core.text.probe import PROBE_TEXTS, probe_equal_ids
from llemma.core.text.tokenizers import load_tokenizer


@pytest.fixture(scope="module")
def exported(llama_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    hf_tokenizer_files(llama_model, out)
    # An exported model's folder holds a config too, and AutoTokenizer reads it.
    (out / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    return out


def test_autotokenizer_gives_sentencepiece_ids_with_bos_in_front(exported: Path, llama_model: Path) -> None:
    from transformers import AutoTokenizer

    processor = sentencepiece.SentencePieceProcessor(model_file=str(llama_model))
    tokenizer = AutoTokenizer.from_pretrained(exported)
    texts = [*PROBE_TEXTS, *(processor.id_to_piece(i).replace("\u2581", " ") for i in range(600))]
    wanted = processor.encode(texts)
    assert tokenizer(texts, add_special_tokens=False)["input_ids"] == wanted
    assert tokenizer(texts)["input_ids"] == [[1, *ids] for ids in wanted]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (1, 2, 0)
    assert len(tokenizer) == 600
    for text in ("  indented\n    text = 1", "naïve ∀x", "the sum"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.decode([1, 300, 2], skip_special_tokens=True) == processor.decode([300])


def test_slow_reference_agrees_on_long_mixed_documents(
    exported: Path, llama_model: Path, training_lines: list[str]
) -> None:
    hf = load_tokenizer(exported / "tokenizer.json", eod="</s>")
    spm = load_tokenizer(llama_model)
    lines = training_lines[:400]
    documents = ["\n".join(lines[start : start + 40]) for start in range(0, 400, 40)]
    documents += [Path(__file__).read_text(encoding="utf-8"), Path(json.__file__).read_text(encoding="utf-8")]
    probe_equal_ids(spm.encode_batch, hf.encode_batch, documents)
    assert hf.eod_id == spm.eod_id and hf.unk_id == 0 and hf.vocab_size == spm.vocab_size


def test_export_writes_the_same_bytes_again_and_keeps_the_vocabulary(
    exported: Path, llama_model: Path, tmp_path: Path
) -> None:
    hf_tokenizer_files(llama_model, tmp_path)
    for name in EXPORTED_FILES:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()
    assert (tmp_path / "tokenizer.model").read_bytes() == llama_model.read_bytes()
    hf_tokenizer_files(tmp_path / "tokenizer.model", tmp_path)  # onto itself
    assert (tmp_path / "tokenizer.model").read_bytes() == llama_model.read_bytes()


def test_vocabulary_of_another_kind_is_refused_and_nothing_is_written(
    train_vocabulary: Callable[..., Path], tmp_path: Path
) -> None:
    path = train_vocabulary(tmp_path / "unigram.model", model_type="unigram", vocab_size=340)
    with pytest.raises(InputError, match="unigram"):
        hf_tokenizer_files(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_probe_reports_the_text_and_place_of_the_first_difference() -> None:
    def a(texts):
        return [[ord(c) for c in text] for text in texts]

    def b(texts):
        return [[ord(c) for c in text.replace("z", "y")] for text in texts]

    probe_equal_ids(a, a, ["x", "yz"])
    with pytest.raises(WorkError, match=r"'yz': at token 1 \[122\] and \[121\]"):
        probe_equal_ids(a, b, ["x", "yz"])
