"""Duplicates over several files and sources, with texts of known similarity."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.dedup.clusters import components
from proof_pile.dedup.nearduplicates import ALL_PAIRS, candidates
from proof_pile.documents import documents_batch, make_document
from proof_pile.words import ngram_hashes, words_of_text

PARAMS = {"ngram": 5, "bands": 14, "rows": 8, "partitions": 3}
THRESHOLD = 0.7
Marks = dict[tuple[int, int], tuple[str, dict[str, Any]]]


def write_documents(path: Path, source: str, texts: list[tuple[str, str]], row_group: int = 1000) -> InputFile:
    batch = documents_batch([make_document(source, name, text) for name, text in texts])
    pq.write_table(pa.Table.from_batches([batch]), path, row_group_size=row_group)
    return InputFile(path=str(path), sha256=sha256_file(path))


def random_words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [f"w{draw.randrange(5000)}" for _ in range(count)]


def similar(words: list[str], jaccard: float, seed: int) -> list[str]:
    """Words whose 5-word shingles have about this Jaccard similarity with the ones given: the end is other."""
    same = round(len(words) * 2 * jaccard / (1 + jaccard))
    return words[:same] + random_words(seed, len(words) - same)


def jaccard(a: str, b: str) -> float:
    sets = [set(ngram_hashes(words_of_text(text), 0, 5).tolist()) for text in (a, b)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.fixture
def find_marks(run_step: Callable[..., Any], tmp_path: Path) -> Callable[..., Marks]:
    """Marks of all documents by (file, row): the four steps of deduplication, one after the other."""

    def find(files: list[InputFile], ranks: list[int], threshold: float = THRESHOLD) -> Marks:
        tasks = [Task(inputs=(file,), args={"of": str(number)}) for number, file in enumerate(files)]
        prints = run_step(tmp_path, "proof_pile.dedup.fingerprints:run", tasks, **PARAMS, seed=0, near=True)
        contents, bands, documents = (
            tuple(record.output(name).as_input() for record in prints)
            for name in ("contents.arrow", "bands.arrow", "documents.arrow")
        )
        tasks = [Task(inputs=contents + documents, args={"partition": n, "ranks": ranks}) for n in range(3)]
        records = run_step(tmp_path, "proof_pile.dedup.exact:run", tasks)
        exact = tuple(record.output("pairs.parquet").as_input() for record in records)
        inputs = (*bands, *documents, *files, *exact)
        tasks = [Task(inputs=inputs, args={"partition": n, "num_files": len(files)}) for n in range(3)]
        near = run_step(tmp_path, "proof_pile.dedup.nearduplicates:run", tasks, **PARAMS, threshold=threshold)
        inputs = (*documents, *exact, *(record.output("pairs.parquet").as_input() for record in near))
        args = {"num_files": len(files), "num_exact": len(exact), "ranks": ranks}
        [clusters] = run_step(tmp_path, "proof_pile.dedup.clusters:run", [Task(inputs=inputs, args=args)])
        marks: Marks = {}
        for output in clusters.outputs:
            file = int(output.name.split(".")[1])
            for mark in pq.read_table(output.path).to_pylist():
                marks[file, mark["row"]] = (mark["kind"], json.loads(mark["evidence"]))
        return marks

    return find


def test_exact_duplicates_of_several_sources_leave_the_one_of_the_first_source(
    tmp_path: Path, find_marks: Callable[..., Marks]
) -> None:
    text = " ".join(random_words(1, 50))
    files = [
        write_documents(tmp_path / "a.parquet", "later", [("x", text), ("y", "other text")]),
        write_documents(tmp_path / "b.parquet", "first", [("p", "something"), ("q", text)]),
    ]
    marks = find_marks(files, ranks=[1, 0])
    assert list(marks) == [(0, 0)]
    kind, evidence = marks[0, 0]
    assert kind == "exact-duplicate"
    assert (evidence["kept"]["source"], evidence["kept"]["name"]) == ("first", "q")


def test_exact_duplicates_with_the_same_id_leave_one(tmp_path: Path, find_marks: Callable[..., Marks]) -> None:
    """Documents without a name have their text's hash as id: marks by id alone would remove every copy."""
    files = [write_documents(tmp_path / "a.parquet", "s", [("", "the same text"), ("", "the same text"), ("", "no")])]
    marks = find_marks(files, ranks=[0])
    assert sorted(marks) == [(0, 1)]


def test_texts_too_short_for_a_shingle_are_no_near_duplicates(tmp_path: Path, find_marks: Callable[..., Marks]) -> None:
    files = [write_documents(tmp_path / "a.parquet", "s", [("1", "a b c"), ("2", "d e"), ("3", ""), ("4", "a b  c")])]
    assert find_marks(files, ranks=[0]) == {}


def test_near_duplicates_are_found_by_their_true_similarity(tmp_path: Path, find_marks: Callable[..., Marks]) -> None:
    """Pairs of known Jaccard similarity on both sides of the threshold, none so near to it that LSH may miss it."""
    originals, copies, truth = [], [], []
    for number in range(60):
        words = random_words(number, 300)
        copy = similar(words, (0.98, 0.9, 0.85, 0.6, 0.4, 0.1)[number % 6], 1000 + number)
        originals.append((f"o{number}", " ".join(words)))
        copies.append((f"c{number}", " ".join(copy)))
        truth.append(jaccard(originals[-1][1], copies[-1][1]))
    files = [
        write_documents(tmp_path / "a.parquet", "a", originals, row_group=7),
        write_documents(tmp_path / "b.parquet", "b", copies, row_group=11),
    ]
    marks = find_marks(files, ranks=[0, 1])
    assert {row for _, row in marks} == {row for row, value in enumerate(truth) if value >= THRESHOLD}
    for (file, row), (kind, evidence) in marks.items():
        assert (file, kind, evidence["kept"]["name"]) == (1, "near-duplicate", f"o{row}")
        assert evidence["jaccard"] == pytest.approx(truth[row], abs=0.15 if evidence["estimated"] else 1e-4)


