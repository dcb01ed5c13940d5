"""The tokenizer that a build trains: Llama's settings, the same bytes every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llemma.core.errors import WorkError
from llemma.core.steps import InputFile, Task, TaskRecord
from llemma.core.text.sentencepiece_model import PieceType, read_sentencepiece_model
from llemma.core.text.tokenizers import load_tokenizer
from proof_pile.tokenize.training import MAX_DOCUMENT_BYTES, MAX_LINE_CHARS, TrainingSample

FUNCTION = "proof_pile.tokenize.training:run"
Documents = Callable[..., InputFile]
Run = Callable[..., list[TaskRecord]]


def test_trained_vocabulary_has_llamas_layout(small_tokenizer: Path) -> None:
    model = read_sentencepiece_model(small_tokenizer / "tokenizer.model")
    assert len(model.pieces) == 460
    assert [piece.text for piece in model.pieces[:3]] == ["<unk>", "<s>", "</s>"]
    assert [piece.text for piece in model.pieces[3:259]] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert model.is_plain_bpe and model.byte_fallback and model.add_dummy_prefix and model.pad_id == -1
    normal = [piece.text for piece in model.pieces if piece.type == PieceType.NORMAL]
    assert not any(len(text) > 1 and any(c.isdigit() for c in text) for text in normal)
    assert not any("\n" in text for text in normal)
    tokenizer = load_tokenizer(small_tokenizer)
    assert tokenizer.eod_id == 2
    assert tokenizer.decode(tokenizer.encode("  lemma\n\tx = 2024")) == "  lemma\n\tx = 2024"


def test_training_twice_gives_the_same_bytes(
    small_rows: list[Any], write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    documents = write_documents(tmp_path / "a.parquet", small_rows)
    again = write_documents(tmp_path / "b.parquet", small_rows, row_group_size=7)
    hashes = []
    for number, file in enumerate((documents, again)):
        [record] = run_step(tmp_path / str(number), FUNCTION, [Task(inputs=(file,))], vocab_size=400, max_bytes=20_000)
        hashes.append({output.name: output.sha256 for output in record.outputs})
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


def test_sample_takes_training_documents_only_and_about_as_much_as_asked(
    small_rows: list[Any], write_documents: Documents, tmp_path: Path
) -> None:
    files = [Path(write_documents(tmp_path / "a.parquet", small_rows).path)]
    everything = TrainingSample(files, max_bytes=10**9, seed=0, split="train")
    wanted = {line for row in small_rows if row.split == "train" for line in row.text.split("\n") if line.strip()}
    assert set(everything.lines()) == wanted
    assert everything.num_bytes == sum(len(row.text.encode()) for row in small_rows if row.split == "train")
    assert everything.num_documents == sum(row.split == "train" for row in small_rows)
    half = TrainingSample(files, max_bytes=everything.num_bytes // 2, seed=0, split="train")
    lines = set(half.lines())
    assert lines < wanted
    assert 0.3 < half.num_bytes / everything.num_bytes < 0.7
    other = TrainingSample(files, max_bytes=everything.num_bytes // 2, seed=1, split="train")
    assert set(other.lines()) != lines


def test_long_lines_are_cut_and_long_documents_end_early(
    small_rows: list[Any], write_documents: Documents, tmp_path: Path
) -> None:
    row = dataclasses.replace(small_rows[0], text="é" * 10_000 + "\n\n  \nwith\0nul\nend\r\n" + "x y " * 100_000)
    file = write_documents(tmp_path / "a.parquet", [dataclasses.replace(row, split="train")])
    sample = TrainingSample([Path(file.path)], max_bytes=10**9, seed=0, split="train")
    lines = list(sample.lines())
    assert sample.num_bytes <= MAX_DOCUMENT_BYTES
    assert max(map(len, lines)) == MAX_LINE_CHARS
    assert lines[:4] == ["é" * MAX_LINE_CHARS, "é" * MAX_LINE_CHARS, "é" * (10_000 - 2 * MAX_LINE_CHARS), "end"]
    assert "".join(lines[4:]) == ("x y " * 100_000)[: sum(map(len, lines[4:]))]


def test_too_little_text_says_what_to_change(
    small_rows: list[Any], write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    few = write_documents(tmp_path / "few.parquet", small_rows[:3])
    with pytest.raises(WorkError, match=r"30000 pieces \(at most \d+\): give more text or a smaller vocab_size"):
        run_step(tmp_path, FUNCTION, [Task(inputs=(few,))], vocab_size=30_000)
    none = write_documents(tmp_path / "none.parquet", [row for row in small_rows if row.split == "test"])
    with pytest.raises(WorkError, match="no text in the split 'train'"):
        run_step(tmp_path, FUNCTION, [Task(inputs=(none,))], vocab_size=400)


def test_vocabulary_without_room_for_the_characters_asks_for_a_larger_one(
    small_rows: list[Any], write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    """It asked for a smaller vocab_size, which could only make it worse."""
    rows = write_documents(tmp_path / "rows.parquet", small_rows)
    with pytest.raises(WorkError, match=r"of 260 pieces has no room .* give a vocab_size above (\d+)") as caught:
        run_step(tmp_path, FUNCTION, [Task(inputs=(rows,))], vocab_size=260)
    enough = int(str(caught.value).split()[-1]) + 1
    run_step(tmp_path, FUNCTION, [Task(inputs=(rows,))], vocab_size=enough)
