"""Bad input by hand: a clear error or a quarantine, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from little_corpus import sentences

from proof_pile.build.cli import main
from proof_pile.manifest import Manifest


@pytest.fixture
def attempt(recipe: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and error text of a build; replacements are made in the recipe first."""

    def run(*replacements: tuple[str, str], options: tuple[str, ...] = (), out: Path | None = None) -> tuple[int, str]:
        text = recipe.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        recipe.write_text(text)
        target = out or recipe.parent.parent / "out"
        code = main(["--recipe", str(recipe), "--out", str(target), "--workers", "1", *options])
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        assert not list(target.rglob(".partial-*"))
        assert code == 0 or not (target / "manifest.json").exists()
        return code, "\n".join(line for line in errors.splitlines() if " tasks in " not in line)

    return run


def test_misspelt_key_is_refused_before_anything_is_made(recipe: Path, attempt: Callable[..., tuple[int, str]]) -> None:
    code, errors = attempt(("filters:", "filtres:"))
    assert (code, errors) == (2, f"error: {recipe}:8: unknown key 'filtres' (did you mean 'filters'?)")
    assert not (recipe.parent.parent / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"not a tokenizer at all"])
def test_wrong_tokenizer_is_refused_before_anything_is_made(
    recipe: Path, attempt: Callable[..., tuple[int, str]], content: bytes | None
) -> None:
    path = recipe.parent / "wrong.model"
    if content is not None:
        path.write_bytes(content)
    code, errors = attempt(options=("--tokenizer", str(path)))
    assert code == 2
    assert str(path) in errors
    assert not (recipe.parent.parent / "out").exists()


def test_missing_input_names_source_and_path(recipe: Path, attempt: Callable[..., tuple[int, str]]) -> None:
    code, errors = attempt(("path: beta", "path: gamma"))
    assert code == 2
    assert errors.startswith(f"error: source 'beta', input 1 (jsonl): {recipe.parent / 'gamma'}: no such file")
    assert not (recipe.parent.parent / "out").exists()


def test_missing_benchmark_file_says_how_to_make_one(recipe: Path, attempt: Callable[..., tuple[int, str]]) -> None:
    code, errors = attempt(("[benchmark.jsonl]", "[absent.jsonl]"))
    assert code == 2
    assert f"{recipe.parent / 'absent.jsonl'}: there is no such file" in errors
    assert "eval_tasks export" in errors


def test_source_without_documents_is_refused_by_name(recipe: Path, attempt: Callable[..., tuple[int, str]]) -> None:
    for path in (recipe.parent / "beta").iterdir():
        path.write_bytes(b"\n\n")
    code, errors = attempt()
    assert code == 2
    assert errors.startswith("error: source 'beta': there is no document in its input")


def test_source_whose_filters_drop_all_says_why(attempt: Callable[..., tuple[int, str]]) -> None:
    code, errors = attempt(("min_bytes: 10", "min_bytes: 100000"))
    assert code == 2
    assert "source 'beta': its filters drop all of its 65 documents (too-small 65)" in errors


def test_source_that_is_all_duplicates_says_where_they_went(
    recipe: Path, attempt: Callable[..., tuple[int, str]]
) -> None:
    for path in (recipe.parent / "beta").iterdir():
        path.unlink()
    copy = (recipe.parent / "alpha/part-0.jsonl").read_text()
    (recipe.parent / "beta/copy.jsonl").write_text(copy)
    code, errors = attempt()
    assert code == 2
    assert "source 'beta': no document is left for training (exact-duplicate 20)" in errors


def test_bad_lines_and_a_truncated_stream_are_quarantined_with_their_place(
    recipe: Path, attempt: Callable[..., tuple[int, str]]
) -> None:
    folder = recipe.parent / "beta"
    records = [json.dumps({"text": sentences(90_000 + n, 100), "name": f"z{n}"}) + "\n" for n in range(400)]
    packed = zstandard.compress("".join(records).encode())
    (folder / "cut.jsonl.zst").write_bytes(packed[: len(packed) * 2 // 3])
    (folder / "bad.jsonl").write_bytes(b'{"text": "a good and long enough line", "name": "g"}\n{"text": \n\xff\xfe\n')
    code, _ = attempt()
    assert code == 0
    out = recipe.parent.parent / "out"
    lines = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    places = [(line["source"], line["path"], line.get("line")) for line in lines]
    assert places[:2] == [("beta", "bad.jsonl", 2), ("beta", "bad.jsonl", 3)]
    assert places[2][:2] == ("beta", "cut.jsonl.zst")
    assert all(line["reason"] for line in lines)
    assert Manifest.read(out).sources["beta"].quarantined == 3


def test_folder_with_other_files_is_not_built_in(recipe: Path, attempt: Callable[..., tuple[int, str]]) -> None:
    other = recipe.parent.parent / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    code, errors = attempt(out=other)
    assert (code, errors) == (2, f"error: {other}: this folder holds other files: give an empty or a new one as --out")
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("command", ["status", "verify"])
def test_folder_without_a_build_has_no_status(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--out", str(tmp_path / "none")]) == 2
    assert "no build was begun here" in capsys.readouterr().err


def test_recipe_without_out_asks_for_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", str(recipe)]) == 2
    assert "say where to build it: --out DIR" in capsys.readouterr().err


def test_workers_below_one_are_refused(attempt: Callable[..., tuple[int, str]]) -> None:
    assert attempt(options=("--workers", "0"))[0] == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_full_disk_is_one_plain_message_and_the_build_goes_on_when_there_is_room(
    small_disk: Path, workers: str, attempt: Callable[..., tuple[int, str]]
) -> None:
    code, errors = attempt(options=("--workers", workers), out=small_disk / "out")
    assert code == 1
    assert errors.count("the disk is full: free some space and run the same command again") == 1
    assert len([line for line in errors.splitlines() if line.startswith("error")]) == 1
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert attempt(options=("--workers", workers), out=small_disk / "out")[0] == 0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{bad", "this line is not valid JSON"),
        (b"\xff\xfe", "this line is not valid JSON"),
        (b'{"benchmark": 1}', "benchmark"),
    ],
)
def test_wrong_benchmark_file_is_refused_with_its_line_before_anything_is_made(
    recipe: Path, attempt: Callable[..., tuple[int, str]], line: bytes, fault: str
) -> None:
    """It was found after all input had been read, with exit code 1; bad UTF-8 without its place."""
    path = next(recipe.parent.rglob("bench*.jsonl"))
    path.write_bytes(path.read_bytes() + line + b"\n")
    number = path.read_bytes().count(b"\n")
    code, errors = attempt()
    assert code == 2
    assert f"{path}:{number}: {fault}" in errors
    assert not (recipe.parent.parent / "out").exists()


def test_name_that_stands_for_two_documents_keeps_the_longer_one(
    recipe: Path, attempt: Callable[..., tuple[int, str]]
) -> None:
    """Two trees with a README.md each, in one source: the build ran to its end and failed in its own verification."""
    first = next((recipe.parent / "alpha").iterdir())
    texts = sentences(4_711, 120), sentences(4_712, 150)
    lines = "".join(json.dumps({"name": "twice", "text": text}) + "\n" for text in (*texts, texts[1]))
    first.write_bytes(first.read_bytes() + lines.encode())
    assert attempt()[0] == 0
    removed = pq.read_table(recipe.parent.parent / "out/removed.parquet").to_pylist()
    assert sorted(row["reason"] for row in removed if row["name"] == "twice") == ["exact-duplicate", "same-name"]
