"""Faults of the machine, seen by the engines and by a whole build."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from build_runs import contents, num_records, run_build, start_build, wait_until
from little_corpus import write_corpus

from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.local import LocalEngine

MakeJobs = Callable[..., list[Job]]


def test_task_that_was_killed_for_its_memory_is_tried_again_alone(make_jobs: MakeJobs) -> None:
    """The kernel kills the largest process; begun again beside the others it would be killed again."""
    jobs = make_jobs("die once", *["wait"] * 4, seconds=0.3)
    at_work: set[Job] = set()
    beside: list[set[Job]] = []

    class Watch(Journal):
        def started(self, job: Job, where: str) -> None:
            at_work.add(job)
            if job == jobs[0]:
                beside.append(at_work - {job})

        def finished(self, job: Job) -> None:
            at_work.discard(job)

    with LocalEngine(2) as engine:
        engine.run(jobs, Watch())
    assert jobs[0][0].missing() == []
    assert len(beside) == 2 and beside[1] == set()


def test_driver_and_workers_killed_in_the_last_act_leave_no_half_build(tmp_path: Path) -> None:
    """All tasks are done and files are brought to their places: a folder with a manifest must be a whole one."""
    recipe = write_corpus(tmp_path / "corpus", num_files=1, per_file=12)
    out = tmp_path / "out"
    run_build(recipe, out, "--workers", "1")
    wanted, total = contents(out), num_records(out)
    manifest = out / "manifest.json"
    for what in ("DATASHEET.md", "recipe.yml", "mixture.json"):
        (out / "record.json").unlink(missing_ok=True)  # so that the last act is played again
        (out / what).unlink(missing_ok=True)
        build = start_build(recipe, out, "--workers", "1")
        wait_until(lambda what=what, build=build: (out / what).exists() or build.poll() is not None)
        os.killpg(build.pid, signal.SIGKILL)
        build.communicate()
        assert not manifest.exists() or contents(out) == wanted
    run_build(recipe, out, "--workers", "1")
    assert contents(out) == wanted and num_records(out) == total


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_folder_that_cannot_be_written_ends_the_build_with_one_line(small_disk: Path, tmp_path: Path) -> None:
    recipe = write_corpus(tmp_path / "corpus", num_files=1, per_file=12)
    out = small_disk / "out"
    build = start_build(recipe, out, "--workers", "1")
    wait_until(lambda: num_records(out) > 1)
    build.kill()
    build.communicate()
    for when in ("begun", "not begun"):
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        shown = run_build(recipe, out if when == "begun" else small_disk / "new", "--workers", "1", code=1)
        assert "the file system is read-only" in shown.splitlines()[-1]
        assert "Traceback" not in shown
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    run_build(recipe, out, "--workers", "1")
    assert not list(out.rglob(".partial-*"))


def test_second_driver_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    recipe = write_corpus(tmp_path / "corpus", num_files=1, per_file=12)
    out = tmp_path / "out"
    build = start_build(recipe, out, "--workers", "1")
    wait_until(lambda: num_records(out) > 1)
    shown = run_build(recipe, out, "--workers", "1", code=1)
    assert f"another build is at work here (process {build.pid} on " in shown
    assert build.communicate(timeout=120) and build.returncode == 0
