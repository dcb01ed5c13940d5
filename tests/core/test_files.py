"""Atomic files and hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import (
    atomic_folder,
    atomic_path,
    read_json,
    remove_leftovers,
    sha256_file,
    stable_hash,
    write_json,
    write_text,
)


def test_atomic_path_after_an_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("the work failed")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    program = (
        "import os, sys; from llemma.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as t:\n    t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    result = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert result.returncode == -9
    assert target.read_text() == "old"
    assert all(path.name.startswith(".partial-") for path in tmp_path.iterdir() if path != target)


def test_written_file_has_the_usual_mode(tmp_path: Path) -> None:
    """mkstemp's 0600 would hide shards from the other users of a cluster."""
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert os.stat(tmp_path / "a").st_mode == os.stat(tmp_path / "b").st_mode


def test_json_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"a": ')
    with pytest.raises(DamagedFileError, match=r"b\.json: this is not valid JSON"):
        read_json(tmp_path / "b.json")


def test_json_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_stable_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert stable_hash({"a": 1, "b": [1, 2]}) == stable_hash({"b": [1, 2], "a": 1})
    assert stable_hash({"a": 1, "b": [1, 2]}) != stable_hash({"a": 1, "b": [2, 1]})
    # An independent computation: the value must never change, finished work is found by it.
    import hashlib

    text = json.dumps({"a": 1, "b": [1, 2]}, sort_keys=True, separators=(",", ":"))
    assert stable_hash({"b": [1, 2], "a": 1}) == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def test_sha256_file_of_known_bytes_is_the_published_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_with_a_path_that_is_no_utf8_is_written_and_read_back(tmp_path: Path) -> None:
    """A source tree with a file name in latin-1 stopped a build with a traceback."""
    value = {"path": b"caf\xe9.py".decode("utf-8", "surrogateescape")}
    write_json(tmp_path / "a.json", value)
    (tmp_path / "a.json").read_text("utf-8")
    assert read_json(tmp_path / "a.json") == value
    assert stable_hash(value) != stable_hash({"path": "caf.py"})


def test_atomic_folder_appears_whole_and_with_the_usual_mode(tmp_path: Path) -> None:
    target, plain = tmp_path / "model", tmp_path / "plain"
    plain.mkdir()
    with atomic_folder(target) as scratch:
        (scratch / "deep").mkdir()
        (scratch / "deep/a").write_text("x")
        assert not target.exists()
    assert (target / "deep/a").read_text() == "x"
    assert os.stat(target).st_mode == os.stat(plain).st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "plain"]


@pytest.mark.parametrize("replace", [False, True])
def test_atomic_folder_after_an_error_keeps_the_old_folder_and_leaves_nothing_else(
    tmp_path: Path, replace: bool
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target, replace=replace) as scratch:
        (scratch / "new").write_text("half")
        raise RuntimeError("the work failed")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]


def test_atomic_folder_replaces_a_full_folder_only_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as scratch:
        (scratch / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]
    with atomic_folder(target, replace=True) as scratch:
        (scratch / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".partial-folder").mkdir()
    for name in (".partial-a", "kept", ".partial-folder/x", "deep/.partial-b"):
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".partial-b", "deep", "kept"]
    remove_leftovers(tmp_path, recursive=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "kept"]
