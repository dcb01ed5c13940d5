"""Checkpoints appear whole, are found again, and are passed over where they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from llemma.core.errors import WorkError
from llemma.guard.checkpoints import find_checkpoint, list_checkpoints, new_checkpoint, remove_after, retain


def save(root: Path, step: int, text: str = "weights") -> Path:
    with new_checkpoint(root, step) as folder:
        (folder / "model").write_text(f"{text} {step}")
    return root / f"step_{step:08d}"


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_folder_without_checkpoints_holds_none(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "nowhere") is None


def test_newest_checkpoint_is_found(tmp_path: Path) -> None:
    save(tmp_path, 9)
    newest = save(tmp_path, 10)
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.path, found.passed_over) == (10, newest, ())


def test_error_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(OSError, match="full"), new_checkpoint(tmp_path, 2) as folder:
        (folder / "model").write_text("half")
        raise OSError("disk full")
    assert names(tmp_path) == ["latest", "step_00000001"]


def test_unfinished_folder_of_a_killed_writer_is_never_found_and_cleared_away(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".partial-step_00000002-x").mkdir()
    (tmp_path / ".partial-step_00000002-x" / "model").write_text("half")
    found = find_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    retain(tmp_path, 3)
    assert names(tmp_path) == ["latest", "step_00000001"]


def test_kill_between_rename_and_latest_goes_on_from_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "latest").write_text("step_00000001\n")
    found = find_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    remove_after(tmp_path, 1)
    save(tmp_path, 2, "new")
    found = find_checkpoint(tmp_path)
    assert found is not None and (found.path / "model").read_text() == "new 2"


@pytest.mark.parametrize("latest", [None, "", "step_00000099\n", "../../etc", "\x00\xff"])
def test_latest_that_names_nothing_is_replaced_by_the_highest_step(tmp_path: Path, latest: str | None) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "latest").unlink()
    if latest is not None:
        (tmp_path / "latest").write_text(latest)
    found = find_checkpoint(tmp_path)
    assert found is not None and found.step == 2


def test_damaged_checkpoint_is_passed_over_and_said_so(tmp_path: Path) -> None:
    save(tmp_path, 1)
    damaged = save(tmp_path, 2)
    (damaged / "model").write_text("weightz 2")
    found = find_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    assert "step_00000002/model: its bytes have changed" in found.passed_over[0]


def test_run_whose_checkpoints_are_all_damaged_is_stopped(tmp_path: Path) -> None:
    for step in (1, 2):
        (save(tmp_path, step) / "model").unlink()
    with pytest.raises(WorkError, match="no sound checkpoint is left"):
        find_checkpoint(tmp_path)


def test_retention_keeps_the_newest(tmp_path: Path) -> None:
    for step in (3, 20, 100):
        save(tmp_path, step)
    retain(tmp_path, 2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [20, 100]
    assert names(tmp_path) == ["latest", "step_00000020", "step_00000100"]


def test_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, 1, "old")
    assert (save(tmp_path, 1, "new") / "model").read_text() == "new 1"
    assert names(tmp_path) == ["latest", "step_00000001"]
