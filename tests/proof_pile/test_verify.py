"""Verification finds each fault that is planted in a build, and none in one that is whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.indexed import IndexedReader, IndexedWriter
from llemma.core.records import file_entry
from proof_pile.verify import verify


def bless(out: Path) -> None:
    """Makes the manifest agree with the files again, so that only the deeper checks can find a fault."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = [file_entry(out / entry["path"], out) for entry in manifest["files"]]
    path.write_text(json.dumps(manifest))
    hashes = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    mixture = json.loads((out / "mixture.json").read_text())
    for source in mixture["sources"]:
        for shard in source["splits"].values():
            shard["bin_sha256"], shard["idx_sha256"] = hashes[f"{shard['path']}.bin"], hashes[f"{shard['path']}.idx"]
    (out / "mixture.json").write_text(json.dumps(mixture))
    manifest["files"] = [file_entry(out / entry["path"], out) for entry in manifest["files"]]
    path.write_text(json.dumps(manifest))


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def change_token(out: Path, document: int, position: int, value: int) -> None:
    prefix = out / "data/papers/train"
    reader = IndexedReader(prefix)
    place = int(np.cumsum(reader.sizes)[document - 1]) if document else 0
    place += position % int(reader.sizes[document])
    del reader
    tokens = np.fromfile(f"{prefix}.bin", np.uint16)
    tokens[place] = value
    tokens.tofile(f"{prefix}.bin")


def change_side_file(out: Path, change: Callable[[dict[str, list]], None]) -> None:
    path = out / "data/papers/validation.documents.parquet"
    columns = pq.read_table(path).to_pydict()
    change(columns)
    pq.write_table(pa.table(columns), path)


def test_whole_build_has_no_problems(pristine_build: Path) -> None:
    assert verify(pristine_build) == []


def test_moved_build_has_no_problems(small_build: Path) -> None:
    assert verify(Path(shutil.move(small_build, small_build.parent / "elsewhere"))) == []


def test_folder_without_a_manifest_is_no_finished_build(tmp_path: Path, small_build: Path) -> None:
    [problem] = verify(tmp_path / "nothing")
    assert "manifest.json" in problem and "run it again" in problem
    (small_build / "manifest.json").write_text("{")
    assert len(verify(small_build)) == 1


FILE_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one changed byte": (lambda out: change_token(out, 3, 1, 300), r"train\.bin: has the hash"),
    "a truncated shard": (
        lambda out: (out / "data/code/train.bin").write_bytes((out / "data/code/train.bin").read_bytes()[:-2]),
        r"train\.bin: has .* truncated",
    ),
    "a missing file": (lambda out: (out / "removed.parquet").unlink(), r"removed\.parquet: is missing"),
    "a stranger": (lambda out: (out / "data/code/extra.bin").write_text("x"), r"extra\.bin: is not in manifest\.json"),
    "another tokenizer": (
        lambda out: (out / "tokenizer/tokenizer.model").write_bytes(b"no model"),
        "not a SentencePiece model",
    ),
    "a way out": (
        lambda out: change_json(out / "manifest.json", lambda m: m["files"][0].update(path="../../etc/passwd")),
        "not inside the build",
    ),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_damaged_files_are_found(small_build: Path, fault: str) -> None:
    damage, words = FILE_FAULTS[fault]
    damage(small_build)
    assert any(_matches(words, problem) for problem in verify(small_build)), verify(small_build)


