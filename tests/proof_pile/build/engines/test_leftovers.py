"""What is removed of killed tasks, also while one of them still lives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.core.steps import LostFolderError
from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import failure_of
from proof_pile.build.run_command import clear_leftovers


def test_task_whose_folder_is_cleared_away_under_it_is_not_complete(
    make_jobs: Callable[..., list[Job]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker on another machine outlived its driver; the next driver removed its folder file by file.

    Had the worker finished in the middle of that, the files that were left would have become the whole task.
    """
    [(directory, number)] = make_jobs("two files")

    def remove_one(folder: Path, ignore_errors: bool = False) -> None:
        """As far as the removal has come when the worker looks."""
        (folder / "a").unlink(missing_ok=True)

    monkeypatch.setattr("engine_functions.BETWEEN", lambda: clear_leftovers(tmp_path))
    monkeypatch.setattr("proof_pile.build.run_command.shutil.rmtree", remove_one)
    with pytest.raises(LostFolderError, match="was removed while the task worked in it") as caught:
        directory.run_task(number)
    assert failure_of(caught.value).may_pass
    assert directory.missing() == [0]
    monkeypatch.undo()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in directory.path.iterdir()) == ["step.json", "tasks.json"]


def test_folder_of_a_task_that_is_being_run_is_left_alone(
    make_jobs: Callable[..., list[Job]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm jobs that a killed driver had begun are kept by the next one, which removed the half-written files in their
    folders all the same.
    """
    [(directory, number)] = make_jobs("two files")
    busy = frozenset({directory.tasks[0].key})
    monkeypatch.setattr("engine_functions.BETWEEN", lambda: clear_leftovers(tmp_path, busy))
    directory.run_task(number)
    assert {output.name for output in directory.record(0).outputs} == {"a", "b", "file"}
