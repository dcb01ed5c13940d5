"""Whole builds of a little corpus: what comes out, what is done again, and what is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from little_corpus import sentences, write_jsonl

from llemma.core.files import sha256_file
from llemma.core.indexed import IndexedReader
from llemma.core.schemas import Mixture
from proof_pile.build.cli import main
from proof_pile.build.lock import build_lock
from proof_pile.consolidate import split_of
from proof_pile.documents import document_id
from proof_pile.manifest import Manifest


def build(root: Path, *options: str) -> int:
    return main(["--recipe", str(root / "corpus/recipe.yml"), "--out", str(root / "out"), "--workers", "1", *options])


def tree(out: Path) -> dict[str, str]:
    """Hashes of all files, but for those that hold times or process numbers."""
    left_out = {"record.json", "mixture.record.json", ".lock", "input-hashes.json"}
    return {
        str(path.relative_to(out)): sha256_file(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in left_out and not is_task_record(path)
    }


def is_task_record(path: Path) -> bool:
    return path.parent.parent.name == "steps" and path.suffix == ".json" and len(path.stem) == 16


def task_records(out: Path) -> dict[str, int]:
    """Time of the last change of each task's record, by step folder and key."""
    records = (path for path in out.glob("steps/*/*.json") if is_task_record(path))
    return {f"{path.parent.name}/{path.stem}": path.stat().st_mtime_ns for path in records}


def step_names(records: Iterable[str]) -> list[str]:
    """The steps that these task records belong to, one a record."""
    return [record.split("-v")[0] for record in records]


def test_build_leaves_every_file_of_the_contract(pristine_little_build: Path) -> None:
    out = pristine_little_build / "out"
    mixture = Mixture.read(out / "mixture.json")
    assert [source.name for source in mixture.sources] == ["alpha", "beta"]
    assert [round(source.weight, 6) for source in mixture.sources] == [0.666667, 0.333333]
    for source in mixture.sources:
        for split, shard in source.splits.items():
            reader = IndexedReader(out / shard.path)
            side = pq.read_table(out / f"{shard.path}.documents.parquet")
            assert side.num_rows == shard.num_documents == reader.num_documents
            assert sum(side.column("num_tokens").to_pylist()) == shard.num_tokens
            for id_ in side.column("id").to_pylist():
                assert split_of(bytes.fromhex(id_), 0.1, 0.1, 0) == split
    assert (out / "neox/little_data.yml").read_text().count("train_data_paths") == 1
    assert (out / "tokenizer/tokenizer.json").exists()
    assert "little" in (out / "DATASHEET.md").read_text()
    assert (out / "recipe.yml").read_bytes() == (pristine_little_build / "corpus/recipe.yml").read_bytes()
    assert json.loads((out / "record.json").read_text())["kind"] == "build"


def test_build_removes_what_was_planted_and_nothing_else(pristine_little_build: Path) -> None:
    out = pristine_little_build / "out"
    rows = {row["name"]: row for row in pq.read_table(out / "removed.parquet").to_pylist()}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "too-short": "too-small",
        "copy-of-alpha-3": "exact-duplicate",
        "near-alpha-105": "near-duplicate",
        "holds-long": "contaminated",
        "holds-short": "contaminated",
    }
    assert json.loads(rows["copy-of-alpha-3"]["evidence"])["kept"]["name"] == "alpha-3"
    assert json.loads(rows["near-alpha-105"]["evidence"])["kept"]["name"] == "alpha-105"
    assert json.loads(rows["holds-short"]["evidence"])["items"][0]["id"] == "short"
    assert rows["holds-long"]["id"] == document_id("beta", "holds-long", "")
    counts = Manifest.read(out).sources
    assert (counts["alpha"].read, counts["alpha"].kept) == (60, 60)
    beta = counts["beta"]
    assert (beta.read, beta.kept, beta.removed, beta.filtered) == (65, 60, 5, {"too-small": 1})


def test_build_with_three_workers_gives_the_same_bytes_as_with_one(little_build: Path) -> None:
    before = tree(little_build / "out")
    (little_build / "out").rename(little_build / "first")
    assert build(little_build, "--workers", "3") == 0
    after = tree(little_build / "out")
    # The NeoX overlay names absolute paths, and the fixture was built in another folder.
    placed = {"neox/little_data.yml", "manifest.json"} | {name for name in after if name.endswith("tasks.json")}
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= placed