CONTENT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "token beyond the vocabulary": (lambda out: change_token(out, 2, 1, 600), "is 600, but the vocabulary has 460"),
    "document without an end": (lambda out: change_token(out, 0, -1, 300), "document 0 does not end with"),
    "end inside a document": (lambda out: change_token(out, 1, 2, 2), "stands 1 times inside documents"),
    "wrong length in the side file": (
        lambda out: change_side_file(out, lambda c: c["num_tokens"].__setitem__(1, 1)), "row 1 says 1 tokens"),
    "row too few": (
        lambda out: change_side_file(out, lambda c: [column.pop() for column in c.values()]),
        "rows, but the shard has"),
    "another source": (
        lambda out: change_side_file(out, lambda c: c["source"].__setitem__(0, "code")), "names another source"),
    "no id": (lambda out: change_side_file(out, lambda c: c["id"].__setitem__(0, "xyz")), "not 32 hexadecimal digits"),
    "null id": (lambda out: change_side_file(out, lambda c: c["id"].__setitem__(0, None)), "not 32 hexadecimal digits"),
    "other columns": (lambda out: change_side_file(out, lambda c: c.pop("name")), "has other columns"),
    "one document twice in a split": (
        lambda out: change_side_file(out, lambda c: c["id"].__setitem__(0, c["id"][1])), "twice"),
    "one document in two splits": (
        lambda out: change_side_file(out, lambda c: c["id"].__setitem__(
            0, pq.read_table(out / "data/papers/train.documents.parquet")["id"][0].as_py())),
        "which papers/train holds too"),
    "removed document kept": (
        lambda out: change_side_file(out, lambda c: c["id"].__setitem__(
            0, pq.read_table(out / "removed.parquet")["id"][0].as_py().hex())),
        r"removed\.parquet says was removed"),
    "broken side file": (
        lambda out: (out / "data/papers/test.documents.parquet").write_bytes(b"PAR1"),
        "cannot be read as the list of a shard's documents"),
    "documents lost on the way": (
        lambda out: change_json(out / "manifest.json", lambda m: m["sources"]["papers"].update(read=999)),
        "999 documents"),
    "counts of another build": (
        lambda out: change_json(
            out / "manifest.json", lambda m: m["sources"]["code"]["splits"]["test"].update(documents=1)),
        "but its splits hold"),
    "wrong epochs": (
        lambda out: change_json(out / "mixture.json", lambda m: m["sources"][0].update(epochs=77.0)), "77 epochs"),
    "weights that do not sum to one": (
        lambda out: change_json(out / "mixture.json", lambda m: m["sources"][0].update(weight=0.5)), "must sum to 1"),
    "another end of document": (
        lambda out: change_json(out / "mixture.json", lambda m: m["tokenizer"].update(eod_id=1)), "does not end with"),
    "another size of vocabulary": (
        lambda out: change_json(out / "mixture.json", lambda m: m["tokenizer"].update(vocab_size=459)),
        "vocab_size is 460, but mixture.json says 459"),
}  # fmt: skip


@pytest.mark.parametrize("fault", CONTENT_FAULTS)
def test_wrong_content_is_found_even_where_all_hashes_agree(small_build: Path, fault: str) -> None:
    damage, words = CONTENT_FAULTS[fault]
    damage(small_build)
    bless(small_build)
    assert any(_matches(words, problem) for problem in verify(small_build)), verify(small_build)


def test_shard_of_another_token_type_is_found(small_build: Path) -> None:
    prefix = small_build / "data/code/test"
    reader = IndexedReader(prefix)
    documents = [np.array(reader.get(number)) for number in range(len(reader))]
    with IndexedWriter(prefix, np.int32) as writer:
        for document in documents:
            writer.add_document(document)
    bless(small_build)
    assert any("holds int32, but mixture.json says uint16" in problem for problem in verify(small_build))


def test_documents_that_share_the_id_of_a_kept_one_may_stand_among_the_removed(small_build: Path) -> None:
    """Copies without a name, and documents of one name, have one id, and one of them stays."""
    kept = pq.read_table(small_build / "data/papers/train.documents.parquet")["id"][0].as_py()
    path = small_build / "removed.parquet"
    for reason, problems in (("exact-duplicate", 0), ("same-name", 0), ("near-duplicate", 1)):
        columns = {"id": pa.array([bytes.fromhex(kept)], pa.binary(16)), "source": ["papers"], "name": [""]}
        pq.write_table(pa.table({**columns, "reason": [reason], "evidence": ["{}"]}), path)
        bless(small_build)
        assert len(verify(small_build)) == problems


def test_all_problems_are_reported_together(small_build: Path) -> None:
    change_token(small_build, 2, 1, 600)
    change_side_file(small_build, lambda c: c["num_tokens"].__setitem__(1, 1))
    (small_build / "quarantine.jsonl").unlink()
    assert len(verify(small_build)) >= 5


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None
