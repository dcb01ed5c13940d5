"""Encoding and merging: the shards hold exactly the documents, whatever the files they came in."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece

from llemma.core.errors import DamagedFileError, InputError, WorkError
from llemma.core.files import sha256_file
from llemma.core.indexed import IndexedReader
from llemma.core.steps import InputFile, Task, TaskRecord
from llemma.core.text.tokenizers import SentencePieceTokenizer
from proof_pile.tokenize import encode, merge, shards
from proof_pile.tokenize.encode import shard_files
from proof_pile.tokenize.merge import merge_tasks, publish

Run = Callable[..., list[TaskRecord]]
Documents = Callable[..., InputFile]
ENCODE, MERGE = "proof_pile.tokenize.encode:run", "proof_pile.tokenize.merge:run"


@pytest.fixture(scope="module")
def vocabulary(small_tokenizer: Path) -> InputFile:
    path = small_tokenizer / "tokenizer.model"
    return InputFile(path=str(path), sha256=sha256_file(path))


def build(
    rows: list[Any], cuts: list[int], root: Path, vocabulary: InputFile, write: Documents, run: Run, **params: Any
) -> Path:
    """The published data of rows that come in several files."""
    root.mkdir()
    bounds = [0, *cuts, len(rows)]
    files = [
        write(root / f"{number}.parquet", rows[start:stop])
        for number, (start, stop) in enumerate(itertools.pairwise(bounds))
    ]
    encoded = run(root, ENCODE, [Task(inputs=(file, vocabulary)) for file in files], **params)
    publish(run(root, MERGE, merge_tasks(encoded), **params), root / "out")
    return root / "out" / "data"


def test_shards_hold_every_document_with_its_end_in_order(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    data = build(small_rows, [50, 51, 120], tmp_path / "a", vocabulary, write_documents, run_step)
    processor = sentencepiece.SentencePieceProcessor(model_file=vocabulary.path)
    for source in ("papers", "code"):
        for split in ("train", "validation", "test"):
            rows = [row for row in small_rows if (row.source, row.split) == (source, split)]
            reader = IndexedReader(data / source / split)
            assert reader.dtype == np.uint16
            found = [reader.get(number).tolist() for number in range(len(reader))]
            assert found == [[*processor.encode(row.text), 2] for row in rows]
            side = pq.read_table(data / source / f"{split}.documents.parquet").to_pylist()
            assert side == [
                {"id": row.id.hex(), "source": source, "name": row.name, "num_tokens": len(tokens)}
                for row, tokens in zip(rows, found, strict=True)
            ]
    assert sorted(path.name for path in data.iterdir()) == ["code", "papers"]


@pytest.mark.parametrize("shuffle_seed", [None, 0])
def test_tokens_do_not_depend_on_how_documents_were_cut_into_files(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path,
    shuffle_seed: int | None,
) -> None:  # fmt: skip
    params = {"shuffle_seed": shuffle_seed}
    one = build(small_rows, [], tmp_path / "one", vocabulary, write_documents, run_step, **params)
    many = build(small_rows, [10, 90, 95, 179], tmp_path / "many", vocabulary, write_documents, run_step, **params)
    names = [path.relative_to(one) for path in sorted(one.rglob("*")) if path.suffix in (".bin", ".idx")]
    assert len(names) == 12
    for name in names:
        assert (one / name).read_bytes() == (many / name).read_bytes()


def documents_of(data: Path, source: str, split: str) -> dict[str, list[int]]:
    """Tokens of each document by id, in the order in which they lie."""
    reader = IndexedReader(data / source / split)
    side = pq.read_table(data / source / f"{split}.documents.parquet").to_pylist()
    assert [row["num_tokens"] for row in side] == reader.sizes.tolist()
    return {row["id"]: reader.get(number).tolist() for number, row in enumerate(side)}


def test_shuffled_shards_hold_the_same_documents_in_an_order_of_ids_and_seed_alone(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The order is the same whatever comes in first, however the shards lie, and out of memory or out of files."""
    plain = build(small_rows, [60], tmp_path / "plain", vocabulary, write_documents, run_step)
    first = build(small_rows, [60], tmp_path / "a", vocabulary, write_documents, run_step, shuffle_seed=7)
    monkeypatch.setattr(shards, "_MEMORY_BYTES", 500)
    monkeypatch.setattr(shards, "_GATHER_TOKENS", 1000)
    monkeypatch.setattr(encode, "_BATCH_BYTES", 1000)
    monkeypatch.setattr(merge, "PART_TOKENS", 777)
    turned = [*small_rows[90:], *reversed(small_rows[:90])]
    second = build(turned, [3, 100], tmp_path / "b", vocabulary, write_documents, run_step, shuffle_seed=7)
    other = build(small_rows, [60], tmp_path / "c", vocabulary, write_documents, run_step, shuffle_seed=8)
    for source, split in itertools.product(("papers", "code"), ("train", "validation", "test")):
        wanted, found = (documents_of(data, source, split) for data in (plain, first))
        assert found == wanted
        for suffix in merge.SHARD_SUFFIXES[:2]:
            name = f"{source}/{split}{suffix}"
            assert (first / name).read_bytes() == (second / name).read_bytes()
        tables = [pq.read_table(data / source / f"{split}.documents.parquet") for data in (first, second)]
        assert tables[0].equals(tables[1])
        assert documents_of(other, source, split) == wanted
    orders = [list(documents_of(data, "papers", "train")) for data in (plain, first, other)]
    assert len({tuple(order) for order in orders}) == 3
    assert not list(tmp_path.rglob("*unsorted*"))


