"""Job arrays as they are asked for, and what is said of them on the disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proof_pile.build.engines.batch import Job
from proof_pile.build.engines.failures import Failure
from proof_pile.build.engines.slurm_commands import ElementState
from proof_pile.build.engines.slurm_jobs import (
    SlurmOptions,
    Submission,
    array_arguments,
    array_script,
    failure_file,
    job_name,
    log_tail,
    split_tasks,
    take_failure,
)

MakeJobs = Callable[..., list[Job]]


@pytest.mark.parametrize(
    ("num_tasks", "per_job", "max_elements", "sizes"),
    [
        (5, None, 1001, [5]),
        (5, 2, 1001, [3]),
        (7, 1, 3, [3, 3, 1]),
        (2500, None, 100_000, [834]),  # three tasks a job: some thousand jobs
        (2500, 1, 100_000, [1000, 1000, 500]),
    ],
)
def test_tasks_are_cut_into_arrays_that_the_cluster_takes(
    num_tasks: int, per_job: int | None, max_elements: int, sizes: list[int]
) -> None:
    arrays = list(split_tasks(range(num_tasks), SlurmOptions(tasks_per_job=per_job), max_elements))
    assert [len(array) for array in arrays] == sizes
    assert [number for array in arrays for element in array for number in element] == list(range(num_tasks))


def test_script_runs_the_same_task_line_for_each_element(make_jobs: MakeJobs, tmp_path: Path) -> None:
    directory = make_jobs(*["work"] * 9)[0][0]
    script = array_script(directory, [(0, 5, 8), (7,)], setup="echo set up")
    script = script.replace("exec ", "echo ")  # shown, not run
    shown = []
    for index in "01":
        done = subprocess.run(
            ["bash", "-c", script], env={"SLURM_ARRAY_TASK_ID": index}, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("set up\n")
        shown.append(done.stdout.splitlines()[1].partition(" -m ")[2])
    assert shown == [f"proof_pile.build task {directory.path} {numbers}" for numbers in ("0 5 8", "7")]


def test_options_of_a_person_come_last(make_jobs: MakeJobs) -> None:
    directory = make_jobs("work")[0][0]
    options = SlurmOptions(partition="main", memory="4G", max_running=3, extra="--qos=high --comment 'two words'")
    arguments = array_arguments(directory, [(0,), (1,)], options, "name")
    assert "--array=0-1%3" in arguments
    assert arguments[-3:] == ["--qos=high", "--comment", "two words"]
    assert {"--partition=main", "--mem=4G", "--cpus-per-task=1"} < set(arguments)
    assert not [argument for argument in arguments if argument.startswith(("--time", "--account"))]


def test_percent_sign_in_a_path_is_not_taken_for_a_pattern_of_slurm(tmp_path: Path, make_jobs: MakeJobs) -> None:
    directory = make_jobs("work")[0][0]
    directory.path = tmp_path / "100%a"
    [output] = [a for a in array_arguments(directory, [(0,)], SlurmOptions(), "n") if a.startswith("--output")]
    assert output == f"--output={tmp_path}/100%%a/logs/%A_%a.log"


def test_job_name_is_of_the_build_folder() -> None:
    assert job_name(Path("/data/out")) == job_name(Path("/data/out")) != job_name(Path("/data/other"))


def test_submission_is_found_again_and_nonsense_is_none(tmp_path: Path) -> None:
    submission = Submission(step="read-1", numbers=((0, 1), (2,)), keys=(("a", "b"), ("c",)))
    submission.write(tmp_path / "jobs", "17")
    assert Submission.read(tmp_path / "jobs", "17") == submission
    assert Submission.read(tmp_path / "jobs", "18") is None
    (tmp_path / "jobs/19.json").write_text('{"step": 3, "numbers": 4}')
    assert Submission.read(tmp_path / "jobs", "19") is None


def test_failure_of_a_task_is_taken_once(make_jobs: MakeJobs) -> None:
    directory, number = make_jobs("work")[0]
    assert take_failure(directory, number) is None
    path = failure_file(directory, number)
    path.parent.mkdir()
    path.write_text('{"message": "wrong", "exit_code": 2}')
    assert take_failure(directory, number) == Failure(message="wrong", exit_code=2)
    assert take_failure(directory, number) is None


def test_end_of_a_log_is_shown_without_what_came_long_before(make_jobs: MakeJobs) -> None:
    directory = make_jobs("work")[0][0]
    (directory.path / "logs").mkdir()
    (directory.path / "logs/5_0.log").write_text("".join(f"line {n}\n" for n in range(2000)) + "Killed\n")
    shown = log_tail(directory, "5", 0)
    assert shown.endswith("    line 1999\n    Killed")
    assert "line 1900" not in shown
    assert log_tail(directory, "5", 1) == ""


@pytest.mark.parametrize(
    ("state", "reason", "is_alive"),
    [
        ("PENDING", "Resources", True),
        ("PENDING", "launch failed requeued held", False),
        ("PENDING", "JobHeldAdmin", False),
        ("RUNNING", "None", True),
        ("COMPLETED", "None", False),
        ("NODE_FAIL", "NodeDown", False),
        ("OUT_OF_MEMORY", "None", False),
    ],
)
def test_element_is_alive_while_it_may_still_do_its_work(state: str, reason: str, is_alive: bool) -> None:
    assert ElementState(state=state, reason=reason).is_alive is is_alive
