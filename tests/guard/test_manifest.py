"""A folder's manifest finds every kind of damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llemma.core.errors import DamagedFileError
from llemma.guard.manifest import check_manifest, check_sizes, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    (tmp_path / "b.json").write_text("{}")
    write_manifest(tmp_path)
    return tmp_path


def test_manifest_of_untouched_files_is_accepted(folder: Path) -> None:
    assert [entry.path for entry in check_manifest(folder).files] == ["a.bin", "b.json"]


def test_manifest_names_every_file_that_is_damaged(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"0123456788")
    (folder / "b.json").unlink()
    with pytest.raises(DamagedFileError) as caught:
        check_manifest(folder)
    assert "a.bin: its bytes have changed" in str(caught.value)
    assert "b.json: this file is missing" in str(caught.value)


def test_truncated_file_is_told_with_both_lengths(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"01234")
    with pytest.raises(DamagedFileError, match="5 bytes, but 10 were written"):
        check_manifest(folder)


def test_folder_without_a_manifest_is_damaged(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DamagedFileError, match="nothing proves"):
        check_manifest(folder)


@pytest.mark.parametrize("path", ["../a.bin", "/etc/passwd", "sub/../../a.bin", "sub//a.bin", "./a.bin", ""])
def test_manifest_that_points_out_of_its_folder_is_refused(folder: Path, path: str) -> None:
    value = {"schema": 1, "files": [{"path": path, "bytes": 10, "sha256": "0" * 64}]}
    (folder / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(DamagedFileError, match=r"files\.0\.path"):
        check_manifest(folder)


def test_manifest_cut_off_in_the_middle_is_damage_not_a_crash(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(DamagedFileError, match="not valid JSON"):
        check_manifest(folder)


def test_manifest_covers_the_folders_below(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/neox.yml").write_text("lr: 1")
    write_manifest(tmp_path)
    (tmp_path / "configs/neox.yml").write_text("lr: 2")
    with pytest.raises(DamagedFileError, match=r"configs/neox\.yml: its bytes have changed"):
        check_manifest(tmp_path)


def test_sizes_alone_find_a_truncated_file_and_not_a_changed_byte(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"0123456788")
    check_sizes(folder)
    (folder / "a.bin").write_bytes(b"01234")
    with pytest.raises(DamagedFileError, match="5 bytes, but 10 were written"):
        check_sizes(folder)