def test_build_that_is_complete_does_nothing(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(little_build)  # the copy has another place, which the overlay names
    before = task_records(little_build / "out")
    manifest = (little_build / "out/manifest.json").stat().st_mtime_ns
    capsys.readouterr()
    assert build(little_build) == 0
    shown = capsys.readouterr().out
    assert "nothing to do" in shown
    assert "0 tasks done" in shown
    assert task_records(little_build / "out") == before
    assert (little_build / "out/manifest.json").stat().st_mtime_ns == manifest


def test_build_that_lost_a_file_puts_it_back(little_build: Path) -> None:
    build(little_build)
    lost = little_build / "out/data/alpha/train.bin"
    digest = sha256_file(lost)
    lost.unlink()
    assert build(little_build) == 0
    assert sha256_file(lost) == digest


def test_added_input_file_does_again_only_what_depends_on_it(little_build: Path) -> None:
    before = task_records(little_build / "out")
    write_jsonl(little_build / "corpus/beta/part-9.jsonl", [("beta-new", sentences(77_777, 120))])
    assert build(little_build) == 0
    after = task_records(little_build / "out")
    assert {key: after[key] for key in before} == before
    new = step_names(key for key in after if key not in before)
    # One file more goes through the steps that work file by file ...
    for step in ("fingerprints", "contamination", "consolidate"):
        assert new.count(step) == new.count("read-beta") <= 2
    assert "read-alpha" not in new
    # ... and what looks at all documents together is done again, in as many tasks as before.
    whole = ("fingerprint-catalogue", "duplicate-candidates", "duplicate-clusters")
    assert [new.count(step) for step in whole] == [1, 1, 1]
    names = pq.read_table(little_build / "out/data/beta/train.documents.parquet").column("name").to_pylist()
    names += pq.read_table(little_build / "out/data/beta/validation.documents.parquet").column("name").to_pylist()
    names += pq.read_table(little_build / "out/data/beta/test.documents.parquet").column("name").to_pylist()
    assert "beta-new" in names
    assert len(names) == 61


def test_changed_parameter_makes_new_steps_from_there_on(little_build: Path) -> None:
    recipe = little_build / "corpus/recipe.yml"
    before = set(task_records(little_build / "out"))
    recipe.write_text(recipe.read_text().replace("{near: {}}", "{near: {threshold: 0.95}}"))
    assert build(little_build) == 0
    new = set(step_names(set(task_records(little_build / "out")) - before))
    assert {"duplicate-clusters", "consolidate", "tokenizer"} <= new
    assert not {"read-alpha", "read-beta", "contamination"} & new
    removed = pq.read_table(little_build / "out/removed.parquet").column("name").to_pylist()
    assert "near-alpha-105" not in removed


def test_source_taken_out_of_the_recipe_leaves_the_output(little_build: Path) -> None:
    recipe = little_build / "corpus/recipe.yml"
    text = recipe.read_text()
    start, end = text.index("  - name: beta"), text.index("deduplicate:")
    recipe.write_text((text[:start] + text[end:]).replace("{alpha: 2, beta: 1}", "{alpha: 2}"))
    assert build(little_build) == 0
    assert [path.name for path in (little_build / "out/data").iterdir()] == ["alpha"]
    assert set(Manifest.read(little_build / "out").sources) == {"alpha"}


def test_build_without_deduplication_and_benchmarks_keeps_the_planted_documents(recipe: Path) -> None:
    text = recipe.read_text().replace("deduplicate: {near: {}}", "deduplicate: {exact: false, near: null}")
    recipe.write_text(text.replace("decontaminate: {benchmarks: [benchmark.jsonl]}\n", ""))
    root = recipe.parent.parent
    assert build(root) == 0
    manifest = Manifest.read(root / "out")
    assert manifest.sources["beta"].kept == 64
    assert any("no benchmark texts were given" in warning for warning in manifest.warnings)


def test_corpus_without_validation_documents_is_built_and_only_the_neox_overlay_is_missing(recipe: Path) -> None:
    """A source of twenty pages with the default split ended in an error after all its work was done."""
    root = recipe.parent.parent
    recipe.write_text(recipe.read_text().replace("{validation: 0.1, test: 0.1}", "{validation: 0, test: 0}"))
    assert build(root) == 0
    assert main(["verify", "--out", str(root / "out")]) == 0
    assert not (root / "out/neox/little_data.yml").exists()
    assert any("no overlay for NeoX was written" in warning for warning in Manifest.read(root / "out").warnings)


def test_given_tokenizer_is_used_and_published(little_build: Path) -> None:
    given = little_build / "given.model"
    given.write_bytes((little_build / "out/tokenizer/tokenizer.model").read_bytes())
    before = set(task_records(little_build / "out"))
    assert build(little_build, "--tokenizer", str(given)) == 0
    assert (
        set(task_records(little_build / "out")) == before
    )  # it has the bytes of the trained one: nothing is done again
    files = sorted(path.name for path in (little_build / "out/tokenizer").iterdir())
    assert files == ["special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"]


def test_given_tokenizer_json_needs_its_end_of_document_token_and_is_published(
    little_build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = little_build / "given.json"
    given.write_bytes((little_build / "out/tokenizer/tokenizer.json").read_bytes())
    assert build(little_build, "--tokenizer", str(given)) == 2
    assert str(given) in capsys.readouterr().err
    assert build(little_build, "--tokenizer", str(given), "--eod", "</s>") == 0
    tokenizer = Mixture.read(little_build / "out/mixture.json").tokenizer
    assert (tokenizer.kind, tokenizer.path, tokenizer.eod_id) == ("huggingface", "tokenizer/tokenizer.json", 2)
    assert [path.name for path in (little_build / "out/tokenizer").iterdir()] == ["tokenizer.json"]


def test_leftovers_of_a_killed_build_are_removed(little_build: Path) -> None:
    out = little_build / "out"
    leftovers = [out / ".partial-x", next(out.glob("steps/merge-*")) / ".partial-y", out / "data/alpha/.partial-z"]
    for leftover in leftovers[:2]:
        leftover.mkdir()
        (leftover / "file").write_text("half")
    leftovers[2].write_text("half")
    assert build(little_build) == 0
    assert not any(leftover.exists() for leftover in leftovers)


def test_second_build_in_the_same_folder_is_refused(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with build_lock(little_build / "out/steps"):
        assert build(little_build) == 1
        assert f"another build is at work here (process {os.getpid()} on " in capsys.readouterr().err
        assert main(["status", "--out", str(little_build / "out")]) == 0
        assert f"running (process {os.getpid()} on " in capsys.readouterr().out
    assert build(little_build) == 0  # the file is still there, its holder is not


def test_plan_shows_what_is_complete_and_touches_nothing(
    little_build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["--recipe", str(little_build / "corpus/recipe.yml"), "--out"]
    assert main(["plan", *order, str(little_build / "new")]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["read"].split()[-5:] == ["to", "do,", "0", "complete"] or "to do, 0 complete" in lines["read"]
    assert "after the steps before it" in lines["merge"]
    assert not (little_build / "new").exists()
    before = {path: path.stat().st_mtime_ns for path in little_build.rglob("*")}
    assert main(["plan", *order, str(little_build / "out")]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert all(
        lines[step].rstrip().endswith(" complete") for step in ("read", "duplicate-clusters", "tokenize", "merge")
    )
    assert {path: path.stat().st_mtime_ns for path in little_build.rglob("*")} == before


def test_status_shows_each_step_with_its_counts(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = little_build / "out"
    next(path for path in out.glob("steps/tokenize-*/*.json") if is_task_record(path)).unlink()
    assert main(["status", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "read 125" in lines["read"]
    assert "dropped 1" in lines["read"]
    assert "near-duplicate 1" in lines["consolidate"]
    assert " of " in lines["tokenize"]
    assert shown.startswith(f"little in {out}: finished")


def test_verify_names_a_damaged_file(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(little_build)
    capsys.readouterr()
    assert main(["verify", "--out", str(little_build / "out")]) == 0
    path = little_build / "out/data/beta/train.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert main(["verify", "--out", str(little_build / "out")]) == 1
    assert "data/beta/train.bin" in capsys.readouterr().err


def test_task_command_runs_one_task_of_a_step(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = next((little_build / "out/steps").glob("tokenizer-*"))
    assert main(["task", str(step), "0"]) == 0
    assert "vocab_size" in capsys.readouterr().out
    assert main(["task", str(step), "7"]) == 2
    assert "there is no task 7, they go from 0 to 0" in capsys.readouterr().err


def test_build_whose_shard_was_cut_short_mends_it(little_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shard is one file with the merge step's (a hard link): every further run failed, and none mended it."""
    build(little_build)
    shard = little_build / "out/data/alpha/train.bin"
    digest = sha256_file(shard)
    os.truncate(shard, shard.stat().st_size - 10)
    assert build(little_build) == 0
    assert sha256_file(shard) == digest
    assert main(["verify", "--out", str(little_build / "out")]) == 0


def test_build_whose_steps_were_deleted_is_verified_and_built_again(little_build: Path) -> None:
    """`verify` told people to delete the folder `steps`; after that every command refused to touch the build."""
    build(little_build)
    shutil.rmtree(little_build / "out/steps")
    assert main(["verify", "--out", str(little_build / "out")]) == 0
    assert main(["status", "--out", str(little_build / "out")]) == 0
    assert build(little_build) == 0


def test_status_of_a_build_with_a_damaged_list_of_steps_says_so(
    little_build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list where an object was wanted ended in a traceback."""
    build(little_build)
    (little_build / "out/steps/current.json").write_text("[]")
    assert main(["status", "--out", str(little_build / "out")]) == 1
    assert "current.json: not what a build writes" in capsys.readouterr().err