def test_doubtful_pairs_are_decided_by_their_texts_and_not_by_the_estimate(
    tmp_path: Path, find_marks: Callable[..., Marks]
) -> None:
    """Just below and just above the threshold, where an estimate from 112 values is wrong every other time."""
    originals, copies = [], []
    for number in range(40):
        words = random_words(number, 400)
        originals.append((f"o{number}", " ".join(words)))
        copies.append((f"c{number}", " ".join(similar(words, 0.92 if number % 2 else 0.88, 500 + number))))
    truth = [jaccard(a[1], b[1]) for a, b in zip(originals, copies, strict=True)]
    assert min(abs(value - 0.9) for value in truth) > 0.005
    files = [
        write_documents(tmp_path / "a.parquet", "a", originals),
        write_documents(tmp_path / "b.parquet", "b", copies),
    ]
    marks = find_marks(files, ranks=[0, 1], threshold=0.9)
    assert {row for _, row in marks} == {row for row, value in enumerate(truth) if value >= 0.9}
    assert not any(evidence["estimated"] for _, evidence in marks.values())


def test_cluster_of_near_duplicates_keeps_the_longest_of_the_first_source(
    tmp_path: Path, find_marks: Callable[..., Marks]
) -> None:
    words = random_words(5, 200)
    versions = [" ".join(words[:194]), " ".join(words), " ".join(words[:197]), " ".join([*words, "and", "more"])]
    files = [
        write_documents(tmp_path / "a.parquet", "a", [("0", versions[0]), ("1", versions[1])]),
        write_documents(tmp_path / "b.parquet", "b", [("2", versions[2]), ("3", versions[3])]),
    ]
    marks = find_marks(files, ranks=[0, 1])
    assert sorted(marks) == [(0, 0), (1, 0), (1, 1)]
    assert {evidence["kept"]["name"] for _, evidence in marks.values()} == {"1"}


def test_chain_of_near_duplicates_is_one_cluster_and_says_by_which_document(
    tmp_path: Path, find_marks: Callable[..., Marks]
) -> None:
    words = random_words(8, 420)
    texts = [" ".join(words[start : start + 300]) for start in (0, 40, 80)]
    assert jaccard(texts[0], texts[2]) < THRESHOLD < min(jaccard(texts[0], texts[1]), jaccard(texts[1], texts[2]))
    files = [write_documents(tmp_path / f"{n}.parquet", f"s{n}", [(str(n), text)]) for n, text in enumerate(texts)]
    marks = find_marks(files, ranks=[0, 1, 2])
    assert sorted(marks) == [(1, 0), (2, 0)]
    assert "via" not in marks[1, 0][1]
    assert marks[2, 0][1]["via"] != marks[2, 0][1]["kept"]["id"]


def test_exact_duplicates_of_a_near_duplicate_all_point_to_what_stays(
    tmp_path: Path, find_marks: Callable[..., Marks]
) -> None:
    words = random_words(9, 200)
    near = " ".join(words[:190])
    texts = [("copy", near), ("whole", " ".join(words)), ("copy-too", near)]
    files = [write_documents(tmp_path / "a.parquet", "a", texts)]
    marks = find_marks(files, ranks=[0])
    assert sorted(kind for kind, _ in marks.values()) == ["exact-duplicate", "near-duplicate"]
    assert (0, 1) not in marks


def test_candidates_are_all_pairs_of_small_buckets_each_once() -> None:
    keys = np.array([7, 7, 7, 3, 3, 9, 7, 7, 7], np.uint64)
    numbers = np.array([4, 2, 8, 2, 4, 5, 4, 2, 8], np.int64)
    first, second = candidates(keys, numbers, np.empty(0, np.int64))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(2, 4), (2, 8), (4, 8)]


def test_candidates_of_a_large_bucket_connect_it_without_comparing_all() -> None:
    size = ALL_PAIRS * 20
    first, second = candidates(np.zeros(size, np.uint64), np.arange(size), np.empty(0, np.int64))
    assert len(first) < 2 * size
    assert set(components(first, second, size).tolist()) == {0}


def test_candidates_leave_out_what_is_gone_already() -> None:
    first, second = candidates(np.zeros(4, np.uint64), np.array([1, 5, 6, 9]), np.array([5, 7]))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 6), (1, 9), (6, 9)]


def test_components_are_those_of_a_search_through_the_graph() -> None:
    draw = random.Random(2)
    for _ in range(30):
        size = draw.randrange(1, 40)
        edges = [(draw.randrange(size), draw.randrange(size)) for _ in range(draw.randrange(40))]
        found = components(np.array([a for a, _ in edges]), np.array([b for _, b in edges]), size).tolist()
        expected = []
        for node in range(size):
            reached, frontier = {node}, [node]
            while frontier:
                at = frontier.pop()
                for a, b in edges:
                    for here, there in ((a, b), (b, a)):
                        if here == at and there not in reached:
                            reached.add(there)
                            frontier.append(there)
            expected.append(min(reached))
        assert found == expected
