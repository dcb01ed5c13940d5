"""How input is cut into tasks, and what a reading task makes of it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.build.reading import MAX_GROUP, InputHashes, group_files, source_steps
from proof_pile.build.recipe import load_recipe
from proof_pile.documents import Document
from proof_pile.filters import Keep
from proof_pile.sources import SourceFile


def files(count: int, seed: int = 0) -> list[SourceFile]:
    draw = random.Random(seed)
    return [SourceFile(name=f"f{n:04d}", paths=(f"/f{n}",), size=draw.randrange(20_000)) for n in range(count)]


def test_groups_hold_all_files_in_order_and_about_the_wanted_bytes() -> None:
    chosen = files(500)
    groups = group_files(chosen, 50_000)
    assert [file for group in groups for file in group] == chosen
    sizes = [sum(max(file.size, 4096) for file in group) for group in groups]
    assert max(sizes) <= MAX_GROUP * 50_000 + 20_000
    assert 20_000 < sum(sizes) / len(sizes) < 100_000


def test_groups_after_a_file_was_added_differ_in_one_place() -> None:
    """With groups of a fixed size, every group after the new file would be another one."""
    chosen = files(500)
    before = {tuple(file.name for file in group) for group in group_files(chosen, 50_000)}
    new = SourceFile(name="f0100b", paths=("/new",), size=10_000)
    after = {tuple(f.name for f in g) for g in group_files(sorted([*chosen, new], key=lambda f: f.name), 50_000)}
    assert len(before - after) <= 2
    assert len(after - before) <= 2


def test_file_larger_than_a_shard_ends_its_group() -> None:
    large = [SourceFile(name=str(n), paths=("/x",), size=10**6) for n in range(5)]
    assert [len(group) for group in group_files(large, 1000)] == [1] * 5


def test_input_hashes_are_those_of_the_files_and_follow_a_change(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("one")
    for text in ("one", "two"):  # of the same size: told by the time of change
        path.write_text(text)
        os.utime(path, ns=(1, 1 if text == "one" else 2))
        hashes = InputHashes(tmp_path / "memory.json")
        assert hashes.of(str(path)) == sha256_file(path)
        hashes.save()
    assert json.loads((tmp_path / "memory.json").read_text())[str(path)][-1] == sha256_file(path)


@pytest.mark.parametrize("memory", ["", "[]", '{"/x": 3}', "not json"])
def test_input_hashes_with_a_damaged_memory_are_computed_anew(tmp_path: Path, memory: str) -> None:
    path = tmp_path / "input"
    path.write_text("text")
    (tmp_path / "memory.json").write_text(memory)
    assert InputHashes(tmp_path / "memory.json").of(str(path)) == sha256_file(path)


@pytest.fixture
def read(run_step: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """The record of a reading task over one JSONL file."""

    def run(path: Path, *filters: dict[str, Any]) -> Any:
        task = Task(
            inputs=(InputFile(path=str(path), sha256=sha256_file(path)),),
            args={"files": [{"name": path.name, "size": path.stat().st_size, "paths": 1}]},
        )
        params = {"source": "s", "input": {"kind": "jsonl", "path": "x"}, "filters": list(filters)}
        [record] = run_step(tmp_path, "proof_pile.build.reading:run", [task], **params)
        return record

    return run


def quarantine(record: Any) -> list[dict[str, Any]]:
    lines = Path(record.output("quarantine.jsonl").path).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_reading_keeps_drops_and_quarantines_and_counts_each(read: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "long enough", "name": "a"}\n{"text": "x", "name": "b"}\n{broken\n{"no": 1}\n')
    record = read(path, {"kind": "size", "min_bytes": 5})
    assert pq.read_table(record.output("documents.parquet").path).column("name").to_pylist() == ["a"]
    dropped = pq.read_table(record.output("dropped.parquet").path)
    assert dropped.select(["name", "reason"]).to_pylist() == [{"name": "b", "reason": "too-small"}]
    assert [(line["source"], line["path"], line["line"]) for line in quarantine(record)] == [
        ("s", "in.jsonl", 3),
        ("s", "in.jsonl", 4),
    ]
    expected = {"read": 2, "read_bytes": 12, "documents": 1, "bytes": 11, "quarantined": 2, "dropped/too-small": 1}
    assert record.counts == expected


def test_reading_a_truncated_stream_keeps_what_came_before(read: Callable[..., Any], tmp_path: Path) -> None:
    draw = random.Random(1)
    lines = "".join(json.dumps({"text": f"{draw.random()}" * 40, "name": str(n)}) + "\n" for n in range(3000))
    path = tmp_path / "in.jsonl.zst"
    compressed = zstandard.compress(lines.encode())
    path.write_bytes(compressed[: len(compressed) // 2])
    record = read(path)
    assert 0 < record.counts["documents"] < 3000
    [broken] = quarantine(record)
    assert broken["line"] >= record.counts["documents"]


def test_document_that_a_filter_breaks_on_is_quarantined_alone(
    read: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(document: Document) -> Keep:
        if document.name == "bad":
            raise ZeroDivisionError("digits of nothing")
        return Keep(document)

    monkeypatch.setattr("proof_pile.build.reading.make_chain", lambda configs: judge)
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": "t", "name": name}) + "\n" for name in ("good", "bad", "fine")))
    record = read(path)
    assert pq.read_table(record.output("documents.parquet").path).column("name").to_pylist() == ["good", "fine"]
    [line] = quarantine(record)
    assert (line["path"], line["reason"]) == ("bad", "a filter failed on it: ZeroDivisionError: digits of nothing")


def test_changed_list_that_a_filter_names_is_another_step_and_a_missing_one_an_error(tmp_path: Path) -> None:
    """Filters were never settled: paths were taken from where the program ran, and a new list changed nothing."""
    (tmp_path / "a.lean").write_text("theorem a : true := trivial\n")
    (tmp_path / "names.json").write_text('[{"file_path": "a.lean", "full_name": "a"}]')
    (tmp_path / "recipe.yml").write_text(
        "name: n\nsources:\n  - name: s\n    inputs: [{kind: tree, path: .}]\n"
        "    filters: [{kind: theorems, lean: [names.json]}]\n"
        "mixture: {groups: {g: {share: 1, sources: {s: 1}}}}\n"
    )
    recipe = load_recipe(tmp_path / "recipe.yml")

    def key() -> str:
        [(step, _)] = source_steps(recipe, tmp_path, InputHashes(tmp_path / "hashes.json"))
        return json.dumps(step.params)

    first = key()
    assert str(tmp_path / "names.json") in first and key() == first
    (tmp_path / "names.json").write_text('[{"file_path": "a.lean", "full_name": "b"}]')
    assert key() != first
    (tmp_path / "names.json").unlink()
    with pytest.raises(InputError, match=r"source 's', filter 1 \(theorems\): .*names.json: no such file"):
        key()