def test_shuffled_order_is_an_even_one() -> None:
    """Ids that count upwards, the worst there are, spread evenly over the whole range of keys."""
    ids = np.arange(40_000, dtype="<u8").repeat(2).reshape(-1, 2).view(np.uint8).reshape(-1, 16)
    keys = shards.shuffle_keys(ids, 0)
    assert len(np.unique(keys)) == len(keys)
    counts, _ = np.histogram(keys / 2**64, bins=20, range=(0, 1))
    assert counts.min() > 1800 and counts.max() < 2200
    places = np.argsort(keys)
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.02
    assert not np.array_equal(places, np.argsort(shards.shuffle_keys(ids, 1)))


def test_merging_refuses_a_shard_that_was_not_shuffled(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    file = write_documents(tmp_path / "a.parquet", small_rows)
    [record] = run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])
    with pytest.raises(DamagedFileError, match="is not sorted"):
        run_step(tmp_path, MERGE, merge_tasks([record]), shuffle_seed=0)


def test_other_ids_than_the_librarys_on_the_documents_themselves_stop_the_build(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The proof on texts of ours cannot foresee every text: each task tries its own first documents too."""
    encode._tokenizer.cache_clear()
    monkeypatch.setattr(SentencePieceTokenizer, "encode_batch", lambda self, texts: [np.array([3])] * len(texts))
    file = write_documents(tmp_path / "a.parquet", small_rows)
    with pytest.raises(WorkError, match=r"two tokenizers that must agree .* set 'engine: library'"):
        run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])


def test_text_that_becomes_the_end_of_a_document_is_refused_with_the_documents_name(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    encode._tokenizer.cache_clear()
    tokenizer = encode._tokenizer(vocabulary.path, vocabulary.sha256, None, True)
    row = next(row for row in small_rows if row.source == "papers")
    monkeypatch.setattr(tokenizer, "eod_id", tokenizer.encode(row.text)[7])
    file = write_documents(tmp_path / "a.parquet", [row])
    with pytest.raises(WorkError, match=rf"{row.id.hex()} \({row.name}\) holds the end-of-document id"):
        run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])
    encode._tokenizer.cache_clear()


def test_counts_of_a_task_are_those_of_its_documents(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    file = write_documents(tmp_path / "a.parquet", small_rows)
    [record] = run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])
    files = shard_files(record)
    assert len(files) == 6
    for (source, split), (tokens, _, _) in files.items():
        rows = [row for row in small_rows if (row.source, row.split) == (source, split)]
        assert record.counts[f"documents/{source}/{split}"] == len(rows)
        assert record.counts[f"bytes/{source}/{split}"] == sum(len(row.text.encode()) for row in rows)
        assert record.counts[f"tokens/{source}/{split}"] == tokens.bytes // 2


def test_huggingface_tokenizer_of_the_same_vocabulary_gives_the_same_shards(
    small_rows: list[Any], small_tokenizer: Path, vocabulary: InputFile, write_documents: Documents, run_step: Run,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = write_documents(tmp_path / "a.parquet", small_rows)
    path = small_tokenizer / "tokenizer.json"
    json_file = InputFile(path=str(path), sha256=sha256_file(path))
    [spm] = run_step(tmp_path / "spm", ENCODE, [Task(inputs=(file, vocabulary))])
    [hf] = run_step(tmp_path / "hf", ENCODE, [Task(inputs=(file, json_file))], eod="</s>")
    assert [(o.name, o.sha256) for o in spm.outputs] == [(o.name, o.sha256) for o in hf.outputs]
    with pytest.raises(InputError, match="eod"):
        run_step(tmp_path / "none", ENCODE, [Task(inputs=(file, json_file))])
    for number, vocabulary_file in enumerate((vocabulary, json_file)):
        [library] = run_step(tmp_path / str(number), ENCODE, [Task(inputs=(file, vocabulary_file))], eod="</s>",
                             engine="library")  # fmt: skip
        assert [(o.name, o.sha256) for o in library.outputs] == [(o.name, o.sha256) for o in spm.outputs]


def test_file_without_the_columns_of_documents_is_named(vocabulary: InputFile, run_step: Run, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [b"1"], "text": ["x"]}), tmp_path / "a.parquet")
    file = InputFile(path=str(tmp_path / "a.parquet"), sha256="0")
    with pytest.raises(DamagedFileError, match="no column source, name, split"):
        run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])


def test_merging_refuses_a_side_file_that_is_not_of_its_shard(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    file = write_documents(tmp_path / "a.parquet", small_rows)
    [record] = run_step(tmp_path, ENCODE, [Task(inputs=(file, vocabulary))])
    task = merge_tasks([record])[0]
    other = merge_tasks([record])[1]
    mixed = Task(inputs=(*task.inputs[:2], other.inputs[2]), args=task.args)
    with pytest.raises(DamagedFileError, match="rows, but the shard beside it has"):
        run_step(tmp_path, MERGE, [mixed])


def test_publishing_again_replaces_what_an_earlier_build_left(
    small_rows: list[Any], vocabulary: InputFile, write_documents: Documents, run_step: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for number, rows in enumerate((small_rows, [row for row in small_rows if row.source == "code"][:20])):
        root = tmp_path / str(number)
        root.mkdir()
        file = write_documents(root / "a.parquet", rows)
        merged = run_step(root, MERGE, merge_tasks(run_step(root, ENCODE, [Task(inputs=(file, vocabulary))])))
        (out / "data" / "papers").mkdir(parents=True, exist_ok=True)
        (out / "data" / "papers" / ".partial-train.bin-link").write_text("of a killed build")
        hashes = publish(merged, out)
        assert publish(merged, out) == hashes
        present = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        assert present == set(hashes)
        assert all(sha256_file(out / name) == wanted for name, wanted in hashes.items())
    assert IndexedReader(out / "data/code/train").num_documents < 20
    assert not (out / "data/papers").exists()
