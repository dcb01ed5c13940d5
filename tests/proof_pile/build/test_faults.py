"""Faults of the machine: files that cannot be read, a full disk, a clock that goes back."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from build_runs import contents, num_records, run_build, start_build, wait_until
from little_corpus import sentences, write_jsonl

from llemma.core.files import sha256_file
from llemma.core.steps import ChangedInputError, InputFile, Step, StepDirectory, Task
from proof_pile.build.cli import main
from proof_pile.build.reading import UNREADABLE, InputHashes
from proof_pile.manifest import Manifest


def build(root: Path, *options: str) -> int:
    return main(["--recipe", str(root / "corpus/recipe.yml"), "--out", str(root / "out"), "--workers", "1", *options])


def quarantined(out: Path) -> list[tuple[str, str]]:
    return [(line["path"], line["reason"]) for line in map(json.loads, (out / "quarantine.jsonl").open())]


def without_override() -> None:
    """Takes from a process that root starts the right to read what its mode forbids, as everyone else lacks it."""
    pr_capbset_drop = 24
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0)


def test_file_without_permission_is_set_aside_and_the_rest_is_built(recipe: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "corpus/alpha/secret.jsonl", [("alpha-secret", sentences(5, 50))])
    (tmp_path / "corpus/alpha/secret.jsonl").chmod(0)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "proof_pile.build", "--recipe", str(recipe), "--out", str(out), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=without_override, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "alpha/secret.jsonl: permission denied: it is set aside" in done.stderr
    assert quarantined(out) == [("secret.jsonl", f"{UNREADABLE}permission denied")]
    counts = Manifest.read(out).sources["alpha"]
    assert (counts.quarantined, counts.read) == (1, 60)
    # With the permission given, only what depends on that file is done again.
    before = num_records(out)
    (tmp_path / "corpus/alpha/secret.jsonl").chmod(0o644)
    assert build(tmp_path) == 0
    assert quarantined(out) == []
    assert Manifest.read(out).sources["alpha"].read == 61
    assert len(list(out.glob("steps/read-alpha-*/????????????????.json"))) == 1 + before_reading(out, "alpha")
    assert num_records(out) > before


def before_reading(out: Path, source: str) -> int:
    """Tasks that the source's reading has now."""
    [folder] = out.glob(f"steps/read-{source}-*")
    return len(json.loads((folder / "tasks.json").read_text()))


def test_file_that_vanishes_between_listing_and_hashing_is_set_aside(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_file = InputHashes.of

    def of(self: InputHashes, path: str) -> str:
        if path.endswith("alpha/part-1.jsonl"):
            Path(path).unlink(missing_ok=True)
        return hash_file(self, path)

    monkeypatch.setattr(InputHashes, "of", of)
    assert build(tmp_path) == 0
    assert quarantined(tmp_path / "out") == [("part-1.jsonl", f"{UNREADABLE}there is no such file or folder")]
    assert Manifest.read(tmp_path / "out").sources["alpha"].read == 40


def test_file_that_vanishes_before_it_is_read_has_the_input_looked_through_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its task must not be complete under the key of what the file held: it would be missing when it is back."""
    run_task = StepDirectory.run_task

    def run(self: StepDirectory, number: int):  # type: ignore[no-untyped-def]
        (tmp_path / "corpus/alpha/part-1.jsonl").unlink(missing_ok=True)
        return run_task(self, number)

    held = (tmp_path / "corpus/alpha/part-1.jsonl").read_bytes()
    monkeypatch.setattr(StepDirectory, "run_task", run)
    assert build(tmp_path) == 0
    assert "part-1.jsonl" in capsys.readouterr().err
    assert Manifest.read(tmp_path / "out").sources["alpha"].read == 40
    monkeypatch.undo()
    (tmp_path / "corpus/alpha/part-1.jsonl").write_bytes(held)
    assert build(tmp_path) == 0
    assert Manifest.read(tmp_path / "out").sources["alpha"].read == 60


def test_task_is_not_complete_where_a_file_that_was_hashed_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "one"}\n')
    task = Task(
        inputs=(InputFile(path=str(path), sha256=sha256_file(path)),),
        args={"files": [{"name": path.name, "size": 16, "paths": 1}]},
    )
    params = {"source": "s", "input": {"kind": "jsonl", "path": "x"}, "filters": []}
    step = Step(name="read-s", version=1, function="proof_pile.build.reading:run", params=params)
    directory = StepDirectory.create(tmp_path, step, [task])
    path.unlink()
    with pytest.raises(ChangedInputError, match=r"in\.jsonl: there is no such file or folder, though"):
        directory.run_task(0)
    assert directory.missing() == [0]


def test_clock_that_goes_back_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (Debian: apt install faketime)")
    out = tmp_path / "out"
    run_build(recipe, out, "--workers", "1")
    wanted = contents(out)
    # Ten years back: nothing is done again, and what is new is seen though it is older than all that was made.
    back = fake_time("-10y")
    assert "nothing to do" in run_build(recipe, out, "--workers", "1", environment=back)
    path = tmp_path / "corpus/alpha/part-0.jsonl"
    text = path.read_text()
    path.write_text(text.replace("alpha-0", "alpha-x"))  # of the same length
    subprocess.run(["touch", "-d", "2001-01-01", str(path)], check=True)
    assert "nothing to do" not in run_build(recipe, out, "--workers", "1", environment=back)
    assert contents(out) != wanted
    path.write_text(text)
    subprocess.run(["touch", "-d", "2001-01-01", str(path)], check=True)  # the time of the other text
    run_build(recipe, out, "--workers", "1")
    found = contents(out)
    left = {name for name in wanted if found[name] != wanted[name]}
    assert left <= {name for name in wanted if name.startswith("steps/")}


def test_clock_that_jumps_back_in_the_middle_of_a_build_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (Debian: apt install faketime)")
    out = tmp_path / "out"
    run_build(recipe, out, "--workers", "1")
    wanted = contents(out)
    out.rename(tmp_path / "first")
    build = start_build(recipe, out, "--workers", "2", environment=fake_time("+3d"))
    wait_until(lambda: num_records(out) > 8)
    build.kill()
    build.communicate()
    run_build(recipe, out, "--workers", "2", environment=fake_time("-3d"))
    assert contents(out) == wanted


def fake_time(shift: str) -> dict[str, str]:
    """What has a program see another time, and its timers work as ever."""
    library = subprocess.run(
        ["faketime", "-f", shift, "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    return {"LD_PRELOAD": library.stdout.strip(), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
