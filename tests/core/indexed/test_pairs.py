"""The .bin/.idx writer and reader, with megatron-core as the independent judge of the bytes."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.indexed import IndexedReader, IndexedWriter, best_dtype, bin_path, idx_path

DOCUMENTS = [[5, 6, 7, 2], [2], [65000, 1, 1, 3, 2], [], [9, 2]]


def write(prefix: Path, dtype: type, documents: list[list[int]] = DOCUMENTS) -> Path:
    with IndexedWriter(prefix, dtype) as writer:
        for tokens in documents:
            writer.add_document(np.array(tokens, dtype=np.int64))
    return prefix


def write_with_megatron(prefix: Path, dtype: type, documents: list[list[int]] = DOCUMENTS) -> Path:
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(bin_path(prefix)), dtype=dtype)
    for tokens in documents:
        builder.add_document(torch.tensor(tokens, dtype=torch.int64), [len(tokens)])
    builder.finalize(str(idx_path(prefix)))
    return prefix


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_writer_of_documents_gives_the_bytes_of_megatron_core(tmp_path: Path, dtype: type) -> None:
    ours, theirs = write(tmp_path / "ours", dtype), write_with_megatron(tmp_path / "theirs", dtype)
    assert bin_path(ours).read_bytes() == bin_path(theirs).read_bytes()
    assert idx_path(ours).read_bytes() == idx_path(theirs).read_bytes()


def test_writer_of_many_documents_at_once_gives_the_same_bytes(tmp_path: Path) -> None:
    one_by_one = write(tmp_path / "one", np.uint16)
    with IndexedWriter(tmp_path / "many", np.uint16) as writer:
        flat = np.concatenate([np.array(tokens, dtype=np.uint16) for tokens in DOCUMENTS])
        writer.add_documents(flat, [len(tokens) for tokens in DOCUMENTS])
        assert (writer.num_documents, writer.num_tokens) == (5, 12)
    assert bin_path(tmp_path / "many").read_bytes() == bin_path(one_by_one).read_bytes()
    assert idx_path(tmp_path / "many").read_bytes() == idx_path(one_by_one).read_bytes()


def test_writer_without_documents_gives_the_bytes_of_megatron_core(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "ours", np.int32, []), write_with_megatron(tmp_path / "theirs", np.int32, [])
    assert idx_path(ours).read_bytes() == idx_path(theirs).read_bytes()
    assert (len(IndexedReader(ours)), IndexedReader(ours).num_tokens) == (0, 0)


def test_merged_shards_give_the_bytes_of_megatron_core(tmp_path: Path) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    shards = [write(tmp_path / "a", np.uint16), write(tmp_path / "b", np.uint16, [[1, 2, 3], [4]])]
    with IndexedWriter(tmp_path / "ours", np.uint16) as writer:
        writer.add_document(np.array([8, 2]))
        for shard in shards:
            writer.add_shard(shard)
        assert (writer.num_documents, writer.num_tokens) == (8, 18)
    import torch

    builder = IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
    builder.add_document(torch.tensor([8, 2]), [2])
    for shard in shards:
        builder.add_index(str(shard))
    builder.finalize(str(tmp_path / "theirs.idx"))
    assert (tmp_path / "ours.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()
    assert (tmp_path / "ours.idx").read_bytes() == (tmp_path / "theirs.idx").read_bytes()


def test_merging_a_shard_of_another_type_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    shard = write(tmp_path / "shard", np.int32)
    refusal = pytest.raises(InputError, match=r"shard\.idx: holds tokens of type int32.*uint16")
    with refusal, IndexedWriter(tmp_path / "merged", np.uint16) as writer:
        writer.add_shard(shard)
    assert names(tmp_path) == ["shard.bin", "shard.idx"]


def test_reader_of_megatron_core_reads_our_pair(tmp_path: Path) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    theirs = IndexedDataset(str(write(tmp_path / "ours.v1", np.uint16)))
    assert [theirs[i].tolist() for i in range(3)] == DOCUMENTS[:3]
    assert theirs.document_indices.tolist() == [0, 1, 2, 3, 4, 5]


def test_reader_of_sequences_in_documents_written_by_megatron_core(tmp_path: Path) -> None:
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(tmp_path / "x.bin"), dtype=np.int32)
    builder.add_document(torch.tensor([1, 2, 3, 4, 5]), [2, 3])
    builder.add_document(torch.tensor([6]), [1])
    builder.finalize(str(tmp_path / "x.idx"))
    reader = IndexedReader(tmp_path / "x")
    assert (len(reader), reader.num_documents, reader.num_tokens) == (3, 2, 6)
    assert reader.document_index.tolist() == [0, 2, 3]
    assert [reader.get(i).tolist() for i in range(3)] == [[1, 2], [3, 4, 5], [6]]
    assert reader.get(1, offset=1).tolist() == [4, 5]
    assert reader.get(1, offset=1, length=1).tolist() == [4]


def test_reader_asked_for_what_is_not_there_raises_index_error(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "x", np.uint16))
    for arguments in [(5,), (-1,), (0, 5), (0, 2, 3), (0, -1, 2), (0, 2, -1)]:
        with pytest.raises(IndexError):
            reader.get(*arguments)


def test_reader_gives_views_that_cannot_be_written_to(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "x", np.uint16))
    with pytest.raises(ValueError):
        reader.get(0)[0] = 1


def _sum_of_tokens(reader: IndexedReader) -> int:
    return sum(int(reader.get(i).sum()) for i in range(len(reader)))


def test_reader_works_after_pickling_and_in_a_forked_process(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "x", np.uint16))
    wanted = sum(map(sum, DOCUMENTS))
    assert _sum_of_tokens(pickle.loads(pickle.dumps(reader))) == wanted
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_sum_of_tokens, (reader,)) == wanted


@pytest.mark.parametrize("tokens", [[70000], [-1], [1.5], [[1, 2]]])
def test_writer_given_tokens_that_do_not_fit_raises_and_leaves_nothing(tmp_path: Path, tokens: list) -> None:
    with pytest.raises(ValueError), IndexedWriter(tmp_path / "x", np.uint16) as writer:
        writer.add_document([1, 2, 3])
        writer.add_document(tokens)
    assert names(tmp_path) == []


def test_writer_given_lengths_that_do_not_add_up_raises_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add up to 3, but there are 2"), IndexedWriter(tmp_path / "x", np.int32) as w:
        w.add_documents(np.array([1, 2]), [1, 2])


def test_writer_interrupted_leaves_an_older_pair_untouched(tmp_path: Path) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    before = (bin_path(prefix).read_bytes(), idx_path(prefix).read_bytes())
    with pytest.raises(KeyboardInterrupt), IndexedWriter(prefix, np.uint16) as writer:
        writer.add_document([1, 2, 3])
        raise KeyboardInterrupt
    assert (bin_path(prefix).read_bytes(), idx_path(prefix).read_bytes()) == before
    assert names(tmp_path) == ["x.bin", "x.idx"]


def test_writer_over_an_older_pair_replaces_it(tmp_path: Path) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    write(prefix, np.int32, [[1, 2]])
    assert IndexedReader(prefix).get(0).tolist() == [1, 2]
    assert names(tmp_path) == ["x.bin", "x.idx"]


def test_best_dtype_follows_the_rule_of_megatron_core() -> None:
    from megatron.core.datasets.indexed_dataset import DType

    for vocab_size in (1, 4096, 65499, 65500, 65536, 128256):
        assert best_dtype(vocab_size) == np.dtype(DType.optimal_dtype(vocab_size))


def damage(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(bytes(content))


def test_reader_of_a_missing_half_says_which_file_is_missing(tmp_path: Path) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    bin_path(prefix).unlink()
    with pytest.raises(InputError, match=r"x\.bin: there is no such file"):
        IndexedReader(prefix)
    with pytest.raises(InputError, match=r"y\.idx: there is no such file"):
        IndexedReader(tmp_path / "y")


@pytest.mark.parametrize("length", [0, 5, 9, 20, 33, 34, 60, 133])
def test_reader_of_a_truncated_index_says_so(tmp_path: Path, length: int) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    idx_path(prefix).write_bytes(idx_path(prefix).read_bytes()[:length])
    with pytest.raises(DamagedFileError, match=r"x\.idx"):
        IndexedReader(prefix)


@pytest.mark.parametrize(("change", "message"), [(-1, "23 bytes.*24 bytes.*truncated"), (2, "26 bytes.*too long")])
def test_reader_of_a_token_file_of_another_length_says_both_lengths(tmp_path: Path, change: int, message: str) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    data = bin_path(prefix).read_bytes()
    bin_path(prefix).write_bytes(data[:change] if change < 0 else data + b"\0" * change)
    with pytest.raises(DamagedFileError, match=message):
        IndexedReader(prefix)


@pytest.mark.parametrize(
    ("at", "data", "message"),
    [
        (0, b"TNTIDX", "another kind of file"),
        (9, b"\x02", "version 2"),
        (17, b"\x06", "floating-point"),
        (17, b"\x63", "unknown token type 99"),
        (18, b"\xff" * 8, "header tells of 18446744073709551615 sequences"),
        (18, b"\x06", "truncated"),
        (26, b"\0" * 8, "0 document boundaries"),
        (34, b"\xff\xff\xff\xff", "sequence 0 has the length -1"),
        (34, b"\x03", "sequence 1 is said to begin at byte 8.*at byte 6"),
        (34 + 20, b"\x02", "sequence 0 is said to begin at byte 2"),
        (34 + 60, b"\x01", "document index runs from 1 to 5"),
        (34 + 60 + 40, b"\x00", "document index runs from 0 to 0"),
        (34 + 60 + 8, b"\x03", "document 2 begins before"),
    ],
)
def test_reader_of_an_altered_index_says_what_contradicts_what(
    tmp_path: Path, at: int, data: bytes, message: str
) -> None:
    prefix = write(tmp_path / "x", np.uint16)
    damage(idx_path(prefix), at, data)
    with pytest.raises(DamagedFileError, match=message):
        IndexedReader(prefix)
