"""Step identity, completion and resumption."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import sha256_file
from llemma.core.steps import ChangedInputError, InputFile, Step, StepDirectory, Task

FUNCTIONS = Path(__file__).with_name("step_functions.py")


@pytest.fixture(autouse=True)
def _functions_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUNCTIONS.parent))
    assert importlib.util.find_spec("step_functions")


def upper(prefix: str = ">") -> Step:
    return Step(name="upper", version=1, function="step_functions:copy_upper", params={"prefix": prefix})


def task_of(folder: Path, *names: str) -> Task:
    inputs = tuple(InputFile(path=str(folder / name), sha256=sha256_file(folder / name)) for name in names)
    return Task(inputs=inputs, label=",".join(names))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(f"text {name}")
    return folder


def test_step_run_twice_does_its_work_once(tmp_path: Path, raw: Path) -> None:
    step = StepDirectory.create(tmp_path / "steps", upper(), [task_of(raw, "a"), task_of(raw, "b", "c")])
    assert step.missing() == [0, 1]
    first = step.run_task(0)
    assert step.missing() == [1] and step.is_complete(0)
    (raw / "a").write_text("changed behind our back")
    again = StepDirectory.open(step.path).run_task(0)
    assert again == first and first.counts == {"characters": 6}
    assert Path(first.output("text.txt").path).read_text() == ">TEXT A"
    assert first.output("length.txt").sha256 == sha256_file(first.output("length.txt").path)


def test_step_with_an_added_input_redoes_only_what_depends_on_it(tmp_path: Path, raw: Path) -> None:
    root = tmp_path / "steps"
    StepDirectory.create(root, upper(), [task_of(raw, "a")]).run_task(0)
    wider = StepDirectory.create(root, upper(), [task_of(raw, "a"), task_of(raw, "b")])
    assert wider.missing() == [1]


def test_step_with_a_changed_parameter_or_version_lies_in_another_folder() -> None:
    names = {
        upper("x").directory_name,
        upper("y").directory_name,
        Step(name="upper", version=2, function="step_functions:copy_upper", params={"prefix": "x"}).directory_name,
    }
    assert len(names) == 3


def test_task_key_depends_on_what_inputs_hold_and_not_on_where_they_lie() -> None:
    here = Task(inputs=(InputFile(path="/a", sha256="1" * 64),))
    there = Task(inputs=(InputFile(path="/b", sha256="1" * 64),), label="moved")
    other = Task(inputs=(InputFile(path="/a", sha256="2" * 64),))
    assert here.key == there.key != other.key


def test_task_that_fails_leaves_nothing_that_counts_as_done(tmp_path: Path, raw: Path) -> None:
    broken = Step(name="broken", version=1, function="step_functions:fail_half_way", params={"how": "raise"})
    step = StepDirectory.create(tmp_path, broken, [task_of(raw, "a")])
    with pytest.raises(RuntimeError, match="half way"):
        step.run_task(0)
    assert step.missing() == [0]
    assert {path.name for path in step.path.iterdir()} == {"step.json", "tasks.json"}


def test_task_killed_half_way_is_run_again_and_its_leftovers_are_cleaned(tmp_path: Path, raw: Path) -> None:
    broken = Step(name="broken", version=1, function="step_functions:fail_half_way", params={"how": "kill"})
    step = StepDirectory.create(tmp_path, broken, [task_of(raw, "a")])
    program = "import sys; from llemma.core.steps import StepDirectory; StepDirectory.open(sys.argv[1]).run_task(0)"
    environment = {"PYTHONPATH": ":".join(filter(None, [str(FUNCTIONS.parent), *sys.path]))}
    result = subprocess.run([sys.executable, "-c", program, str(step.path)], env=environment, check=False)
    assert result.returncode == -9
    assert step.missing() == [0]
    assert len(list(step.path.iterdir())) == 3
    step.clean()
    assert {path.name for path in step.path.iterdir()} == {"step.json", "tasks.json"}


def test_step_moved_to_another_folder_still_finds_its_outputs(tmp_path: Path, raw: Path) -> None:
    step = StepDirectory.create(tmp_path / "old", upper(), [task_of(raw, "a")])
    step.run_task(0)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = StepDirectory.open(tmp_path / "new" / step.path.name)
    assert Path(moved.record(0).output("text.txt").path).exists()


def test_step_folder_that_is_missing_or_damaged_is_named(tmp_path: Path, raw: Path) -> None:
    with pytest.raises(InputError, match=r"step\.json"):
        StepDirectory.open(tmp_path / "none")
    step = StepDirectory.create(tmp_path, upper(), [task_of(raw, "a")])
    (step.path / "tasks.json").write_text("[{}]")
    with pytest.raises(DamagedFileError, match=r"tasks\.json"):
        StepDirectory.open(step.path)


def test_step_with_the_same_input_in_two_tasks_is_refused(tmp_path: Path, raw: Path) -> None:
    with pytest.raises(InputError, match="same inputs"):
        StepDirectory.create(tmp_path, upper(), [task_of(raw, "a"), task_of(raw, "a")])


def test_step_function_that_does_not_exist_is_named(tmp_path: Path, raw: Path) -> None:
    missing = Step(name="x", version=1, function="step_functions:nothing")
    with pytest.raises(InputError, match="step_functions:nothing"):
        StepDirectory.create(tmp_path, missing, [task_of(raw, "a")]).run_task(0)


@pytest.mark.parametrize("harm", ["gone", "short", "record"])
def test_complete_task_that_lost_its_files_can_be_forgotten_and_done_again(
    tmp_path: Path, raw: Path, harm: str
) -> None:
    """A build whose merged shard was cut short failed at each run and could not be mended by running it again."""
    step = StepDirectory.create(tmp_path / "steps", upper(), [task_of(raw, "a"), task_of(raw, "b")])
    first = [step.run_task(number) for number in (0, 1)]
    assert step.forget_damaged() == []
    file = Path(first[1].output("text.txt").path)
    if harm == "gone":
        file.unlink()
    elif harm == "short":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        (step.path / f"{first[1].key}.json").write_text("{")
    assert step.forget_damaged() == [1]
    assert step.missing() == [1]
    assert step.run_task(1).outputs == first[1].outputs


def test_task_that_fails_on_an_input_changed_since_it_was_hashed_names_that_file(tmp_path: Path, raw: Path) -> None:
    """A flipped byte in a finished step's file was told of in the words of a library, without the file's name."""
    step = StepDirectory.create(
        tmp_path / "steps", Step(name="s", version=1, function="step_functions:fail_on_bad"), [task_of(raw, "a")]
    )
    (raw / "a").write_text("bad")
    with pytest.raises(DamagedFileError, match=r"raw/a: its content is not what it was .*cannot read this"):
        step.run_task(0)
    again = StepDirectory.create(tmp_path / "steps", step.step, [task_of(raw, "a")])
    with pytest.raises(RuntimeError, match="cannot read this"):
        again.run_task(0)


def test_task_run_by_two_processes_at_once_gives_one_whole_result(tmp_path: Path, raw: Path) -> None:
    """A straggler is begun a second time elsewhere: neither copy may spoil what the other has made."""
    slow = Step(name="slow", version=1, function="step_functions:copy_slowly", params={"seconds": 0.3})
    step = StepDirectory.create(tmp_path / "steps", slow, [task_of(raw, "a")])
    program = "import sys; from llemma.core.steps import StepDirectory; StepDirectory.open(sys.argv[1]).run_task(0)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(FUNCTIONS.parent), *sys.path]))}
    copies = [subprocess.Popen([sys.executable, "-c", program, str(step.path)], env=environment) for _ in range(2)]
    assert [copy.wait() for copy in copies] == [0, 0]
    record = step.record(0)
    assert len(list((tmp_path / "raw").glob("begun-*"))) == 2
    assert [sha256_file(output.path) for output in record.outputs] == [output.sha256 for output in record.outputs]
    key = step.tasks[0].key
    wanted = {"step.json", "tasks.json", f"{key}.json", f"{key}.text.txt"}
    assert {path.name for path in step.path.iterdir()} == wanted


def test_task_that_fails_after_another_process_has_completed_it_is_no_failure(tmp_path: Path, raw: Path) -> None:
    step = StepDirectory.create(tmp_path / "steps", upper(), [task_of(raw, "a")])
    other = Step(name="x", version=1, function="step_functions:fail_after_the_other", params={"step": str(step.path)})
    late = StepDirectory(step.path, other, step.tasks)
    assert late.run_task(0) == step.record(0)
    assert not list(step.path.glob(".partial-*"))


def test_files_of_tasks_no_longer_in_the_list_are_stale(tmp_path: Path, raw: Path) -> None:
    root = tmp_path / "steps"
    StepDirectory.create(root, upper(), [task_of(raw, "a"), task_of(raw, "b")]).run_task(0)
    step = StepDirectory.create(root, upper(), [task_of(raw, "b")])
    step.run_task(0)
    stale = task_of(raw, "a").key
    assert [path.name for path in step.stale_files()] == [
        f"{stale}.{end}" for end in ("json", "length.txt", "text.txt")
    ]


def test_list_of_tasks_that_is_the_same_is_not_written_again(tmp_path: Path, raw: Path) -> None:
    """Tasks that run on other machines may be reading it."""
    step = StepDirectory.create(tmp_path, upper(), [task_of(raw, "a")])
    before = (step.path / "tasks.json").stat()
    StepDirectory.create(tmp_path, upper(), [task_of(raw, "a")])
    assert (step.path / "tasks.json").stat().st_ino == before.st_ino
    StepDirectory.create(tmp_path, upper(), [task_of(raw, "b")])
    assert (step.path / "tasks.json").stat().st_ino != before.st_ino


def test_task_whose_input_has_gone_says_so(tmp_path: Path, raw: Path) -> None:
    step = StepDirectory.create(tmp_path / "steps", upper(), [task_of(raw, "a")])
    (raw / "a").unlink()
    with pytest.raises(ChangedInputError, match=r"raw/a: this file is gone"):
        step.run_task(0)


def test_record_tells_the_memory_that_its_task_took(tmp_path: Path, raw: Path) -> None:
    hungry = Step(name="hungry", version=1, function="step_functions:take_memory")
    tasks = [
        Task(inputs=(), label="much", args={"mb": 300}),
        Task(inputs=(), label="little", args={"mb": 1}),
    ]
    step = StepDirectory.create(tmp_path / "steps", hungry, tasks)
    much, little = (step.run_task(number).peak_bytes for number in (0, 1))
    assert much > 300 << 20
    assert little < much - (200 << 20)  # not the most that the process ever held
